//! The conversation with a server.

use hostler_wire::control::{CONTROL_VERSION, Command, ControlReply, Reply, control_request};
use std::{
    io::{ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

/// Why there is no reply.
#[derive(Debug)]
pub(crate) enum Lost {
    /// The time is over.
    TimedOut,
    /// The server has closed the connection.
    Closed,
    /// The kernel's.
    Failed(std::io::Error),
    /// The reply is none.
    NotUnderstood(String),
}

/// A connection to a server.
pub(crate) struct Client {
    stream: UnixStream,
    input: Vec<u8>,
}

impl Client {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self { stream, input: Vec::new() }
    }

    /// Sends a request. A server that has refused the connection has said why, which is still to be read.
    pub(crate) fn send(&mut self, command: &Command) -> Result<(), Lost> {
        let line = control_request(command) + "\n";
        match self.stream.write_all(line.as_bytes()) {
            Err(error) if !matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                Err(Lost::Failed(error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Waits for the next reply; with it comes its line.
    pub(crate) fn receive(&mut self, until: Option<Instant>) -> Result<(String, Reply), Lost> {
        let line = self.line(until)?;
        let reply: ControlReply =
            serde_json::from_str(&line).map_err(|error| Lost::NotUnderstood(error.to_string()))?;
        if reply.version != CONTROL_VERSION {
            return Err(Lost::NotUnderstood(format!("it is of version {}", reply.version)));
        }
        Ok((line, reply.reply))
    }

    fn line(&mut self, until: Option<Instant>) -> Result<String, Lost> {
        let mut seen = 0;
        loop {
            if let Some(end) = self.input[seen..].iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.input.drain(..=seen + end).collect();
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            seen = self.input.len();
            self.read(until)?;
        }
    }

    fn read(&mut self, until: Option<Instant>) -> Result<(), Lost> {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Err(Lost::TimedOut);
        }
        self.stream.set_read_timeout(left).map_err(Lost::Failed)?;
        let mut block = [0; 16 * 1024];
        match self.stream.read(&mut block) {
            Ok(0) => Err(Lost::Closed),
            Ok(count) => {
                self.input.extend_from_slice(&block[..count]);
                Ok(())
            }
            Err(error) => match error.kind() {
                ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut => Ok(()),
                ErrorKind::ConnectionReset => Err(Lost::Closed),
                _ => Err(Lost::Failed(error)),
            },
        }
    }

    /// A server that was told to stop has ended when it closes the connection.
    pub(crate) fn wait_for_end(&mut self, command: &Command, until: Option<Instant>) {
        if matches!(command, Command::Stop { .. }) {
            while self.read(until).is_ok() {}
        }
    }
}
