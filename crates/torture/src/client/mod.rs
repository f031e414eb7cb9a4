//! The clients: each runs its script on a thread of its own and writes down what it saw.

mod blocker;
mod responses;
mod storm;
mod talk;
mod websocket;

pub(crate) use responses::Response;

use crate::{
    clock::Clock,
    plan::{Client, Does, Reader},
};
use nix::libc::ECONNREFUSED;
use socket2::{Domain, SockAddr, Socket, Type};
use std::{io, net::SocketAddr, path::PathBuf, time::Duration};

/// Where the server listens.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    pub(crate) tcp: SocketAddr,
    pub(crate) unix: PathBuf,
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It was never made.
    NotMade(String),
    /// Everything was said and answered, and the client left.
    Complete,
    /// The client left as its script says.
    Scripted,
    /// The server ended it.
    Closed,
    /// The server or the kernel broke it.
    Broken(String),
    /// The server said that it ends (WebSocket, with this code).
    Farewell(u16),
    /// Nothing happened for longer than a client waits.
    Hang,
}

/// What a client saw.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) client: usize,
    /// The client's own TCP port, by which the server's end is found.
    pub(crate) port: Option<u16>,
    pub(crate) began: u64,
    pub(crate) ended: u64,
    pub(crate) end: End,
    /// Responses that came whole.
    pub(crate) responses: Vec<Response>,
    /// What there is of the next one.
    pub(crate) partial: Option<String>,
    /// When each request was given to the kernel to its end; 0 if it never was.
    pub(crate) asked: Vec<u64>,
    /// When the last byte came.
    pub(crate) heard: u64,
    /// What is wrong whatever else happened.
    pub(crate) fault: Option<String>,
    /// What is wrong unless a process was suspended.
    pub(crate) held_up: Option<String>,
}

/// How long a client waits when nothing moves.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a client to its end.
pub(crate) fn run(client: &Client, addresses: &Addresses, clock: Clock) -> Record {
    clock.wait_until(client.begins);
    match &client.does {
        Does::Talk(talk) => talk::run(client, talk, addresses, clock),
        Does::WebSocket(socket) => websocket::run(client, socket, addresses, clock),
        Does::Storm(count) => storm::run(client, *count, addresses, clock),
        Does::Blocker(script) => blocker::run(client, script, addresses, clock),
    }
}

impl Record {
    fn begin(client: &Client, clock: Clock) -> Self {
        Self {
            client: client.id,
            port: None,
            began: clock.now(),
            ended: 0,
            end: End::Complete,
            responses: Vec::new(),
            partial: None,
            asked: Vec::new(),
            heard: 0,
            fault: None,
            held_up: None,
        }
    }

    fn end(mut self, end: End, clock: Clock) -> Self {
        self.end = end;
        self.ended = clock.now();
        self
    }
}

/// Connects; clients that read slowly have small buffers, so that the server notices.
fn connect(client: &Client, addresses: &Addresses, reader: Reader) -> io::Result<(Socket, Option<u16>)> {
    let (domain, address) = if client.unix {
        (Domain::UNIX, SockAddr::unix(&addresses.unix)?)
    } else {
        (Domain::IPV4, addresses.tcp.into())
    };
    let socket = Socket::new(domain, Type::STREAM, None)?;
    if !matches!(reader, Reader::Fast) {
        socket.set_recv_buffer_size(32 << 10)?;
    }
    if client.unix {
        socket.connect(&address)?;
        return Ok((socket, None));
    }
    socket.connect_timeout(&address, PATIENCE)?;
    socket.set_tcp_nodelay(true)?;
    let port = socket.local_addr()?.as_socket().map(|own| own.port());
    Ok((socket, port))
}

fn not_made(error: &io::Error) -> End {
    let refused = error.raw_os_error() == Some(ECONNREFUSED);
    End::NotMade(if refused { "refused".into() } else { error.to_string() })
}
