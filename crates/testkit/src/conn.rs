//! A connection on which the test chooses each byte.

use crate::LIMIT;
use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::Path,
};

/// A connection to a server.
pub struct Conn {
    stream: TcpStream,
    /// What was read beyond the last reply.
    rest: Vec<u8>,
}

/// An HTTP response.
#[derive(Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, without chunk framing.
    pub body: Vec<u8>,
}

impl Reply {
    /// The first header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Conn {
    /// Connects.
    #[must_use]
    pub fn to(address: SocketAddr) -> Self {
        Self::try_to(address).expect("the server listens")
    }

    /// Connects, or says why not.
    ///
    /// # Errors
    /// The kernel's (connect(2)).
    pub fn try_to(address: SocketAddr) -> io::Result<Self> {
        Self::with(TcpStream::connect(address)?)
    }

    /// A connection that was made otherwise.
    #[must_use]
    pub fn of(socket: OwnedFd) -> Self {
        Self::with(socket.into()).expect("it is open")
    }

    fn with(stream: TcpStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(LIMIT))?;
        Ok(Self { stream, rest: Vec::new() })
    }

    /// GET, and its reply or what went wrong.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn try_get(&mut self, path: &str, keep: bool) -> io::Result<Reply> {
        let close = if keep { "" } else { "connection: close\r\n" };
        self.stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: test\r\n{close}\r\n").as_bytes())?;
        self.reply()
    }

    /// Sends these bytes.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the server reads");
    }

    /// Half-closes: sends no more, and can still read.
    pub fn finish(&self) {
        self.stream.shutdown(Shutdown::Write).expect("it is open");
    }

    /// GET, and its reply.
    pub fn get(&mut self, path: &str) -> Reply {
        self.request("GET", path, "", b"")
    }

    /// A request with a body, and its reply. `headers` are lines that end with CR LF.
    pub fn request(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> Reply {
        let length =
            if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
        self.send(format!("{method} {path} HTTP/1.1\r\nhost: test\r\n{headers}{length}\r\n"));
        self.send(body);
        self.reply_to(method).expect("a whole reply")
    }

    /// Reads one reply.
    ///
    /// # Errors
    /// When the connection ends before the reply does.
    pub fn reply(&mut self) -> io::Result<Reply> {
        self.reply_to("GET")
    }

    fn reply_to(&mut self, method: &str) -> io::Result<Reply> {
        let head = self.until(b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let status: u16 = status.ok_or_else(|| io::Error::other(format!("no status line: {head}")))?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut reply = Reply { status, headers, body: Vec::new() };
        if status == 100 {
            return self.reply_to(method);
        }
        if method != "HEAD" && !matches!(status, 101 | 103 | 204 | 304) {
            reply.body = self.body(&reply)?;
        }
        Ok(reply)
    }

    fn body(&mut self, reply: &Reply) -> io::Result<Vec<u8>> {
        if reply.header("transfer-encoding") == Some("chunked") {
            let mut body = Vec::new();
            loop {
                let line = self.until(b"\r\n")?;
                let size = String::from_utf8_lossy(&line);
                let size = usize::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
                body.extend(self.exactly(size)?);
                self.exactly(2)?;
                if size == 0 {
                    return Ok(body);
                }
            }
        }
        match reply.header("content-length") {
            Some(length) => self.exactly(length.parse().map_err(io::Error::other)?),
            None => self.to_end(),
        }
    }

    /// The connection once more, to be written from another thread.
    #[must_use]
    pub fn clone_stream(&self) -> TcpStream {
        self.stream.try_clone().expect("a descriptor is left")
    }

    /// The connection itself; what was read of it beyond the last reply is lost.
    #[must_use]
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Reads what comes until the server closes.
    ///
    /// # Errors
    /// When the connection is reset.
    pub fn to_end(&mut self) -> io::Result<Vec<u8>> {
        let mut all = std::mem::take(&mut self.rest);
        self.stream.read_to_end(&mut all)?;
        Ok(all)
    }

    /// Whether there is something to read now.
    pub fn is_readable(&mut self) -> bool {
        self.stream.set_nonblocking(true).expect("it is open");
        let found = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).expect("it is open");
        !self.rest.is_empty() || found.is_ok()
    }

    /// Whether the server closed or reset the connection without another byte.
    pub fn is_closed(&mut self) -> bool {
        self.to_end().map_or(true, |rest| rest.is_empty())
    }

    /// Reads exactly so many bytes.
    ///
    /// # Errors
    /// When the connection ends before.
    pub fn exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.rest.len() < count {
            self.more()?;
        }
        Ok(self.rest.drain(..count).collect())
    }

    fn until(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        let mut seen = 0;
        loop {
            if let Some(at) = self.rest[seen..].windows(end.len()).position(|window| window == end) {
                let mut found: Vec<u8> = self.rest.drain(..seen + at + end.len()).collect();
                found.truncate(found.len() - end.len());
                return Ok(found);
            }
            seen = self.rest.len().saturating_sub(end.len() - 1);
            self.more()?;
        }
    }

    fn more(&mut self) -> io::Result<()> {
        let mut block = [0; 65536];
        match self.stream.read(&mut block)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.rest.extend_from_slice(&block[..count]);
                Ok(())
            }
        }
    }
}

/// GET on a new connection to a Unix socket, and the body of its response.
///
/// # Errors
/// Those of the connection, and when it ends without a response.
pub fn get_unix(socket: &Path, path: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 200 "), "{text}");
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    body.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}
