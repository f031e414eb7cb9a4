//! The clients: each runs its script on a thread of its own and writes down what it saw.

mod blocker;
mod exchange;
mod goodbye;
mod link;
mod responses;
mod storm;
mod streams;
mod talk;
mod upgrade;
mod websocket;

pub(crate) use responses::Response;

use crate::{
    clock::Clock,
    plan::{Client, Does},
};
use link::connect;
use nix::libc::ECONNREFUSED;
use std::{io, net::SocketAddr, path::PathBuf, time::Duration};

/// Where the server listens.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    pub(crate) tcp: SocketAddr,
    /// The same as `tcp` where all is served over TLS.
    pub(crate) tls: SocketAddr,
    pub(crate) unix: PathBuf,
}

impl Addresses {
    /// Those whose clients have ports.
    pub(crate) fn of_tcp(&self) -> [SocketAddr; 2] {
        [self.tcp, self.tls]
    }
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
    /// The server said that it ends (WebSocket, or another protocol, with this code).
    Farewell(u16),
    /// Nothing happened for longer than a client waits.
    Hang,
}

impl End {
    /// The end that a blocking call reports.
    fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Hang,
            _ => Self::Broken(error.to_string()),
        }
    }
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
        Does::Streams(script) => streams::run(client, script, addresses, clock),
        Does::Upgrade(script) => upgrade::run(client, script, addresses, clock),
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

fn not_made(error: &io::Error) -> End {
    let refused = error.raw_os_error() == Some(ECONNREFUSED);
    End::NotMade(if refused { "refused".into() } else { error.to_string() })
}
