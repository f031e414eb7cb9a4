//! A client of HTTP/2: some streams at a time, and another connection when the server says goodbye.
//!
//! What the server has refused, or has not begun to serve when it said goodbye, is asked for again; everything else is
//! answered, or lost.

use super::{
    Addresses, End, PATIENCE, Record, Response, connect,
    exchange::{Got, exchange},
    goodbye::{Seen, Watched},
    not_made,
};
use crate::{
    clock::Clock,
    edge,
    plan::{Client, Reader, Streams, Way},
};
use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    task::{JoinHandle, LocalSet, spawn_local},
    time::{sleep, timeout},
};
use tokio_rustls::TlsConnector;

/// How often a client connects again.
const CONNECTIONS: usize = 60;
/// The window of a connection: no stream is to wait for another.
const WINDOW: u32 = 64 << 20;
/// When a client leaves that leaves in the middle.
const LEAVES: Duration = Duration::from_millis(40);
/// How long a connection may take to end after the goodbye, when all is answered.
const PARTS: Duration = Duration::from_secs(8);

pub(super) fn run(client: &Client, script: &Streams, addresses: &Addresses, clock: Clock) -> Record {
    let record = Record::begin(client, clock);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return record.end(not_made(&error), clock),
    };
    let mut asking = Asking { client, script, addresses, clock, record };
    let end = LocalSet::new().block_on(&runtime, asking.go());
    asking.record.end(end, clock)
}

struct Asking<'a> {
    client: &'a Client,
    script: &'a Streams,
    addresses: &'a Addresses,
    clock: Clock,
    record: Record,
}

/// A connection.
struct Connection {
    sender: SendRequest<Bytes>,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Asking<'_> {
    async fn go(&mut self) -> End {
        let mut left: Vec<usize> = (0..self.script.streams.len()).rev().collect();
        for _ in 0..CONNECTIONS {
            let connection = match self.connect().await {
                Ok(made) => made,
                Err(end) => return end,
            };
            if let Err(end) = self.use_up(&connection, &mut left).await {
                return end;
            }
            if let Some(complaint) = connection.part().await {
                return End::Broken(complaint);
            }
            if left.is_empty() {
                return End::Complete;
            }
        }
        End::Broken("sent away too often".into())
    }

    /// Asks for what is left on a connection, until that ends.
    async fn use_up(&mut self, connection: &Connection, left: &mut Vec<usize>) -> Result<(), End> {
        while !left.is_empty() && connection.is_open() {
            let wave = left.split_off(left.len().saturating_sub(self.script.at_once));
            if self.script.leaves {
                let _ = timeout(LEAVES, self.ask(connection, &wave)).await;
                return Err(End::Scripted);
            }
            let got = self.ask(connection, &wave).await;
            let refused = wave.into_iter().zip(&got).filter(|(_, got)| matches!(got, Got::Refused));
            let refused: Vec<usize> = refused.map(|(place, _)| place).collect();
            left.extend(&refused);
            self.note(got)?;
            if !refused.is_empty() {
                return Ok(());
            }
            sleep(Duration::from_millis(self.script.rest)).await;
        }
        Ok(())
    }

    /// Asks for these at once.
    async fn ask(&self, connection: &Connection, wave: &[usize]) -> Vec<Got> {
        let tasks: Vec<_> = wave
            .iter()
            .map(|place| {
                let (sender, seen) = (connection.sender.clone(), connection.seen.clone());
                spawn_local(exchange(self.script.streams[*place].clone(), sender, seen, self.clock))
            })
            .collect();
        let mut all = Vec::new();
        for task in tasks {
            all.push(task.await.unwrap_or_else(|_| Got::Wrong("the client's task panicked".into())));
        }
        all
    }

    /// Writes down what came; the end, if nothing more is to be asked for.
    fn note(&mut self, all: Vec<Got>) -> Result<(), End> {
        let mut lost = None;
        for got in all {
            match got {
                Got::Whole(response) => {
                    self.record.heard = self.record.heard.max(response.whole_at);
                    self.record.responses.push(response);
                }
                Got::Wrong(fault) => {
                    self.record.fault.get_or_insert(fault);
                }
                Got::Lost { end, asked, partial } => {
                    // The oldest of them has the fewest excuses.
                    let first = self.record.asked.first().copied().filter(|_| lost.is_some());
                    self.record.asked = vec![first.map_or(asked, |first| first.min(asked))];
                    self.record.partial = partial.or(self.record.partial.take());
                    lost = Some(end);
                }
                Got::Refused | Got::Left => {}
            }
        }
        let odd = |response: &Response| response.status != 200 || !response.numbered;
        match lost {
            Some(end) => Err(end),
            None if self.record.fault.is_some() || self.record.responses.iter().any(odd) => {
                Err(End::Complete)
            }
            None => Ok(()),
        }
    }

    async fn connect(&mut self) -> Result<Connection, End> {
        self.record.began = self.clock.now();
        let reader = if self.script.window < 65_535 { Reader::Slow(1) } else { Reader::Fast };
        let (socket, port) =
            connect(self.client, self.addresses, reader).map_err(|error| not_made(&error))?;
        self.record.port = port;
        let shaken = timeout(PATIENCE, shake_hands(socket, self.client.way, self.script.window)).await;
        shaken.map_err(|_| End::Hang)?.map_err(|error| End::Broken(error.to_string()))
    }
}

/// Begins HTTP/2 on a socket.
async fn shake_hands(socket: socket2::Socket, way: Way, window: u32) -> io::Result<Connection> {
    socket.set_nonblocking(true)?;
    let stream: Box<dyn Stream> = match way {
        Way::Unix => Box::new(UnixStream::from_std(socket.into())?),
        Way::Tcp => Box::new(TcpStream::from_std(socket.into())?),
        Way::Tls => {
            let connector = TlsConnector::from(edge::trust(true));
            let tls = connector.connect(edge::host(), TcpStream::from_std(socket.into())?).await?;
            if tls.get_ref().1.alpn_protocol() != Some(b"h2") {
                return Err(io::Error::other("HTTP/2 was not chosen by ALPN"));
            }
            Box::new(tls)
        }
    };
    let (stream, seen) = Watched::new(stream);
    let mut builder = Builder::new();
    builder.initial_window_size(window).initial_connection_window_size(WINDOW);
    let (sender, connection) = builder.handshake(stream).await.map_err(io::Error::other)?;
    // How it ends is seen, and told by the streams.
    let task = tokio::spawn(async move { drop(connection.await) });
    Ok(Connection { sender, seen, task })
}

impl Connection {
    fn seen(&self) -> Seen {
        self.seen.lock().expect("no thread panics").clone()
    }

    /// Streams can be opened.
    fn is_open(&self) -> bool {
        let seen = self.seen();
        seen.goodbye.is_none() && seen.end.is_none()
    }

    /// Ends it, or sees it end; what is wrong with that.
    async fn part(self) -> Option<String> {
        if self.is_open() {
            return None;
        }
        drop(self.sender);
        let ended = timeout(PARTS, self.task).await;
        let seen = self.seen.lock().expect("no thread panics").clone();
        ended.map_or_else(|_| Some("not closed after GOAWAY".into()), |_| seen.complaint())
    }
}
