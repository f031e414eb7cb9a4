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
        /// The most threads for blocking work of a native service (spawn_blocking of tokio). Without effect for Python: files are
        /// read and sent without threads, and the executor of asyncio has its own.
        #[option("runtime-blocking-threads", default = None, range(1, 1024), without_effect(
            "a Python application uses none of these threads: files are sent without, and asyncio's executor has its own"))]
        pub blocking_threads: Option<u16>,
        /// How a worker uses threads; always st (workers): one thread.
        #[option("runtime-mode", default = RuntimeMode::Auto, aliases(&["threading-mode"]))]
        pub mode: RuntimeMode,
        /// The implementation of request tasks. Without effect: they are asyncio's, started eagerly, whatever is set.
        #[option("task-impl", default = TaskImplementation::Asyncio, without_effect(
            "tasks are asyncio's own, and their first step runs without a turn of the loop"))]
        pub task_implementation: TaskImplementation,
        /// Optimisations. Without effect: they are always on.
        #[option("opt", default = true, without_effect("optimisations are always on"))]
        pub optimize: bool,
    }
}
