//! A running server.

use crate::{Conn, log::Log, proc, wait::wait_with};
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, ExitStatus},
    sync::Arc,
    thread,
};

/// A started server, or one that failed to start.
pub struct Server {
    child: Child,
    log: Arc<Log>,
    /// Where it listens; unset if it never did.
    pub address: Option<SocketAddr>,
}

impl Server {
    /// Watches a process that was started with a pipe as its standard error.
    pub(crate) fn watch(mut child: Child) -> Self {
        let log = Arc::new(Log::new(child.stderr.take().expect("it is piped")));
        let reader = Arc::clone(&log);
        #[expect(clippy::disallowed_methods, reason = "this process forks nothing by itself")]
        thread::spawn(move || reader.read());
        Self { child, log, address: None }
    }

    /// Waits until so many workers are ready, and finds the address.
    pub(crate) fn wait_ready(&mut self, workers: usize) {
        assert!(self.log.wait_ready(workers), "the server does not start:\n{}", self.log());
        self.address = self.logged_address();
    }

    /// The first address that the log names.
    #[must_use]
    pub fn logged_address(&self) -> Option<SocketAddr> {
        let log = self.log();
        log.split("address=").skip(1).find_map(|rest| rest.split_ascii_whitespace().next()?.parse().ok())
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

    /// The workers' process ids, newest last, from the log; of a program that does not log them, those that there are now.
    #[must_use]
    pub fn workers(&self) -> Vec<i32> {
        let logged = self.logged_pids("worker ready");
        if logged.is_empty() { proc::children(self.master()) } else { logged }
    }

    /// The process id of the master that an upgrade started last, from the log. Its number says nothing: the kernel
    /// counts from the start again at its `pid_max`.
    ///
    /// # Panics
    /// Without an upgrade.
    #[must_use]
    pub fn successor(&self) -> i32 {
        let started = self.logged_pids("new server started");
        *started.last().unwrap_or_else(|| panic!("no upgrade was started:\n{}", self.log()))
    }

    fn logged_pids(&self, event: &str) -> Vec<i32> {
        let pid = |line: &String| line.split("pid=").nth(1)?.split(' ').next()?.parse().ok();
        self.log.lines(|lines| lines.iter().filter(|line| line.contains(event)).filter_map(pid).collect())
    }

    /// The first child of a process, as a wrapper has one.
    #[must_use]
    pub fn child_of(&self, pid: i32) -> Option<i32> {
        proc::children(pid).first().copied()
    }

    /// The log so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lines(|lines| lines.join("\n"))
    }

    /// Waits until the log has `count` lines with `text`.
    pub fn wait_for(&self, text: &str, count: usize) {
        assert!(self.log.wait(text, count), "the log has no {count} × {text:?}:\n{}", self.log());
    }

    /// Sends the master a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.master()), signal).expect("the master runs");
    }

    /// Waits for the master's end, and the end of the log.
    pub fn wait_exit(&mut self) -> ExitStatus {
        let status = self.wait_exit_of_master();
        self.log.wait_end();
        status
    }

    /// Waits for the master's end, though other processes have its log open.
    pub fn wait_exit_of_master(&mut self) -> ExitStatus {
        let (child, log) = (&mut self.child, &self.log);
        let mut status = None;
        let exited = || {
            status = child.try_wait().expect("it is our child");
            status.is_some()
        };
        wait_with(exited, || format!("the master does not end:\n{}", log.lines(|lines| lines.join("\n"))));
        status.expect("it has ended")
    }

    /// Waits until a file exists.
    pub fn wait_for_file(&self, path: &Path) {
        wait_with(|| path.exists(), || format!("there is no {}:\n{}", path.display(), self.log()));
    }

    /// Waits until no process of the server is left.
    pub fn wait_empty(&self) {
        let left = || self.processes().into_iter().map(proc::describe).collect::<Vec<_>>();
        let failure = || format!("{:#?} live on:\n{}", left(), self.log());
        wait_with(|| self.processes().is_empty(), failure);
    }

    /// Polls for what the log does not show; the log is in the panic's message.
    pub fn wait_until(&self, what: &str, done: impl FnMut() -> bool) {
        wait_with(done, || format!("not {what}:\n{}", self.log()));
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
        let mut members = proc::members(self.master());
        members.retain(|pid| !matches!(proc::state(*pid), None | Some('Z')));
        members
    }
}

impl Drop for Server {
    #[expect(clippy::print_stderr, reason = "the log is the evidence of a failed test")]
    fn drop(&mut self) {
        let group = Pid::from_raw(self.master());
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- the server's log\n{}\n---", self.log());
        }
    }
}
