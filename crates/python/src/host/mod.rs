//! Molds and workers: from the master's message to a serving application.

mod mold;
mod preload;
mod seat;

pub(crate) use mold::mold_main;
pub(crate) use seat::WorkerSeat;
