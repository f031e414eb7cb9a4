//! The GIL: held while the loop's thread works, released only while it is parked in epoll.

mod cell;
mod park;
mod signals;

pub use cell::GilCell;
pub use park::is_parked;
pub(crate) use park::{release, take};
pub(crate) use signals::raised_by_signal;
