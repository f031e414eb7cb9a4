#![doc = include_str!("../README.md")]
//!
//! # Where things are
//!
//! | file | duty |
//! |---|---|
//! | `core.rs` | a loop's state: the ready queue, the timers, what wakes the driver |
//! | `methods.rs` | the loop as Python sees it |
//! | `driver.rs` | a turn: selector, due timers, ready callbacks, held writes |
//! | `callbacks.rs`, `handle.rs`, `timers.rs`, `clock.rs`, `alarm.rs` | running a callback, and waiting for its time |
//! | `runtime.rs`, `slot.rs`, `gil/` | the tokio runtime, where it is kept, and the GIL around its wait |
//! | `engine.rs` | the runtime beside another loop |
//! | `transport/` | stream sockets |
//! | `task.rs`, `awaitable.rs`, `finished.rs`, `waiting.rs`, `wait_queue.rs`, `future.rs` | coroutines, and what they await |
//! | `calls.rs` | calls into Python on the hot path |
//! | `observer.rs`, `descriptors.rs`, `forked.rs` | what the program around the loop is told, and tells |
//! | `python.rs`, `python/hostler/_loop.py` | the Python half |
//!
//! Files refer to those below them in this order: `methods` → `driver` → (`callbacks`, `transport`) → `core` →
//! (`slot`, `timers`, `handle`) → `gil`. The driver is woken through a waker in the core's state, not called.

#[cfg(Py_GIL_DISABLED)]
compile_error!("the event loop guards its state by the GIL, which a free-threaded Python does not have");

mod alarm;
mod awaitable;
mod callbacks;
mod calls;
mod clock;
mod core;
mod descriptors;
mod driver;
mod engine;
mod finished;
pub mod forked;
mod future;
mod gil;
mod handle;
mod methods;
mod observer;
mod python;
mod runtime;
mod slot;
mod task;
mod timers;
mod transport;
mod wait_queue;
mod waiting;

pub use calls::{Args, call_with, call_with_names, copy_context, run_in_context, stop_iteration};
pub use core::LoopCore;
pub use engine::{Engine, spawn_local};
pub use finished::Finished;
pub use future::{reject, resolve};
pub use gil::{GilCell, is_parked};
pub use handle::Handle;
pub use observer::{Observer, set_observer};
pub use python::install;
pub use runtime::Runtime;
pub use task::{Started, Tasks, task_error};
pub use transport::SocketTransport;
pub use wait_queue::WaitQueue;
pub use waiting::{Source, Waiting};
