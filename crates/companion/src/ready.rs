//! Whether a companion is ready, as far as it has to be asked.

use crate::start;
use hostler_settings::Ready;
use hostler_sys::process;
use hostler_wire::CompanionSetup;
use std::{
    io::{self, Read as _, Write as _},
    net::{TcpStream, ToSocketAddrs as _},
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixStream},
    },
    path::Path,
    time::{Duration, Instant},
};

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(2);
/// The wait before the second attempt; it grows from then on.
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// The longest wait between attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Attempts, until one succeeds.
pub(crate) struct Check {
    pub(crate) next: Instant,
    wait: Duration,
    /// What the last one found.
    pub(crate) found: String,
}

impl Check {
    /// None where nothing is asked.
    pub(crate) fn of(ready: &Ready) -> Option<Self> {
        let asked = matches!(ready, Ready::Tcp(_) | Ready::Unix(_) | Ready::Http { .. } | Ready::Command(_));
        asked.then(|| Self { next: Instant::now(), wait: FIRST_WAIT, found: String::new() })
    }

    /// Tries once; whether it is ready.
    pub(crate) fn succeeds(&mut self, setup: &CompanionSetup) -> bool {
        let outcome = attempt(setup);
        self.next = Instant::now() + self.wait;
        self.wait = (self.wait * 2).min(LONGEST_WAIT);
        match outcome {
            Ok(()) => true,
            Err(found) => {
                self.found = found;
                false
            }
        }
    }
}

/// An error says what was found instead.
fn attempt(setup: &CompanionSetup) -> Result<(), String> {
    match &setup.spec.companion.ready {
        Ready::Started | Ready::Notify | Ready::Exit => Ok(()),
        Ready::Tcp(address) => connect(address)
            .map(drop)
            .map_err(|error| format!("{address} does not accept connections: {}", plain(&error))),
        Ready::Unix(path) => connect_unix(path)
            .map_err(|error| format!("{} does not accept connections: {}", path.display(), plain(&error))),
        Ready::Http { authority, path } => match status(authority, path) {
            Ok(status) if (200..400).contains(&status) => Ok(()),
            Ok(status) => Err(format!("http://{authority}{path} answers with status {status}")),
            Err(error) => Err(format!("http://{authority}{path} does not answer: {}", plain(&error))),
        },
        Ready::Command(words) => {
            let mut command = start::command_as(setup, words).map_err(|error| plain(&error))?;
            match process::output_of_group_within(&mut command, ATTEMPT) {
                Ok(output) if output.status.success() => Ok(()),
                Ok(output) => {
                    let said = String::from_utf8_lossy(if output.stderr.is_empty() {
                        &output.stdout
                    } else {
                        &output.stderr
                    })
                    .lines()
                    .next()
                    .map_or(String::new(), |line| format!(": {line}"));
                    Err(format!("`{}` ends with {}{said}", words.join(" "), output.status))
                }
                Err(error) => Err(format!("`{}` failed: {}", words.join(" "), plain(&error))),
            }
        }
    }
}

fn plain(error: &io::Error) -> String {
    hostler_sys::logging::without_number(&error.to_string())
}

fn connect(address: &str) -> io::Result<TcpStream> {
    let mut last = io::ErrorKind::AddrNotAvailable.into();
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, ATTEMPT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn connect_unix(path: &Path) -> io::Result<()> {
    match path.to_str().and_then(|text| text.strip_prefix('@')) {
        Some(name) => UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?).map(drop),
        None => UnixStream::connect(path).map(drop),
    }
}

/// The status of the response to a GET.
fn status(authority: &str, path: &str) -> io::Result<u16> {
    let mut stream = connect(authority)?;
    stream.set_read_timeout(Some(ATTEMPT))?;
    stream.set_write_timeout(Some(ATTEMPT))?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: hostler\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    // "HTTP/1.1 200"
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    let digits = std::str::from_utf8(&head[9..]).ok().filter(|_| head.starts_with(b"HTTP/1."));
    digits
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| io::Error::other("it is no response of HTTP/1"))
}
