//! Files that a server creates and removes, which are only those that it created itself; files that clients name; locks on bytes.

pub mod beneath;
pub mod byte_locks;
pub mod own_file;
pub mod pid_file;
