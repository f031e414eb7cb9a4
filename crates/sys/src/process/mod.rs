//! Processes: forking, waiting, starting programs, and what a process is to the system.

mod command;
pub mod debugger;
mod fork;
pub mod identity;
pub mod orphan;
mod output;
pub mod proc;
mod resources;
pub mod terminal;
pub mod thread;
pub mod title;
mod wait;

pub use command::{die_with, die_with_parent, own_session, pass_descriptor, take_descriptor};
pub use fork::{Fork, become_subreaper, exit_now, fork, parent_id, thread_count, use_small_pages};
pub use output::{output_of_group_within, output_within};
pub use resources::max_descriptors;
pub use wait::{WaitStatus, signal, signal_raw, wait_any, wait_for};
