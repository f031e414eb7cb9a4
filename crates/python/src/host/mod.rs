//! Molds and workers: from the master's message to a serving application.

mod forks;
mod mold;
mod observe;
mod preload;
mod worker;

pub(crate) use forks::{
    after_fork_in_child, after_fork_in_parent, before_fork, is_forked, stay_out, stay_out_of_loop,
    stay_out_with,
};
pub(crate) use mold::mold_main;
pub(crate) use worker::{PyWorker, rest};
