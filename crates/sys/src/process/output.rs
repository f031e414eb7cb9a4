//! Running a program for its output, within a time limit.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::{
    io,
    os::fd::AsFd,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

/// As much as is kept of what a program says.
const MOST_SAID: usize = 64 << 10;
/// How often to look whether a program has ended that says nothing.
const LOOK_FOR_END: Duration = Duration::from_millis(5);

/// Runs a program that says little, and waits for its end, but not for long; nor for the end of processes that it
/// leaves behind, which may have its pipes. What it says beyond some KiB is not kept.
///
/// # Errors
/// Those of starting it; `TimedOut` if it took longer, and was killed.
pub fn output_within(command: &mut Command, limit: Duration) -> io::Result<Output> {
    super::die_with_parent(command);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let limit = Instant::now() + limit;
    let (mut stdout, mut stderr) = (Said::new(child.stdout.take()), Said::new(child.stderr.take()));
    let ended = loop {
        let heard = stdout.hear().and_then(|()| stderr.hear());
        match heard.and_then(|()| child.try_wait()) {
            Ok(Some(status)) => break Ok(status),
            Ok(None) if Instant::now() < limit => await_word(&stdout, &stderr),
            Ok(None) => break Err(io::Error::new(io::ErrorKind::TimedOut, "it did not answer in time")),
            Err(error) => break Err(error),
        }
    };
    match ended {
        Ok(status) => {
            // What it said last.
            stdout.hear()?;
            stderr.hear()?;
            Ok(Output { status, stdout: stdout.text, stderr: stderr.text })
        }
        Err(error) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(error)
        }
    }
}

/// What a program says on a pipe, until that ends.
struct Said<P> {
    pipe: Option<P>,
    text: Vec<u8>,
}

impl<P: io::Read + AsFd> Said<P> {
    fn new(pipe: Option<P>) -> Self {
        Self { pipe, text: Vec::new() }
    }

    /// Takes what there is, or a part of it if there is more and more.
    fn hear(&mut self) -> io::Result<()> {
        for _ in 0..64 {
            let Some(pipe) = &mut self.pipe else { return Ok(()) };
            match poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO) {
                Ok(0) | Err(nix::Error::EINTR) => return Ok(()),
                Ok(_) => {}
                Err(error) => return Err(error.into()),
            }
            let mut block = [0; 4096];
            match pipe.read(&mut block)? {
                0 => self.pipe = None,
                count => {
                    let room = MOST_SAID.saturating_sub(self.text.len());
                    self.text.extend_from_slice(&block[..count.min(room)]);
                }
            }
        }
        Ok(())
    }
}

/// Waits until one of two pipes has something, but not for long: the end of a process is no event here.
fn await_word<P: AsFd, Q: AsFd>(one: &Said<P>, other: &Said<Q>) {
    let descriptors = one.pipe.iter().map(AsFd::as_fd).chain(other.pipe.iter().map(AsFd::as_fd));
    let mut watched: Vec<_> = descriptors.map(|pipe| PollFd::new(pipe, PollFlags::POLLIN)).collect();
    // Failing or interrupted, it is called again.
    let _ = poll(&mut watched, PollTimeout::try_from(LOOK_FOR_END).unwrap_or(PollTimeout::ZERO));
}

#[cfg(test)]
mod tests {
    use super::output_within;
    use std::{io::ErrorKind, process::Command, time::Duration};

    #[test]
    fn a_program_that_says_nothing_is_not_waited_for() {
        let limit = Duration::from_secs(20);
        let said =
            output_within(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]), limit).unwrap();
        assert_eq!(
            (said.stdout, said.stderr, said.status.code()),
            (b"out\n".into(), b"err\n".into(), Some(3))
        );
        let error = output_within(Command::new("sleep").arg("1000"), Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
    /// A wrapper of Python may start what lasts, and say much: the master waits for neither.
    #[test]
    fn what_a_program_leaves_behind_is_not_waited_for() {
        let limit = Duration::from_secs(60);
        let begun = std::time::Instant::now();
        for rest in ["sleep 1000 >&2 &", "sleep 1000 >/dev/null &", "sleep 1000 2>/dev/null &"] {
            let script = format!("{rest} echo out; echo $!");
            let said = output_within(Command::new("sh").args(["-c", &script]), limit).unwrap();
            let text = String::from_utf8(said.stdout).unwrap();
            let (out, left) = text.trim().split_once('\n').unwrap();
            crate::process::signal(left.parse().unwrap(), libc::SIGKILL).unwrap();
            assert_eq!(out, "out");
        }
        let much = "head -c 1000000 /dev/zero >&2; head -c 1000000 /dev/zero";
        let said = output_within(Command::new("sh").args(["-c", much]), limit).unwrap();
        assert_eq!((said.stdout.len(), said.stderr.len()), (super::MOST_SAID, super::MOST_SAID));
        assert!(begun.elapsed() < limit, "{:?}", begun.elapsed());
    }
}
