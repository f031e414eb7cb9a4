//! Files that a server creates and removes: only what it created itself.

pub mod own_file;
pub mod pid_file;
