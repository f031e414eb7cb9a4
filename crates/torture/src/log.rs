//! The reader of the server's log: it can be told not to read for a while, or to close.

use nix::fcntl::{FcntlArg, fcntl};
use std::{
    io::{self, Read},
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

/// A small pipe, so that it is soon full.
const PIPE: i32 = 4096;
/// How much of the log is kept.
const KEPT: usize = 4_000;

/// The log.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Shared>);

#[derive(Default)]
struct Shared {
    lines: Mutex<Vec<String>>,
    /// Nothing is read until then, in milliseconds since `start`.
    stuck_until: AtomicU64,
    /// Readers below this number close.
    dead_below: AtomicUsize,
    readers: AtomicUsize,
    start: Mutex<Option<Instant>>,
}

impl Log {
    /// A new end for a server's standard error, with a reader behind it.
    pub(crate) fn attach(&self) -> io::Result<Stdio> {
        let (reader, writer) = io::pipe()?;
        fcntl(&writer, FcntlArg::F_SETPIPE_SZ(PIPE))?;
        fcntl(&reader, FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))?;
        let number = self.0.readers.fetch_add(1, Relaxed);
        let log = self.clone();
        #[expect(clippy::disallowed_methods, reason = "this process forks nothing by itself")]
        thread::spawn(move || log.read(reader, number));
        Ok(writer.into())
    }

    /// Reads nothing for so long.
    pub(crate) fn stick(&self, time: Duration) {
        let until = self.now() + u64::try_from(time.as_millis()).unwrap_or_default();
        self.0.stuck_until.fetch_max(until, Relaxed);
    }

    /// Closes it for good.
    pub(crate) fn die(&self) {
        self.0.dead_below.store(self.0.readers.load(Relaxed), Relaxed);
    }

    /// The last lines.
    pub(crate) fn tail(&self, count: usize) -> String {
        let lines = self.0.lines.lock().expect("no thread panics");
        let telling: Vec<&str> =
            lines.iter().map(String::as_str).filter(|line| !line.contains(" DEBUG ")).collect();
        telling[telling.len().saturating_sub(count)..].join("\n")
    }

    fn now(&self) -> u64 {
        let mut start = self.0.start.lock().expect("no thread panics");
        u64::try_from(start.get_or_insert_with(Instant::now).elapsed().as_millis()).unwrap_or_default()
    }

    fn read(&self, mut pipe: io::PipeReader, number: usize) {
        let mut unfinished = Vec::new();
        let mut block = [0; 8192];
        while number >= self.0.dead_below.load(Relaxed) {
            if self.now() < self.0.stuck_until.load(Relaxed) {
                thread::sleep(Duration::from_millis(10));
                continue;
            }
            match pipe.read(&mut block) {
                Ok(0) => break,
                Ok(count) => self.keep(&mut unfinished, &block[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    thread::sleep(Duration::from_millis(10))
                }
                Err(_) => break,
            }
        }
    }

    fn keep(&self, unfinished: &mut Vec<u8>, block: &[u8]) {
        unfinished.extend_from_slice(block);
        let mut lines = self.0.lines.lock().expect("no thread panics");
        while let Some(end) = unfinished.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = unfinished.drain(..=end).collect();
            lines.push(String::from_utf8_lossy(&line[..end]).into_owned());
        }
        let surplus = lines.len().saturating_sub(KEPT);
        lines.drain(..surplus);
    }
}
