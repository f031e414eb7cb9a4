//! What an application is to the server.

use crate::{Interim, RequestBody, Upgrades, Works};
use bytes::Bytes;
use hyper::{Request, Response};
use std::{error::Error, fmt, future::Future, net::SocketAddr, path::PathBuf, rc::Rc};

/// Answers requests. One value serves all connections of a worker, on the worker's only thread.
pub trait App: 'static {
    /// The body of its answers.
    type Body: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + 'static;
    /// What it keeps for the life of a connection.
    type Connection: 'static;
    /// An answer under way. Dropped before it is ready when the client goes away.
    type Answer: Future<Output = Result<Response<Self::Body>, Aborted>> + Unpin + 'static;

    /// A connection was accepted.
    fn connect(&self, info: ConnectionInfo, link: Link) -> Self::Connection;

    /// Answers one request of a connection.
    fn call(&self, connection: &Rc<Self::Connection>, request: Request<RequestBody>) -> Self::Answer;

    /// The answer took too long and is dropped after this: whatever makes it should stop.
    fn time_out(_answer: &mut Self::Answer) {}

    /// The client of a request in flight sends no more: it may have left, or still wait for its answer. Whether
    /// the answer is to be made all the same.
    fn client_finished(&self, _connection: &Rc<Self::Connection>) -> bool {
        false
    }

    /// The worker drains: whoever streams without an end is to be told.
    fn end_streams(&self) {}
}

/// The application gave no answer that can be sent: the connection is closed without one.
#[derive(Debug)]
pub struct Aborted;

impl fmt::Display for Aborted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the application gave no answer")
    }
}

impl Error for Aborted {}

/// What an application can do with a connection beside answering its requests.
#[derive(Clone)]
pub struct Link {
    /// An answer with status 101 is followed by what was left here.
    pub upgrades: Upgrades,
    /// Where interim answers go.
    pub interim: Interim,
    /// Where it says that it goes on after an answer.
    pub works: Works,
}

/// The two ends of a connection.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// The client.
    pub peer: PeerAddress,
    /// The socket it reached.
    pub local: PeerAddress,
}

/// An end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerAddress {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A Unix socket; clients have no path.
    Unix(Option<PathBuf>),
}
