//! An asyncio event loop whose wait is a tokio runtime.

#[cfg(Py_GIL_DISABLED)]
compile_error!("the event loop guards its state by the GIL, which a free-threaded Python does not have");

mod alarm;
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
