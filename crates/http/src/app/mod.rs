//! What an application is to the server.

pub(crate) mod body;
pub(crate) mod info;
pub(crate) mod tower;
pub(crate) mod upgrade;

use crate::{BackgroundTasks, ConnectionInfo, FileBody, Interim, RequestBody, Upgrades};
use bytes::Bytes;
use hyper::{Request, Response};
use std::{error::Error, fmt, future::Future, rc::Rc};

/// Responds to requests. One value serves all connections of a worker, on the worker's only thread.
pub trait App: 'static {
    /// The body of its responses.
    type Body: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + 'static;
    /// What it keeps for the life of a connection.
    type Connection: 'static;
    /// A response under way. Dropped before it is ready when the client disconnects.
    type ResponseFuture: Future<Output = Result<Response<Self::Body>, Aborted>> + Unpin + 'static;

    /// A connection was accepted, and any handshake is done.
    fn connect(&self, info: ConnectionInfo, link: Link) -> Self::Connection;

    /// Handles one request of a connection. The work begins when the future is polled, which may be later.
    fn call(&self, connection: &Rc<Self::Connection>, request: Request<RequestBody>) -> Self::ResponseFuture;

    /// The file that is a response's whole body, if one is: it is sent as static files are. The body is dropped then.
    fn take_file(_body: &mut Self::Body) -> Option<Box<FileBody>> {
        None
    }

    /// The response took too long and is dropped after this: the handler should stop.
    fn time_out(_response: &mut Self::ResponseFuture) {}

    /// The client of a request in flight has half-closed the connection: it may be gone, or still wait for its response.
    /// Whether the request is to be handled all the same.
    fn client_half_closed(&self, _connection: &Rc<Self::Connection>) -> bool {
        false
    }

    /// Whether clients may ask for a WebSocket on a stream of HTTP/2 (RFC 8441). What follows the response is then left in
    /// [`Link::upgrades`], as on an HTTP/1 connection; the response has the status 200.
    fn serves_websocket(&self) -> bool {
        false
    }

    /// Whether a request may wait for a thread before its application is called.
    fn queues(&self) -> bool {
        false
    }

    /// Whether a response may be sent past hyper ([`Interim::begin_response`]).
    fn bypasses(&self) -> bool {
        false
    }

    /// The worker drains: these streams should end.
    fn end_streams(&self, _which: Streams) {}
}

/// Which streams are to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Streams {
    /// Those that are known to have no end: event streams and WebSockets.
    Endless,
    /// All, also those that may end by themselves, such as downloads.
    All,
}

/// The application has no response that can be sent: the connection is closed without one.
#[derive(Debug)]
pub struct Aborted;

impl fmt::Display for Aborted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the application sent no response")
    }
}

impl Error for Aborted {}

/// What an application can do with a connection besides responding to its requests.
#[derive(Clone)]
pub struct Link {
    /// The protocol that follows a response with status 101.
    pub upgrades: Upgrades,
    /// Sends interim responses.
    pub interim: Interim,
    /// Registers what runs on after a response.
    pub background: BackgroundTasks,
}
