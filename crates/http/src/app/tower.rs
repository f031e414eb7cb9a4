//! A tower service as an application: native Rust behind the same server.

use super::{Aborted, App, Link};
use crate::{ConnectionInfo, RequestBody};
use bytes::Bytes;
use hyper::{Request, Response};
use std::{
    error::Error,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};
use tower::{Service, ServiceExt, util::Oneshot};
use tracing::error;

/// Serves requests with clones of a tower service, as tower intends (`Service::poll_ready`).
///
/// Each request carries its [`ConnectionInfo`] as an extension.
pub struct TowerApp<S>(S);

impl<S> TowerApp<S> {
    /// Wraps a service.
    pub fn new(service: S) -> Self {
        Self(service)
    }
}

impl<S, B> App for TowerApp<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error: Into<Box<dyn Error + Send + Sync>>>
        + Clone
        + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + 'static,
{
    type Body = B;
    type Connection = ConnectionInfo;
    type ResponseFuture = ServiceFuture<S>;

    fn connect(&self, info: ConnectionInfo, _link: Link) -> ConnectionInfo {
        info
    }

    fn call(&self, connection: &Rc<ConnectionInfo>, mut request: Request<RequestBody>) -> ServiceFuture<S> {
        request.extensions_mut().insert(ConnectionInfo::clone(connection));
        ServiceFuture(Box::pin(self.0.clone().oneshot(request)))
    }

    /// A client that has half-closed may still read; whether it is gone shows when the response is written.
    fn client_half_closed(&self, _connection: &Rc<ConnectionInfo>) -> bool {
        true
    }
}

/// The service's future; an error of the service is logged and closes the connection.
pub struct ServiceFuture<S: Service<Request<RequestBody>>>(Pin<Box<Oneshot<S, Request<RequestBody>>>>);

impl<S, B> Future for ServiceFuture<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error: Into<Box<dyn Error + Send + Sync>>>,
{
    type Output = Result<Response<B>, Aborted>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(ready!(self.0.as_mut().poll(cx)).map_err(|cause| {
            error!(error = %cause.into(), "the service failed, the connection is closed");
            Aborted
        }))
    }
}
