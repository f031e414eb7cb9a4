//! Accepting connections, within limits: a client that does not read, or sends nothing, costs a place that another one takes when
//! it needs it.

use crate::{
    connection::{self, Client},
    respond::Observer,
    start::appear,
};
use hostler_sys::{channel::Channel, logging, socket};
use hostler_wire::ToProgram;
use std::{
    cell::RefCell,
    collections::VecDeque,
    io,
    net::TcpListener as StdTcpListener,
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream},
    },
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::Interest,
    net::{TcpListener, UnixListener, UnixStream},
    task::AbortHandle,
    time::{sleep, timeout},
};

/// How many connections there may be; for one more the oldest is closed.
const MOST: usize = 32;
/// How often to look whether this server has the service.
const SERVICE_CHECK: Duration = Duration::from_millis(20);
/// How long to wait after accept(2) has failed.
const PAUSE: Duration = Duration::from_millis(200);

/// How long clients whose connections are open at the end have for their request and its response: less than the master waits.
const LAST: Duration = Duration::from_millis(300);

type Open = Rc<RefCell<VecDeque<AbortHandle>>>;

/// A listening socket.
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    fn new(socket: OwnedFd) -> io::Result<Self> {
        Ok(match socket::tcp_address(&socket) {
            Ok(_) => Self::Tcp(TcpListener::from_std(StdTcpListener::from(socket))?),
            Err(_) => Self::Unix(UnixListener::from_std(StdUnixListener::from(socket))?),
        })
    }

    /// Serves the next connection, if this server has the service.
    fn poll_accept(&self, cx: &mut Context<'_>, observer: &Rc<Observer>) -> Poll<io::Result<AbortHandle>> {
        if !observer.has_service() {
            return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
        }
        let observer = Rc::clone(observer);
        let client = |is_remote| Rc::new(Client::new(is_remote));
        Poll::Ready(Ok(match self {
            Self::Tcp(listener) => {
                let (socket, _) = ready!(listener.poll_accept(cx))?;
                tokio::task::spawn_local(connection::serve(observer, socket, client(true))).abort_handle()
            }
            Self::Unix(listener) => {
                let (socket, _) = ready!(listener.poll_accept(cx))?;
                tokio::task::spawn_local(connection::serve(observer, socket, client(false))).abort_handle()
            }
        }))
    }
}

/// Serves these listening sockets, until the master closes its end of the channel, or is gone.
pub(crate) async fn all(observer: Rc<Observer>, sockets: Vec<OwnedFd>, channel: Channel) -> io::Result<()> {
    let open = Open::default();
    let mut accepting = Vec::new();
    for socket in sockets {
        let accept = accept(Rc::clone(&observer), Listener::new(socket)?, Rc::clone(&open));
        accepting.push(tokio::task::spawn_local(accept));
    }
    follow(&channel, &observer).await?;
    accepting.iter().for_each(tokio::task::JoinHandle::abort);
    observer.ending.send_replace(true);
    let _ = timeout(LAST, closed(&open)).await;
    Ok(())
}

/// Waits until there is no connection.
async fn closed(open: &Open) {
    while open.borrow().iter().any(|task| !task.is_finished()) {
        sleep(SERVICE_CHECK).await;
    }
}

/// Heeds what the master says, until it closes its end of the channel, or is gone.
async fn follow(channel: &Channel, observer: &Observer) -> io::Result<()> {
    channel.set_nonblocking(true)?;
    // Only to wait on.
    let readable = UnixStream::from_std(StdUnixStream::from(channel.try_clone()?.into_fd()))?;
    loop {
        readable.readable().await?;
        match readable.try_io(Interest::READABLE, || channel.recv::<ToProgram>()) {
            Ok(Some((ToProgram::Appear(appearance), _))) => appear(&appearance),
            Ok(Some((ToProgram::ReopenLog, descriptors))) => logging::write_to_descriptors(descriptors),
            Ok(Some((ToProgram::Companions { from, views }, _))) => {
                let mut known = observer.companions.borrow_mut();
                known.truncate(from);
                known.extend(views);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(None) | Err(_) => return Ok(()),
        }
    }
}

/// Accepts connections while this server has the service. During an upgrade two observers have the same sockets.
async fn accept(observer: Rc<Observer>, listener: Listener, open: Open) {
    loop {
        while !observer.has_service() {
            sleep(SERVICE_CHECK).await;
        }
        match std::future::poll_fn(|cx| listener.poll_accept(cx, &observer)).await {
            Ok(connection) => admit(connection, &open),
            Err(_) if !observer.has_service() => {}
            // No descriptors or no memory, most likely.
            Err(_) => sleep(PAUSE).await,
        }
    }
}

/// Keeps the number of connections within its limit.
fn admit(connection: AbortHandle, open: &Open) {
    let mut open = open.borrow_mut();
    open.retain(|task| !task.is_finished());
    if open.len() >= MOST
        && let Some(oldest) = open.pop_front()
    {
        oldest.abort();
    }
    open.push_back(connection);
}
