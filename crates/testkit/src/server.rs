//! A running server.

use crate::{Conn, LIMIT, hostler, python, root};
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use std::{
    ffi::OsString,
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    os::fd::OwnedFd,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex},
    time::Instant,
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
}

/// A started server, or one that failed to start.
pub struct Server {
    child: Child,
    log: Arc<Log>,
    /// Where it listens; unset if it never did.
    pub address: Option<SocketAddr>,
}

#[derive(Default)]
struct Log {
    lines: Mutex<(Vec<String>, bool)>,
    grew: Condvar,
}

impl Server {
    /// A Python application of `tests/apps` with two workers.
    #[must_use]
    pub fn app(target: &str) -> Builder {
        Builder {
            program: hostler(),
            args: vec![target.into(), "--python".into(), python().into()],
            dir: root().join("tests/apps"),
            env: Vec::new(),
            wrapper: Vec::new(),
            descriptor: None,
            workers: 2,
        }
    }

    /// Another program that serves, such as a native example; it gets the address as its argument.
    #[must_use]
    pub fn program(program: PathBuf) -> Builder {
        let (env, wrapper, descriptor) = (Vec::new(), Vec::new(), None);
        Builder {
            program,
            args: vec!["127.0.0.1:0".into()],
            dir: root(),
            env,
            wrapper,
            descriptor,
            workers: 2,
        }
    }

    /// A new connection.
    #[must_use]
    pub fn connect(&self) -> Conn {
        Conn::to(self.address.expect("the server listens"))
    }

    /// The master's process id.
    #[must_use]
    pub fn master(&self) -> i32 {
        i32::try_from(self.child.id()).expect("process ids are small")
    }

    /// The workers' process ids, newest last, as the log told them.
    #[must_use]
    pub fn workers(&self) -> Vec<i32> {
        let lines = self.log.lines.lock().expect("no reader panics");
        let told = lines.0.iter().filter(|line| line.contains("worker ready"));
        told.filter_map(|line| line.split("pid=").nth(1)?.split(' ').next()?.parse().ok()).collect()
    }

    /// The first child of a process, as a wrapper has one.
    #[must_use]
    pub fn child_of(&self, pid: i32) -> Option<i32> {
        let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
        text.split_ascii_whitespace().next()?.parse().ok()
    }

    /// The log so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lines.lock().expect("no reader panics").0.join("\n")
    }

    /// Waits until the log has `count` lines with `text`.
    pub fn wait_for(&self, text: &str, count: usize) {
        let found = self.log.wait(|lines| lines.iter().filter(|line| line.contains(text)).count() >= count);
        assert!(found, "the log has no {count} × {text:?}:\n{}", self.log());
    }

    /// Sends the master a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.master()), signal).expect("the master runs");
    }

    /// Waits for the master's end.
    pub fn wait_exit(&mut self) -> ExitStatus {
        let limit = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                self.log.wait(|_| false);
                return status;
            }
            assert!(Instant::now() < limit, "the server does not end:\n{}", self.log());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Waits for the master's end, though others hold its log.
    pub fn wait_exit_of_master(&mut self) -> ExitStatus {
        let limit = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status;
            }
            assert!(Instant::now() < limit, "the master does not end:\n{}", self.log());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Waits until a file exists.
    pub fn wait_for_file(&self, path: &std::path::Path) {
        let limit = Instant::now() + LIMIT;
        while !path.exists() {
            assert!(Instant::now() < limit, "there is no {}:\n{}", path.display(), self.log());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Waits until no process of the server is left.
    pub fn wait_empty(&self) {
        let limit = Instant::now() + LIMIT;
        while !self.processes().is_empty() {
            assert!(Instant::now() < limit, "{:?} live on:\n{}", self.processes(), self.log());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Stops gracefully and expects exit code 0.
    pub fn stop(mut self) {
        self.signal(Signal::SIGTERM);
        let status = self.wait_exit();
        assert_eq!(status.code(), Some(0), "{}", self.log());
    }

    /// The processes of the server that exist now: master, mold and workers.
    #[must_use]
    pub fn processes(&self) -> Vec<i32> {
        let group = self.master();
        let all = fs::read_dir("/proc").expect("there is /proc").flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        pids.filter(|pid| group_and_state(*pid).is_some_and(|(its, state)| its == group && state != 'Z'))
            .collect()
    }
}

/// The process group and the state of a process.
fn group_and_state(pid: i32) -> Option<(i32, char)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((fields.nth(1)?.parse().ok()?, state))
}

impl Drop for Server {
    #[expect(clippy::print_stderr, reason = "the log is the evidence of a failed test")]
    fn drop(&mut self) {
        let group = Pid::from_raw(self.master());
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the server's log\n{}\n---", self.log());
        }
    }
}

impl Builder {
    /// `--name value`.
    #[must_use]
    pub fn option(mut self, name: &str, value: impl ToString) -> Self {
        if name == "workers" {
            self.workers = value.to_string().parse().expect("a number");
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

    /// Starts it and waits until all workers are ready.
    #[must_use]
    pub fn start(mut self) -> Server {
        if self.program == hostler() {
            if !self.args.iter().any(|arg| arg == "--workers") {
                self = self.option("workers", 2);
            }
            if self.descriptor.is_none()
                && !self.args.iter().any(|arg| arg == "--port" || arg == "--uds" || arg == "--bind")
            {
                self = self.option("port", 0);
            }
        }
        let workers = self.workers;
        let mut server = self.launch();
        let ready = server.log.wait(|lines| count(lines, "worker ready") >= workers);
        assert!(ready, "the server does not start:\n{}", server.log());
        server.address = server.find_address();
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
    pub fn launch(self) -> Server {
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
            .envs(self.env)
            .env_remove("VIRTUAL_ENV");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        // A session of its own: no terminal of whoever runs the tests, and a process group to be ended at the end.
        hostler_sys::process::own_session(&mut command);

        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.program.display()));
        let log = Arc::new(Log::default());
        let stderr = BufReader::new(child.stderr.take().expect("it is piped"));
        let reader = Arc::clone(&log);
        #[expect(clippy::disallowed_methods, reason = "this process forks nothing by itself")]
        std::thread::spawn(move || reader.read(stderr));
        Server { child, log, address: None }
    }
}

impl Server {
    fn find_address(&self) -> Option<SocketAddr> {
        let log = self.log();
        log.split("address=").skip(1).find_map(|rest| rest.split_ascii_whitespace().next()?.parse().ok())
    }
}

fn count(lines: &[String], text: &str) -> usize {
    lines.iter().filter(|line| line.contains(text)).count()
}

impl Log {
    fn read(&self, stderr: impl BufRead) {
        for line in stderr.split(b'\n').map_while(Result::ok) {
            self.lines.lock().expect("no reader panics").0.push(String::from_utf8_lossy(&line).into_owned());
            self.grew.notify_all();
        }
        self.lines.lock().expect("no reader panics").1 = true;
        self.grew.notify_all();
    }

    /// Waits until `done` or the end of the log; whether it came to be `done`.
    fn wait(&self, done: impl Fn(&[String]) -> bool) -> bool {
        let lines = self.lines.lock().expect("no reader panics");
        let waiting = |lines: &mut (Vec<String>, bool)| !done(&lines.0) && !lines.1;
        let (lines, _) = self.grew.wait_timeout_while(lines, LIMIT, waiting).expect("no reader panics");
        done(&lines.0)
    }
}
