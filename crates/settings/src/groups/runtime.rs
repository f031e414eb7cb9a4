//! What is inside a worker.

use crate::{EventLoop, RuntimeMode, TaskImplementation, macros::settings};

settings! {
    #[heading("Runtime")]
    /// What is inside a worker.
    #[derive(Copy)]
    pub struct Runtime {
        /// The event loop of ASGI and RSGI workers; auto is hostler's own, which serves connections from inside its wait;
        /// asyncio and uvloop are there for applications that need them, at their speed.
        #[option("loop", default = EventLoop::Auto)]
        pub event_loop: EventLoop,
        /// Threads of the I/O runtime; a worker has one, scale with --workers.
        #[option("runtime-threads", default = 1, range(1, 1024), aliases(&["threads"]))]
        pub threads: u16,
        /// Threads for blocking I/O of the runtime.
        #[option("runtime-blocking-threads", default = None, range(1, 1024), later)]
        pub blocking_threads: Option<u16>,
        /// How a worker uses threads; always st (workers): one thread.
        #[option("runtime-mode", default = RuntimeMode::Auto, aliases(&["threading-mode"]))]
        pub mode: RuntimeMode,
        /// The implementation of request tasks; asyncio's own.
        #[option("task-impl", default = TaskImplementation::Asyncio, later)]
        pub task_implementation: TaskImplementation,
        /// Optimisations; always on.
        #[option("opt", default = true, later)]
        pub optimize: bool,
    }
}
