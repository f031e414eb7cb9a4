//! What a worker listens to besides its clients: the master's channel, and signals sent to it directly.

use hostler_sys::{channel::Channel, own};
use hostler_wire::{FromWorker, ToWorker};
use signal_hook::consts::{SIGINT, SIGQUIT, SIGTERM};
use std::{
    cell::Cell,
    future::poll_fn,
    io,
    os::{fd::OwnedFd, unix},
    task::{Context, Poll, ready},
};
use tokio::{io::Interest, net::UnixStream};

/// What a worker is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Keep serving, but end each connection with its next response.
    LameDuck,
    /// The master's: finish what is in flight, then exit.
    Drain {
        /// Idle connections go to other workers; otherwise the server stops.
        hand_over: bool,
    },
    /// The code was changed: make room for the worker that comes.
    StepAside,
    /// The kernel takes no new connections: accept what waits, for the last time.
    AcceptLast,
    /// SIGTERM, from somebody else: the same, but whether others serve on is unknown.
    Terminate,
    /// There are more workers than before: leave some of the connections to them.
    ShareConnections,
    /// Serve new connections with the certificates that came ([`Control::take_certificates`]).
    RenewCertificates,
    /// Exit now.
    Quit,
    /// The master is gone: finish what can be finished soon.
    Orphaned,
}

impl Order {
    /// What the log calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::LameDuck => "lame duck",
            Self::Drain { hand_over: true } => "drain and hand over idle connections",
            Self::Drain { hand_over: false } => "drain",
            Self::StepAside => "make room for changed code",
            Self::AcceptLast => "accept for the last time",
            Self::ShareConnections => "share connections",
            Self::RenewCertificates => "renew certificates",
            Self::Terminate => "SIGTERM",
            Self::Quit => "exit at once",
            Self::Orphaned => "the master is gone",
        }
    }
}

/// Where orders come from: the channel, and signals.
pub(crate) struct Control {
    channel: Channel,
    /// The channel's descriptor once more, watched by the runtime.
    readable: UnixStream,
    graceful: UnixStream,
    quick: UnixStream,
    certificates: Cell<Option<OwnedFd>>,
}

impl Control {
    /// Registers channel and signals with the runtime of this thread.
    pub(crate) fn new(channel: OwnedFd) -> io::Result<Self> {
        let channel = Channel::from(channel);
        channel.set_nonblocking(true)?;
        let this = Self {
            readable: UnixStream::from_std(channel.try_clone()?.into_fd().into())?,
            channel,
            graceful: signal_stream(&[SIGTERM])?,
            quick: signal_stream(&[SIGINT, SIGQUIT])?,
            certificates: Cell::default(),
        };
        own::claim_handlers([SIGTERM, SIGINT, SIGQUIT]);
        Ok(this)
    }

    /// Tells the master something. A master that is gone is noticed by [`Control::next_order`].
    pub(crate) fn tell(&self, message: &FromWorker) {
        if let Err(error) = self.channel.send(message, &[]) {
            tracing::debug!(%error, "cannot send to the master");
        }
    }

    /// The newest certificates that came.
    pub(crate) fn take_certificates(&self) -> Option<OwnedFd> {
        self.certificates.take()
    }

    /// Waits for the next order.
    pub(crate) async fn next_order(&self) -> Order {
        poll_fn(|cx| {
            if let Poll::Ready(order) = self.poll_channel(cx) {
                return Poll::Ready(order);
            }
            if poll_signal(&self.quick, cx).is_ready() {
                return Poll::Ready(Order::Quit);
            }
            poll_signal(&self.graceful, cx).map(|()| Order::Terminate)
        })
        .await
    }

    fn poll_channel(&self, cx: &mut Context<'_>) -> Poll<Order> {
        loop {
            if ready!(self.readable.poll_read_ready(cx)).is_err() {
                return Poll::Ready(Order::Orphaned);
            }
            match self.readable.try_io(Interest::READABLE, || self.channel.recv::<ToWorker>()) {
                // Received before the worker came here.
                Ok(Some((ToWorker::Boot, _))) => {}
                Ok(Some((ToWorker::LameDuck, _))) => return Poll::Ready(Order::LameDuck),
                Ok(Some((ToWorker::AcceptLast, _))) => return Poll::Ready(Order::AcceptLast),
                Ok(Some((ToWorker::Drain { hand_over }, _))) => {
                    return Poll::Ready(Order::Drain { hand_over });
                }
                Ok(Some((ToWorker::StepAside, _))) => return Poll::Ready(Order::StepAside),
                Ok(Some((ToWorker::ShareConnections, _))) => return Poll::Ready(Order::ShareConnections),
                Ok(Some((ToWorker::ReopenLog, descriptors))) => {
                    hostler_sys::logging::write_to_descriptors(descriptors);
                }
                Ok(Some((ToWorker::Certificates, file))) => {
                    self.certificates.set(file.into_iter().next());
                    return Poll::Ready(Order::RenewCertificates);
                }
                Ok(Some((ToWorker::ReopenAccessLog, descriptors))) => {
                    hostler_sys::logging::access::write_to_descriptors(descriptors);
                }
                Ok(Some((ToWorker::Log(log), _))) => hostler_sys::logging::follow(&log),
                Ok(Some((ToWorker::TellStacks, _))) => hostler_sys::attendant::look(),
                Ok(Some((ToWorker::Quit, _))) => return Poll::Ready(Order::Quit),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(None) | Err(_) => return Poll::Ready(Order::Orphaned),
            }
        }
    }
}

fn signal_stream(signals: &[i32]) -> io::Result<UnixStream> {
    let (reader, writer) = unix::net::UnixStream::pair()?;
    reader.set_nonblocking(true)?;
    own::claim(&reader);
    own::claim(&writer);
    for signal in signals {
        signal_hook::low_level::pipe::register(*signal, writer.try_clone()?)?;
    }
    UnixStream::from_std(reader)
}

fn poll_signal(stream: &UnixStream, cx: &mut Context<'_>) -> Poll<()> {
    loop {
        if ready!(stream.poll_read_ready(cx)).is_err() {
            return Poll::Pending;
        }
        if stream.try_read(&mut [0; 16]).is_ok() {
            return Poll::Ready(());
        }
    }
}
