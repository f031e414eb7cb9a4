//! The application, and how it is called.

use crate::{ByteSize, Commas, EnvVariable, Interface, PathPrefix, Preload, UrlPath, macros::settings};
use std::path::PathBuf;

settings! {
    #[heading("Application")]
    /// The application and how to call it.
    pub struct Application {
        /// The application, as module:attribute; also the positional argument.
        #[option("app", default = None, example("shop:app"), hidden, common)]
        pub target: Option<String>,
        /// How the application is called; auto detects it, asginl is ASGI without lifespan.
        #[option("interface", default = Interface::Auto, common)]
        pub interface: Interface,
        /// The attribute is a function that returns the application.
        #[option("factory", default = false, common)]
        pub factory: bool,
        /// The directory to work in and to import the application from.
        #[option("working-dir", default = None, example("/srv/shop"), common, aliases(&["chdir"]))]
        pub working_dir: Option<PathBuf>,
        /// A directory in which modules are searched before the working directory; several are separated by commas, or
        /// given one by one.
        #[option(
            "python-path", default = Commas(Vec::new()), example("src"), aliases(&["pythonpath", "app-dir"])
        )]
        pub python_path: Commas<PathBuf>,
        /// Files of KEY=VALUE lines for the application's environment, where it does not have them already; repeatable.
        #[option("env-files", default = Vec::new(), example("/srv/shop/.env"), common, aliases(&["env-file"]))]
        pub env_files: Vec<PathBuf>,
        /// A variable of the application's environment, as KEY=VALUE; repeatable.
        #[option("env", default = Vec::new(), example("DJANGO_SETTINGS_MODULE=shop.settings"))]
        pub env: Vec<EnvVariable>,
        /// A Python file, or python:module, with functions that Gunicorn calls: post_fork, post_worker_init, worker_exit,
        /// child_exit, when_ready, pre_fork.
        #[option("gunicorn-hooks", default = None, example("gunicorn.conf.py"), hidden)]
        pub hooks: Option<String>,
        /// The Python to use; else that of the virtual environment which hostler is installed in, else the active one's, else
        /// python3 on PATH.
        #[option("python", default = None, example("/srv/shop/.venv/bin/python"), common)]
        pub python: Option<PathBuf>,
        /// Import the application once, in the mold (the process workers are forked from); strict refuses to start if
        /// something makes forks unsafe, warn logs it.
        #[option("preload", default = None, example("warn"), common)]
        pub preload: Option<Preload>,
        /// A path that each worker requests from its application before it counts as ready.
        #[option("warmup", default = None, example("/health"))]
        pub warmup: Option<UrlPath>,
        /// The path that the application is mounted on: root_path, SCRIPT_NAME.
        #[option("url-path-prefix", default = PathPrefix::default(), example("/shop"), aliases(&["root-path"]), common)]
        pub root_path: PathPrefix,
    }
}

settings! {
    #[heading("WSGI")]
    /// How WSGI applications are called.
    #[derive(Copy)]
    pub struct Wsgi {
        /// Threads per worker that call a WSGI application; 1 calls it on the worker's own thread, one request at a
        /// time.
        #[option("blocking-threads", default = 1, range(1, 1024), common)]
        pub blocking_threads: usize,
        /// How long a thread without a request is kept, but for one. Ended threads are started again when requests need them. Unset,
        /// all are kept.
        #[option("blocking-threads-idle-timeout", default = None, range(1, 86_400), example("30s"))]
        pub blocking_threads_idle_timeout: Option<std::time::Duration>,
        /// How much of a request's body is stored before a WSGI application is called: up to 1 MiB in memory, more in an
        /// unnamed file in TMPDIR; the rest of a longer body is read while the application runs, on at most half of the
        /// threads.
        #[option("wsgi-body-spool", default = ByteSize(1 << 30), range(0, 1 << 50))]
        pub body_spool: ByteSize,
        /// How much of a streamed response is buffered for a slow client; beyond that the application's thread waits.
        #[option("wsgi-response-buffer", default = ByteSize::mib(1), range(0, 1 << 40))]
        pub response_buffer: ByteSize,
    }
}
