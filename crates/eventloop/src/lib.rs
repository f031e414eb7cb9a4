//! An asyncio event loop whose wait is a tokio runtime.

#[cfg(Py_GIL_DISABLED)]
compile_error!("the event loop guards its state by the GIL, which a free-threaded Python does not have");

mod alarm;
pub mod awaitable;
mod callbacks;
pub mod calls;
mod clock;
mod core;
mod descriptors;
mod driver;
mod engine;
pub mod forked;
pub mod gil;
mod handle;
mod methods;
mod observer;
mod python;
mod runtime;
mod slot;
pub mod task;
mod timers;
mod transport;
pub mod waiters;

pub use core::LoopCore;
pub use engine::{Engine, spawn_local};
pub use handle::Handle;
pub use observer::{Observer, set_observer};
pub use python::install;
pub use runtime::Runtime;
pub use transport::SocketTransport;
