//! Running a program for its output, within a time limit.

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use std::{
    io,
    os::{fd::AsFd, unix::process::CommandExt as _},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

/// How much of each output is kept, in bytes.
const MAX_OUTPUT: usize = 64 << 10;
/// How often to check whether a program has exited that writes nothing.
const EXIT_CHECK_INTERVAL: Duration = Duration::from_millis(5);

/// Runs a program for its output, and kills it at the time limit. Processes that it leaves behind are not waited for,
/// although they may hold its pipes. Output beyond [`MAX_OUTPUT`] is discarded.
///
/// # Errors
/// Those of starting it; `TimedOut` if it took longer, and was killed.
pub fn output_within(command: &mut Command, limit: Duration) -> io::Result<Output> {
    output_of(&mut start(command)?, limit)
}

/// As [`output_within`], in a process group of its own: signals for that reach no one else, and what is left of it when the
/// program has ended is killed.
///
/// # Errors
/// As [`output_within`].
pub fn output_of_group_within(command: &mut Command, limit: Duration) -> io::Result<Output> {
    let mut child = start(command.process_group(0))?;
    let output = output_of(&mut child, limit);
    // There is nobody in it, most of the time.
    let _ = killpg(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL);
    output
}

fn start(command: &mut Command) -> io::Result<Child> {
    super::die_with_parent(command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
}

fn output_of(child: &mut Child, limit: Duration) -> io::Result<Output> {
    let limit = Instant::now() + limit;
    let (mut stdout, mut stderr) =
        (PipeOutput::new(child.stdout.take()), PipeOutput::new(child.stderr.take()));
    let ended = loop {
        let read = stdout.read_available().and_then(|()| stderr.read_available());
        match read.and_then(|()| child.try_wait()) {
            Ok(Some(status)) => break Ok(status),
            Ok(None) if Instant::now() < limit => wait_for_output(&stdout, &stderr),
            Ok(None) => break Err(io::Error::new(io::ErrorKind::TimedOut, "it did not exit in time")),
            Err(error) => break Err(error),
        }
    };
    match ended {
        Ok(status) => {
            // The last of its output.
            stdout.read_available()?;
            stderr.read_available()?;
            Ok(Output { status, stdout: stdout.text, stderr: stderr.text })
        }
        Err(error) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(error)
        }
    }
}

/// The output of a program on a pipe, until end-of-file.
struct PipeOutput<P> {
    pipe: Option<P>,
    text: Vec<u8>,
}

impl<P: io::Read + AsFd> PipeOutput<P> {
    fn new(pipe: Option<P>) -> Self {
        Self { pipe, text: Vec::new() }
    }

    /// Reads what is there, in a bounded number of calls.
    fn read_available(&mut self) -> io::Result<()> {
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
                    let room = MAX_OUTPUT.saturating_sub(self.text.len());
                    self.text.extend_from_slice(&block[..count.min(room)]);
                }
            }
        }
        Ok(())
    }
}

/// Waits until one of two pipes has output, for a short time: the exit of a process is no event here.
fn wait_for_output<P: AsFd, Q: AsFd>(one: &PipeOutput<P>, other: &PipeOutput<Q>) {
    let descriptors = one.pipe.iter().map(AsFd::as_fd).chain(other.pipe.iter().map(AsFd::as_fd));
    let mut watched: Vec<_> = descriptors.map(|pipe| PollFd::new(pipe, PollFlags::POLLIN)).collect();
    // On an error or an interruption it is called again.
    let _ = poll(&mut watched, PollTimeout::try_from(EXIT_CHECK_INTERVAL).unwrap_or(PollTimeout::ZERO));
}

#[cfg(test)]
mod tests {
    use super::output_within;
    use std::{io::ErrorKind, process::Command, time::Duration};

    #[test]
    fn a_program_that_does_not_exit_is_killed_at_the_limit() {
        let limit = Duration::from_secs(20);
        let output =
            output_within(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]), limit).unwrap();
        assert_eq!(
            (output.stdout, output.stderr, output.status.code()),
            (b"out\n".into(), b"err\n".into(), Some(3))
        );
        let error = output_within(Command::new("sleep").arg("1000"), Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }

    /// A wrapper script of Python may leave processes behind, and write much.
    #[test]
    fn processes_left_behind_are_not_waited_for() {
        let limit = Duration::from_secs(60);
        let begun = std::time::Instant::now();
        for rest in ["sleep 1000 >&2 &", "sleep 1000 >/dev/null &", "sleep 1000 2>/dev/null &"] {
            let script = format!("{rest} echo out; echo $!");
            let output = output_within(Command::new("sh").args(["-c", &script]), limit).unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            let (out, left) = text.trim().split_once('\n').unwrap();
            crate::process::signal(left.parse().unwrap(), libc::SIGKILL).unwrap();
            assert_eq!(out, "out");
        }
        let much = "head -c 1000000 /dev/zero >&2; head -c 1000000 /dev/zero";
        let output = output_within(Command::new("sh").args(["-c", much]), limit).unwrap();
        assert_eq!((output.stdout.len(), output.stderr.len()), (super::MAX_OUTPUT, super::MAX_OUTPUT));
        assert!(begun.elapsed() < limit, "{:?}", begun.elapsed());
    }
}
