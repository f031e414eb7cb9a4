//! What is going to happen in a round, as data: a round can be repeated, and its parts left out one by one.

mod draw;
mod misfortune;
mod streams;
mod talks;

pub(crate) use draw::draw;
pub(crate) use talks::UNBUFFERED;

use crate::ask::Ask;
use std::fmt;

/// How the application is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// ASGI.
    Asgi,
    /// WSGI on the worker's thread.
    Wsgi,
    /// WSGI on several threads.
    WsgiThreads,
    /// RSGI.
    Rsgi,
    /// A native service.
    Native,
}

impl Interface {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Asgi, Self::Wsgi, Self::WsgiThreads, Self::Rsgi, Self::Native];

    /// As the command line says it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Asgi => "asgi",
            Self::Wsgi => "wsgi",
            Self::WsgiThreads => "wsgi-threads",
            Self::Rsgi => "rsgi",
            Self::Native => "native",
        }
    }
}

/// What is going to happen.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) setup: Setup,
    pub(crate) clients: Vec<Client>,
    pub(crate) events: Vec<Event>,
}

/// How the server is started.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) interface: Interface,
    pub(crate) workers: usize,
    pub(crate) per_worker_queues: bool,
    pub(crate) preload: bool,
    pub(crate) gathers_pipelines: bool,
    pub(crate) max_requests: Option<u64>,
    /// Its log goes to a file on a full disk.
    pub(crate) full_disk: bool,
    /// It logs much.
    pub(crate) talkative: bool,
    /// All connections are over TLS.
    pub(crate) only_tls: bool,
    /// It has a task queue, and another application.
    pub(crate) tasks: bool,
    /// It has companions.
    pub(crate) companions: bool,
}

impl Setup {
    /// One worker, and nothing special.
    pub(crate) fn plain(interface: Interface) -> Self {
        Self {
            interface,
            workers: 1,
            per_worker_queues: false,
            preload: false,
            gathers_pipelines: false,
            max_requests: None,
            full_disk: false,
            talkative: false,
            only_tls: false,
            tasks: false,
            companions: false,
        }
    }
}

/// A client; it begins after so many milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) id: usize,
    pub(crate) begins: u64,
    pub(crate) way: Way,
    pub(crate) manner: &'static str,
    pub(crate) does: Does,
}

/// How a client reaches the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Tcp,
    Unix,
    Tls,
}

/// What a client does.
#[derive(Clone, Debug)]
pub(crate) enum Does {
    Talk(Talk),
    Streams(Streams),
    WebSocket(Socket),
    Upgrade(Upgrade),
    /// So many connections that are made and left at once.
    Storm(usize),
    /// Quick requests beside one that blocks its worker.
    Blocker(Blocker),
}

/// An HTTP connection.
#[derive(Clone, Debug)]
pub(crate) struct Talk {
    pub(crate) asks: Vec<Ask>,
    pub(crate) steps: Vec<Step>,
    pub(crate) reader: Reader,
    /// The first request that is against the rules or is not sent to its end.
    pub(crate) breaks_at: Option<usize>,
    /// Requests before which, or in whose heads, the client is slower than the server waits.
    pub(crate) late_from: Option<usize>,
    /// It does not read for longer than the server waits.
    pub(crate) deaf: bool,
}

/// A client of HTTP/2, which connects again when the server says goodbye.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    pub(crate) streams: Vec<Stream>,
    /// How many are open at a time.
    pub(crate) at_once: usize,
    /// Pauses between them, in milliseconds.
    pub(crate) rest: u64,
    /// Its window for each stream.
    pub(crate) window: u32,
    /// It leaves in the middle of its first streams.
    pub(crate) leaves: bool,
}

/// A request on a stream of its own.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) ask: Ask,
    pub(crate) manner: Manner,
}

/// How a client treats a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Manner {
    Plain,
    /// Reads so many bytes a second.
    Reads(usize),
    /// Sends so many bytes of the body at a time, with a pause of so many milliseconds between.
    Sends(usize, u64),
    /// Sends a half of the body and no more, for longer than the server waits.
    Stalls,
    /// Resets it after so many milliseconds.
    Resets(u64),
}

/// A step of an HTTP connection. Numbers of requests are their places in the talk.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Head(usize),
    /// A part of a head.
    HeadPart(usize, usize, usize),
    Body(usize, usize, usize),
    Raw(&'static str),
    /// From now on so many bytes at a time, with a pause of so many milliseconds between.
    Pace(usize, u64),
    Pause(u64),
    /// Until so many responses are whole.
    Await(usize),
    /// Until the server says 100, or for so many milliseconds.
    AwaitContinue(u64),
    /// Until so many bytes were read.
    AwaitBytes(usize),
    HalfClose,
    Close,
    Reset,
}

/// How a client reads.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reader {
    Fast,
    /// Bytes a second.
    Slow(usize),
    /// Not at all for so many milliseconds, then fast.
    Late(u64),
    /// Stops after so many bytes for so many milliseconds.
    Stops(usize, u64),
}

/// Connections of which the last has its worker blocked, with a quick request on each of the others just before.
#[derive(Clone, Debug)]
pub(crate) struct Blocker {
    /// The number of the first request; each has the next.
    pub(crate) number: u64,
    /// How many connections are made, so that some are with the same worker.
    pub(crate) connections: usize,
    /// For how long the worker is blocked.
    pub(crate) block: u64,
}

/// A WebSocket.
#[derive(Clone, Debug)]
pub(crate) struct Socket {
    pub(crate) number: u64,
    pub(crate) messages: Vec<usize>,
    /// All messages are sent before the first echo is read.
    pub(crate) at_once: bool,
    pub(crate) pause: u64,
    /// It disconnects without a close frame.
    pub(crate) leaves: bool,
}

/// A connection that goes on with another protocol after its request.
#[derive(Clone, Debug)]
pub(crate) struct Upgrade {
    /// The request; what the application says last has the length of its response.
    pub(crate) ask: Ask,
    /// What is sent after it and echoed, in pieces with pauses of so many milliseconds between.
    pub(crate) pieces: Vec<usize>,
    pub(crate) pause: u64,
    /// It reads so many bytes a second.
    pub(crate) rate: Option<u64>,
    /// It leaves in the middle.
    pub(crate) leaves: bool,
}

impl Upgrade {
    pub(crate) fn reader(&self) -> Reader {
        match self.rate {
            Some(rate) => Reader::Slow(usize::try_from(rate).unwrap_or(usize::MAX)),
            None => Reader::Fast,
        }
    }
}

/// Something that happens after so many milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) at: u64,
    pub(crate) act: Act,
}

/// A misfortune.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    Signal(Target, nix::sys::signal::Signal),
    Freeze(Target, u64),
    /// So many descriptors more than it has, for so many milliseconds.
    FewDescriptors(Target, u64, u64),
    /// A stop by this signal, and a new start.
    Restart(nix::sys::signal::Signal),
    /// An upgrade whose new server is killed while the old one drains.
    UpgradeDies,
    /// The log is not read for so many milliseconds.
    LogStuck(u64),
    /// The log's reader is gone.
    LogDead,
    /// The certificate is replaced.
    Renewal,
    /// The certificate's file has none for so many milliseconds, and then a new one.
    BadCertificate(u64),
}

/// The process that it happens to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    Master,
    /// The other master, while there are two.
    Successor,
    Mold,
    /// One of the workers, counted round and round.
    Worker(usize),
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} workers", self.interface.name(), self.workers)?;
        let flags = [
            (self.per_worker_queues, "per-worker queues"),
            (self.preload, "preload"),
            (self.gathers_pipelines, "gathers pipelines"),
            (self.full_disk, "log on a full disk"),
            (self.only_tls, "TLS only"),
        ];
        for (_, name) in flags.iter().filter(|(set, _)| *set) {
            write!(f, ", {name}")?;
        }
        self.max_requests.map_or(Ok(()), |most| write!(f, ", at most {most} requests a worker"))
    }
}
