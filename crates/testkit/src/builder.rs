//! A server to be started.

use crate::{Server, hostler, python, root};
use std::{
    ffi::OsString,
    os::fd::OwnedFd,
    path::PathBuf,
    process::{Command, Stdio},
};

/// A server to be started.
pub struct Builder {
    program: PathBuf,
    args: Vec<OsString>,
    dir: PathBuf,
    env: Vec<(String, String)>,
    /// Another program that starts it.
    wrapper: Vec<String>,
    /// A socket that it finds as descriptor 3.
    descriptor: Option<OwnedFd>,
    workers: usize,
    /// Whether its arguments say where, in another way than hostler's options.
    listens: bool,
}

impl Server {
    /// A Python application of `tests/apps` with two workers.
    #[must_use]
    pub fn app(target: &str) -> Builder {
        let args = vec![target.into(), "--python".into(), python().into()];
        Builder::new(hostler(), args, root().join("tests/apps"))
    }

    /// A command line of another server, such as `uvicorn asgi_app:app --workers 2`, which hostler reads as that server does.
    /// It says itself where to listen and how many workers there are: use [`Builder::launch`].
    #[must_use]
    pub fn peer(line: &str) -> Builder {
        Self::peer_program(hostler(), ["as"].into_iter().chain(line.split_ascii_whitespace()))
    }

    /// As [`Server::peer`], of a program that has the name of another server.
    #[must_use]
    pub fn peer_program<'a>(program: PathBuf, args: impl IntoIterator<Item = &'a str>) -> Builder {
        let args = args.into_iter().map(OsString::from).collect();
        let python = python().to_string_lossy().into_owned();
        let builder = Builder::new(program, args, root().join("tests/apps"));
        Builder { listens: true, ..builder }.env("HOSTLER_PYTHON", &python)
    }

    /// Another program that serves, such as a native example; it gets the address as its argument.
    #[must_use]
    pub fn program(program: PathBuf) -> Builder {
        Builder::new(program, vec!["127.0.0.1:0".into()], root())
    }
}

impl Builder {
    fn new(program: PathBuf, args: Vec<OsString>, dir: PathBuf) -> Self {
        let (env, wrapper, descriptor) = (Vec::new(), Vec::new(), None);
        Self { program, args, dir, env, wrapper, descriptor, workers: 2, listens: false }
    }

    /// `--name value`.
    #[must_use]
    pub fn option(mut self, name: &str, value: impl ToString) -> Self {
        if name == "workers" {
            let text = value.to_string();
            self.workers = text.split(':').next().and_then(|least| least.parse().ok()).expect("a number");
        }
        self.args.extend([format!("--{name}").into(), value.to_string().into()]);
        self
    }

    /// An argument as it is.
    #[must_use]
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.into());
        self
    }

    /// An environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Has this command line start it: `sh -c 'exec "$@"' sh`, say.
    #[must_use]
    pub fn wrapped(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|&part| part.to_owned()).collect();
        self
    }

    /// Gives it a socket as descriptor 3.
    #[must_use]
    pub fn descriptor(mut self, socket: impl Into<OwnedFd>) -> Self {
        self.descriptor = Some(socket.into());
        self
    }

    /// Applications of `examples` instead.
    #[must_use]
    pub fn example(mut self) -> Self {
        self.dir = root().join("examples");
        self
    }

    fn has_arg(&self, names: &[&str]) -> bool {
        self.args.iter().any(|arg| names.iter().any(|name| arg == name))
    }

    /// Starts it and waits until all workers are ready.
    #[must_use]
    pub fn start(mut self) -> Server {
        if self.program == hostler() && !self.has_arg(&["--workers"]) {
            self = self.option("workers", 2);
        }
        let workers = self.workers;
        let mut server = self.launch();
        server.wait_ready(workers);
        server
    }

    /// Starts what should not start; waits for its end.
    #[must_use]
    pub fn fail(self) -> (Option<i32>, String) {
        let mut server = self.launch();
        let status = server.wait_exit();
        (status.code(), server.log())
    }

    /// Starts it and waits for nothing.
    #[must_use]
    pub fn launch(mut self) -> Server {
        let listens = self.listens
            || self.descriptor.is_some()
            || self.has_arg(&["--port", "--uds", "--bind", "--config"]);
        if self.program == hostler() && !listens {
            // The default port is the same for all tests.
            self = self.option("port", 0);
        }
        let mut line: Vec<OsString> = self.wrapper.iter().map(OsString::from).collect();
        line.push(self.program.clone().into());
        let mut command = Command::new(&line[0]);
        if let Some(descriptor) = self.descriptor {
            hostler_sys::process::pass_descriptor(&mut command, descriptor, 3);
        }
        command
            .args(&line[1..])
            .args(&self.args)
            .current_dir(&self.dir)
            // What each process does is logged at this level: tests wait for that.
            .env("HOSTLER_LOG_LEVEL", "debug")
            .envs(self.env)
            .env_remove("VIRTUAL_ENV");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        // A session of its own: without the terminal that the tests were started from, and with a process group that
        // is killed when the test ends.
        hostler_sys::process::own_session(&mut command);
        let child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.program.display()));
        Server::watch(child)
    }
}
