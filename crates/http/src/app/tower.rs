//! A tower service as an application: native Rust behind the same server.

use super::{
    Aborted, App, Link, Streams,
    body::ServiceBody,
    upgrade::{self, Offer, OutOfPlace},
};
use crate::{
    BackgroundTasks, ConnectionInfo, Forwarded, Interim, RequestBody, RequestFacts, Upgrades,
    log::facts::RequestName,
};
use bytes::Bytes;
use hostler_sys::logging::panics::{self, ServicePanic};
use hyper::{Method, Request, Response};
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
/// Each request carries its [`ConnectionInfo`] as an extension, with the client and the scheme that a trusted proxy told, and
/// hyper's [`OnUpgrade`](hyper::upgrade::OnUpgrade) if another protocol may follow it.
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
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin + 'static,
{
    type Body = ServiceBody<B>;
    type Connection = TowerConnection;
    type ResponseFuture = ServiceFuture<S>;

    fn connect(&self, info: ConnectionInfo, link: Link) -> TowerConnection {
        TowerConnection { info, requests: link.background, upgrades: link.upgrades, interim: link.interim }
    }

    fn call(&self, connection: &Rc<TowerConnection>, mut request: Request<RequestBody>) -> ServiceFuture<S> {
        let mut info = connection.info.clone();
        if let Some(forwarded) = request.extensions().get::<Forwarded>() {
            info.forward(forwarded);
        }
        let name = connection.requests.name(&request, || info.peer.tcp());
        let to_head = request.method() == Method::HEAD;
        let offer = Offer::to(&mut request, &connection.upgrades, &connection.interim);
        request.extensions_mut().insert(info);
        ServiceFuture { offer, response: Box::pin(self.0.clone().oneshot(request)), name, to_head }
    }

    /// A client that has half-closed may still read; whether it is gone shows when the response is written.
    fn client_half_closed(&self, _connection: &Rc<TowerConnection>) -> bool {
        true
    }

    fn serves_websocket(&self) -> bool {
        true
    }

    /// Of none is known whether it ends by itself.
    fn end_streams(&self, _which: Streams) {
        upgrade::begin_to_end();
    }
}

/// A connection to the service.
pub struct TowerConnection {
    info: ConnectionInfo,
    /// Which request it is called for.
    requests: BackgroundTasks,
    upgrades: Upgrades,
    interim: Interim,
}

#[cold]
fn failed(error: &dyn Error, request: &RequestName) -> Aborted {
    let RequestFacts { method, path, client, request_id, worker, pid } = request.facts();
    error!(%error, method, path, client, request_id, worker, pid, "the service failed, the connection is closed");
    Aborted
}

#[cold]
fn panicked(panic: &ServicePanic, request: &RequestName) -> Aborted {
    let ServicePanic { message: error, at } = panic;
    let RequestFacts { method, path, client, request_id, worker, pid } = request.facts();
    error!(
        error,
        at, method, path, client, request_id, worker, pid, "the service panicked, the connection is closed"
    );
    Aborted
}

/// The service's future; an error or a panic of the service is logged and closes the connection.
pub struct ServiceFuture<S: Service<Request<RequestBody>>> {
    response: Pin<Box<Oneshot<S, Request<RequestBody>>>>,
    name: RequestName,
    to_head: bool,
    /// If another protocol may follow.
    offer: Option<Box<Offer>>,
}

impl<S, B> Future for ServiceFuture<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error: Into<Box<dyn Error + Send + Sync>>>,
    B: http_body::Body,
{
    type Output = Result<Response<ServiceBody<B>>, Aborted>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = panics::of_service(|| self.response.as_mut().poll(cx));
        let mut response = ready!(polled.map_err(|panic| panicked(&panic, &self.name))?)
            .map_err(|cause| failed(&*cause.into(), &self.name))?;
        match self.offer.take() {
            Some(offer) => offer.answered(&mut response),
            None if response.status().is_informational() => Err(OutOfPlace(response.status())),
            None => Ok(()),
        }
        .map_err(|wrong| failed(&wrong, &self.name))?;
        let responded = ServiceBody::respond(response, self.to_head, self.name.take());
        Poll::Ready(responded.map_err(|(wrong, request)| failed(&wrong, &request)))
    }
}
