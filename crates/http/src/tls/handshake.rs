//! The handshake of a connection, from its first byte to its facts.

use super::{Certificates, refused::refused_certificate, stream::TlsStream};
use crate::{
    TlsInfo,
    connection::{ConnectionHandle, Origin},
    proxy::preface::Socket,
    request::refusal::Refusal,
};
use hostler_sys::stream;
use hostler_tls::Sites;
use rustls::server::Acceptor;
use std::{io, rc::Rc};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::sleep,
};
use tokio_rustls::LazyConfigAcceptor;
use tracing::debug;

/// The response to HTTP without TLS.
pub(crate) const PLAIN_HTTP: Refusal =
    Refusal::malformed("HTTP without TLS, and this address is served over TLS: use https://");

/// How the requests of HTTP clients begin, HTTP/2 with prior knowledge included.
const HTTP: [&[u8]; 10] =
    [b"GET ", b"HEAD", b"POST", b"PUT ", b"DELE", b"OPTI", b"PATC", b"CONN", b"TRAC", b"PRI "];

/// What a client has begun with.
pub(crate) enum Outcome<S> {
    /// A handshake, which is done.
    Tls(Box<TlsStream<S>>, TlsInfo),
    /// HTTP without TLS, of which no byte was read.
    Http(S),
}

/// A handshake that did not succeed, for the log.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{0}")]
    Refused(#[from] io::Error),
    #[error("the client took longer than --ssl-handshake-timeout")]
    TimedOut,
    #[error("the worker ends")]
    WorkerEnds,
    #[error("there is no certificate")]
    NoCertificate,
}

impl Failed {
    /// Tells the log. Certificates of clients are told of at the usual level, because these clients are known ones;
    /// others may be anyone's scans.
    #[cold]
    fn tell(&self, handle: &ConnectionHandle) {
        if let Self::Refused(error) = self
            && let Some(cause) = refused_certificate(error)
        {
            return handle.report_certificate(cause);
        }
        let client = handle.client().map(|client| client.to_string()).unwrap_or_default();
        debug!(client, error = %self, "a TLS handshake failed");
    }
}

/// Shakes hands with a client; `None` if that failed: the connection is over.
pub(crate) async fn shake_hands<S>(
    socket: S,
    certificates: &Certificates,
    handle: &Rc<ConnectionHandle>,
    origin: Origin,
) -> Option<Outcome<S>>
where
    S: Socket + AsyncRead + AsyncWrite + Unpin,
{
    let outcome = match certificates.sites() {
        Some(sites) => {
            tokio::select! {
                biased;
                outcome = accept(socket, &sites) => outcome,
                () = handle.worker_ends(origin) => Err(Failed::WorkerEnds),
                () = sleep(certificates.handshake_timeout()) => Err(Failed::TimedOut),
            }
        }
        None => Err(Failed::NoCertificate),
    };
    handle.handshake_ended();
    outcome.inspect_err(|failed| failed.tell(handle)).ok()
}

async fn accept<S>(socket: S, sites: &Sites) -> Result<Outcome<S>, Failed>
where
    S: Socket + AsyncRead + AsyncWrite + Unpin,
{
    if begins_with_http(&socket).await? {
        return Ok(Outcome::Http(socket));
    }
    let start = LazyConfigAcceptor::new(Acceptor::default(), socket).await?;
    let site = sites.choose(&start.client_hello()).ok_or(Failed::NoCertificate)?;
    let config = site.config_for(&start.client_hello());
    let (socket, session) = start.into_stream(config).await?.into_inner();
    let info = TlsInfo::of(&session, site);
    Ok(Outcome::Tls(Box::new(TlsStream::new(socket, session)), info))
}

/// Whether the first bytes of a client are those of an HTTP request. They stay with the kernel.
async fn begins_with_http(socket: &impl Socket) -> io::Result<bool> {
    let mut first = [0; 4];
    let count = socket.when_readable(|| stream::peek(socket.as_fd(), &mut first)).await?;
    Ok(HTTP.contains(&&first[..count]))
}
