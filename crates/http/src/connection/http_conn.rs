//! hyper's side of a connection that speaks HTTP/1; that of HTTP/2 is [`crate::h2::connection`].

use super::service::AppService;
use crate::{
    App,
    io::{CoalescingIo, transport::Transport},
};
use hostler_settings::{Http, Http2};
use hyper::{
    rt::{Read, Write},
    server::conn::http1,
};
use std::{
    pin::Pin,
    task::{Context, Poll},
};

/// hyper's settings, the same for all connections of a worker.
pub(crate) struct HttpBuilder {
    h1: http1::Builder,
    h2: Http2,
}

impl HttpBuilder {
    pub(crate) fn new(settings: &Http, h2: Http2) -> Self {
        Self { h1: crate::h1::builder(settings), h2 }
    }

    /// The settings of HTTP/2 connections.
    pub(crate) fn http2(&self) -> Http2 {
        self.h2
    }

    /// Gives a socket to hyper.
    pub(super) fn serve<S, A>(&self, io: CoalescingIo<S>, service: AppService<A>) -> HttpConn<S, A>
    where
        S: Read + Write + Transport + Unpin + 'static,
        A: App<Body: Unpin>,
    {
        io.handle().files.set_direct(S::SENDS_FILES);
        HttpConn::H1(Box::new(self.h1.serve_connection(io, service)))
    }
}

/// A connection in hyper. Boxed, so that a parked connection is small.
pub(crate) enum HttpConn<S: Read + Write + Transport + Unpin + 'static, A: App<Body: Unpin>> {
    /// HTTP/1.0 or HTTP/1.1.
    H1(Box<http1::Connection<CoalescingIo<S>, AppService<A>>>),
}

impl<S: Read + Write + Transport + Unpin + 'static, A: App<Body: Unpin>> HttpConn<S, A> {
    /// Lets hyper read, call the service, and write; ready when hyper is done with the connection.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        match self {
            Self::H1(connection) => Pin::new(&mut **connection).poll(cx),
        }
    }

    /// Takes the socket back, with the bytes that hyper has read and not used. What hyper has still to write is lost:
    /// only for a connection that is idle, or with which hyper is done.
    pub(super) fn into_io(self) -> CoalescingIo<S> {
        match self {
            Self::H1(connection) => {
                let http1::Parts { mut io, read_buf, .. } = connection.into_parts();
                io.unread_first(read_buf);
                io
            }
        }
    }
}
