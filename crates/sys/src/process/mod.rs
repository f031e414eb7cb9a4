//! Processes: forking, waiting, starting programs, and what a process is to the system.

mod command;
pub mod debugger;
mod fork;
pub mod identity;
pub mod orphan;
mod output;
pub mod proc;
mod resources;
mod spawn;
pub mod terminal;
pub mod thread;
pub mod title;
mod wait;

pub use command::{
    die_with, die_with_parent, die_with_process, lower_priority, own_session, pass_descriptor,
    pass_descriptors, take_descriptor,
};
pub use fork::{Fork, become_subreaper, exit_now, fork, parent_id, thread_count, use_small_pages};
pub use output::{output_of_group_within, output_within};
pub use resources::max_descriptors;
pub use spawn::spawn_by_fork;
pub use wait::{WaitStatus, open, signal, signal_group, signal_raw, wait_any, wait_for};
