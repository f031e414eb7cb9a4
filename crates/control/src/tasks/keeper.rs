//! The conversation with a keeper: a question, and its answer.

use hostler_tasks::{Answer, Ask, Frame, Refused, decode, encode};
use hostler_wire::{ExitStatus, Failure, TaskStats};
use std::{
    io::{ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

/// A connection to a keeper.
pub(crate) struct Keeper {
    stream: UnixStream,
    input: Vec<u8>,
    until: Option<Instant>,
    n: u64,
}

impl Keeper {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self { stream, input: Vec::new(), until: None, n: 0 }
    }

    /// Answers are waited for until then.
    pub(crate) fn answer_within(&mut self, until: Option<Instant>) {
        self.until = until;
    }

    /// Asks, and waits for the answer.
    pub(crate) fn ask(&mut self, ask: impl FnOnce(u64) -> Ask) -> Result<Frame<Answer>, Failure> {
        self.n += 1;
        let mut bytes = Vec::new();
        encode(&ask(self.n), b"", &mut bytes)
            .map_err(|error| Failure::new(ExitStatus::Usage, error.to_string()))?;
        self.stream.write_all(&bytes).map_err(|error| lost(&error.to_string()))?;
        let frame = self.receive()?;
        let Answer::Refused { why, text, .. } = frame.message else { return Ok(frame) };
        let failure = Failure::new(ExitStatus::Failed, text);
        Err(match why {
            Refused::NoSuchTask => {
                failure.hint("`hostler ctl tasks list` has the ids of those that there are")
            }
            _ => failure,
        })
    }

    pub(crate) fn stats(&mut self) -> Result<TaskStats, Failure> {
        match self.ask(|n| Ask::Stats { n })?.message {
            Answer::Stats { stats, .. } => Ok(stats),
            _ => Err(odd()),
        }
    }

    fn receive(&mut self) -> Result<Frame<Answer>, Failure> {
        loop {
            match decode(&self.input) {
                Ok(Some((frame, length))) => {
                    self.input.drain(..length);
                    return Ok(frame);
                }
                Ok(None) => self.read()?,
                Err(_) => return Err(odd()),
            }
        }
    }

    fn read(&mut self) -> Result<(), Failure> {
        let left = self.until.map(|until| until.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Err(Failure::new(ExitStatus::Unknown, "the keeper of the task queue does not answer")
                .because("the time is over (--timeout)")
                .hint("is its process stopped, or its disk very busy? what has begun goes on"));
        }
        self.stream.set_read_timeout(left).map_err(|error| lost(&error.to_string()))?;
        let mut block = [0; 64 * 1024];
        match self.stream.read(&mut block) {
            Ok(0) => Err(lost("it closed the connection: it ended, or is of another version")),
            Ok(count) => {
                self.input.extend_from_slice(&block[..count]);
                Ok(())
            }
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut
                ) =>
            {
                Ok(())
            }
            Err(error) => Err(lost(&error.to_string())),
        }
    }
}

fn lost(why: &str) -> Failure {
    Failure::new(ExitStatus::Unknown, "the keeper of the task queue has not answered").because(why)
}

/// An answer to something else.
pub(crate) fn odd() -> Failure {
    Failure::new(ExitStatus::Unknown, "the keeper's answer is not understood")
        .hint("use the `hostler ctl` of the server's own version")
}
