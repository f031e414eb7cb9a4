//! The service of HTTP workers: listeners, connections, and how they drain.

use crate::{
    Shared,
    service::{Cut, Others, Resources, Running, Service},
};
use hostler_http::{
    Acceptor, App, Certificates, Connections, Features, HandoverChannel, IDLE_GRACE, Listener, Load, Streams,
};
use hostler_settings::Settings;
use hostler_tls::Delivery;
use hostler_wire::{InFlight, SlotId, WorkerSettings};
use std::{
    io,
    os::fd::OwnedFd,
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::{sync::watch, time::timeout};
use tracing::{debug, error, info, warn};

/// How long work that is cancelled may take to end, of the time until the master kills.
const CANCEL_LIMIT: Duration = Duration::from_millis(300);
/// How often responses that wait for the loop are sent while it is blocked.
const OVERDUE: Duration = Duration::from_millis(3);

/// How long, and how often, to look for handshakes that have begun when listening ends.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(2);
const HANDSHAKE_CHECK: Duration = Duration::from_millis(20);

/// How long streams that may end by themselves are left alone, of the time that a drain may take: those that have no end are
/// told in time to end properly.
fn patience(grace: Duration) -> Duration {
    grace - grace / 5
}

/// Serves an application over HTTP.
pub struct HttpService<A>(pub A);

impl<A: App<Body: Unpin>> Service for HttpService<A> {
    type Running = Http<A>;

    fn start(self, resources: Resources) -> io::Result<Http<A>> {
        let Resources { assignment, page, shared, settings, certificates: file } = resources;
        let options = &settings.options;
        let certificates = Certificates::new(options.http.version, options.tls.handshake_timeout);
        if let Some(file) = file {
            renew(&certificates, file)?;
        }
        let Shared { pages, handover: (receiver, sender), listeners } = shared;
        let Settings { log, tracing, compress, responses, .. } = &settings.options;
        let features = Features { worker: assignment.slot.index, log, tracing, compress, responses };
        let load = Load::new(page, pages, assignment.page, assignment.request_limit, features);
        tokio::task::spawn_local(load.clone().write_access_log());
        let handover = HandoverChannel::new(receiver, sender)?;
        let connections = Connections::new(&settings.options.http, &settings.options.limits);
        let acceptor = Acceptor::new(
            self.0,
            &settings.options,
            adopt(&settings, assignment.slot, listeners)?,
            certificates.clone(),
            connections.clone(),
            load.clone(),
            handover.clone(),
        )?;
        tokio::task::spawn_local(connections.clone().enforce_limits(settings.options.http));
        tokio::task::spawn_local(connections.clone().park_idle());
        acceptor.start();
        let overdue = acceptor.overdue();
        hostler_sys::attendant::add(OVERDUE, move |_| overdue.send());
        Ok(Http {
            acceptor,
            certificates,
            connections,
            handover,
            load,
            others: watch::Sender::new(Others::Unknown),
            last: watch::Sender::new(false),
        })
    }
}

/// Sorts the sockets to the listeners that they belong to.
fn adopt(settings: &WorkerSettings, slot: SlotId, sockets: Vec<OwnedFd>) -> io::Result<Vec<Listener>> {
    let mut sockets = sockets.into_iter();
    let mut listeners = Vec::new();
    for listener in &settings.listeners {
        let own = sockets.by_ref().take(listener.sockets).collect();
        listeners.push(Listener::adopt_for_slot(&listener.info, own, slot.index)?.over_tls(listener.tls));
    }
    Ok(listeners)
}

/// Has connections begin with what is in the master's file.
fn renew(certificates: &Certificates, file: OwnedFd) -> io::Result<()> {
    let delivered = hostler_sys::message::bytes_of(file.into())?;
    certificates.renew(&Delivery::decode(&delivered)?)
}

/// A worker that accepts connections.
pub struct Http<A: App> {
    acceptor: Rc<Acceptor<A>>,
    certificates: Certificates,
    connections: Connections,
    handover: HandoverChannel,
    load: Load,
    /// What they do once this worker drains.
    others: watch::Sender<Others>,
    /// The kernel takes no new connections.
    last: watch::Sender<bool>,
}

impl<A: App<Body: Unpin>> Running for Http<A> {
    async fn limit_reached(&self) {
        self.load.limit_reached().await;
    }

    fn lame_duck(&self) {
        self.connections.lame_duck();
    }

    fn share_connections(&self) {
        self.acceptor.share_connections();
    }

    fn renew_certificates(&self, file: OwnedFd) {
        match renew(&self.certificates, file) {
            Ok(()) => debug!("new certificates are served"),
            Err(error) => error!(%error, "the master's certificates cannot be used: the old ones are served"),
        }
    }

    async fn drain(&self, others: Others, grace: Duration, accepts_no_more: impl Fn()) {
        self.others.send_replace(others);
        if others == Others::Renewed {
            self.acceptor.app().end_streams(Streams::Endless);
        }
        let mut finished = std::pin::pin!(self.finish(others, accepts_no_more));
        if timeout(patience(grace), &mut finished).await.is_err() {
            self.acceptor.app().end_streams(Streams::All);
            // Those that no other worker could take, or none did.
            self.connections.close_idle();
            finished.await;
        }
    }

    fn others_stop(&self) {
        self.others.send_replace(Others::Stop);
        self.connections.drain();
        self.connections.close_idle();
        self.acceptor.app().end_streams(Streams::Endless);
    }

    fn accept_last(&self) {
        self.last.send_replace(true);
    }

    async fn cut(&self, cause: Cut) {
        match cause {
            Cut::AtOnce(order) => {
                // The application's shutdown may take a while, and clients that connect meanwhile would be cut.
                self.connections.drain();
                if !self.in_flight().is_empty() || !self.sessions().is_empty() {
                    self.report_told(order);
                }
            }
            Cut::GraceOver => self.report_cut(),
            Cut::Renewed => {
                let (open, requests) = (self.open(), hostler_sys::board::describe(&self.in_flight()));
                info!(open, requests, "requests in flight are cut: their code was changed");
            }
            Cut::Told(order) => self.report_told(order),
        }
        self.connections.cut();
        if let Some(work) = self.connections.cancel_background() {
            warn!(work, "background work that outlived its response is cancelled");
            // It may handle the cancellation before the application shuts down.
            let _ = timeout(CANCEL_LIMIT, self.connections.background_ended()).await;
        }
    }

    fn open(&self) -> usize {
        self.connections.open()
    }

    fn activity(&self) -> impl Fn() -> Option<u64> + 'static {
        let load = self.load.clone();
        move || load.requests_if_idle()
    }
}

impl<A: App<Body: Unpin>> Http<A> {
    /// Reports what ends with the graceful timeout.
    fn report_cut(&self) {
        let (open, in_flight, sessions) = (self.open(), self.in_flight(), self.sessions());
        let requests = hostler_sys::board::describe(&in_flight);
        if open == 0 {
            return;
        }
        match (in_flight.len(), sessions.len()) {
            (0, 0) => info!(
                open,
                "graceful timeout: closing connections that clients keep open; no request is in flight"
            ),
            (0, sessions) => warn!(open, sessions, "graceful timeout: sessions are cut"),
            (_, sessions) => warn!(open, sessions, requests, "graceful timeout: requests in flight are cut"),
        }
        self.tell_cut(&in_flight, "request cut: it took longer than --graceful-timeout");
        self.tell_cut(&sessions, "session cut: it took longer than --graceful-timeout");
    }

    /// Reports what ends with an order to exit at once.
    fn report_told(&self, order: &str) {
        let (open, in_flight, sessions) = (self.open(), self.in_flight(), self.sessions());
        let requests = hostler_sys::board::describe(&in_flight);
        match (in_flight.len(), sessions.len()) {
            (0, 0) => debug!(order, open, "told to exit at once: no request is in flight"),
            (0, sessions) => warn!(order, open, sessions, "told to exit at once: sessions are cut"),
            (_, sessions) => {
                warn!(order, open, sessions, requests, "told to exit at once: requests in flight are cut");
            }
        }
        self.tell_cut(&in_flight, "request cut: the worker was told to exit at once");
        self.tell_cut(&sessions, "session cut: the worker was told to exit at once");
    }

    fn tell_cut(&self, requests: &[InFlight], what: &str) {
        let pid = i32::try_from(std::process::id()).unwrap_or_default();
        hostler_sys::facts::tell_of_each(self.load.page(), pid, requests, what);
    }

    /// The requests in flight.
    fn in_flight(&self) -> Vec<InFlight> {
        let background = self.connections.background_began();
        let mut requests = self.load.page().requests_in_flight();
        requests.retain(|request| !background.contains(&request.started_at));
        requests
    }

    /// The WebSockets and other protocols that follow requests.
    fn sessions(&self) -> Vec<InFlight> {
        self.load.page().sessions()
    }

    async fn finish(&self, others: Others, accepts_no_more: impl Fn()) {
        match others {
            Others::GoOn | Others::Renewed => self.finish_beside_others().await,
            Others::Stop | Others::Unknown => self.finish_alone(accepts_no_more).await,
        }
    }

    /// Finishes while other workers serve on: idle connections go to them, and so does what waits, also when the server stops
    /// meanwhile: of the time that this worker has, much may be over.
    async fn finish_beside_others(&self) {
        self.connections.hand_over();
        self.connections.all_ended().await;
        self.handover.flushed().await;
    }

    /// Finishes when nobody is known to serve on: idle connections are closed.
    async fn finish_alone(&self, accepts_no_more: impl Fn()) {
        self.connections.drain();
        // A deploy does not wait for them.
        self.acceptor.app().end_streams(Streams::Endless);
        self.accept_some().await;
        let began = Instant::now();
        if timeout(IDLE_GRACE, self.connections.all_ended()).await.is_err() {
            debug!(after_seconds = began.elapsed().as_secs_f64(), "idle connections are closed");
            self.connections.close_idle();
        }
        tokio::select! {
            biased;
            () = self.server_stops() => {}
            () = self.connections.all_ended() => return,
        }
        self.leave_queues(accepts_no_more).await;
        self.connections.all_ended().await;
    }

    /// Accepts what waits, and once more when the kernel takes no new connections: a client that connected meanwhile would not
    /// be served.
    async fn leave_queues(&self, accepts_no_more: impl Fn()) {
        self.accept_some().await;
        accepts_no_more();
        let ended = async {
            // It is not told while listening does not end: only the workers were reduced to none, or the sockets are another
            // server's.
            tokio::time::sleep(IDLE_GRACE).await;
            self.connections.all_ended().await;
        };
        tokio::select! {
            () = self.told_last() => {}
            () = ended => return,
        }
        let _ = timeout(HANDSHAKE_LIMIT, self.accept_handshakes()).await;
        self.accept_rest().await;
        accepts_no_more();
    }

    /// Accepts connections as long as handshakes that had begun are to end. The ends of those that met a full queue were lost,
    /// and come again only when a timer of TCP has run.
    async fn accept_handshakes(&self) {
        while self.acceptor.awaits_handshakes() {
            self.accept_rest().await;
            tokio::time::sleep(HANDSHAKE_CHECK).await;
        }
    }

    /// Accepts what waits, but not for ever: where clients connect as fast as they are accepted, the queues are never empty
    /// before the kernel takes no new connections.
    async fn accept_some(&self) {
        let _ = timeout(IDLE_GRACE, self.accept_rest()).await;
    }

    /// Accepts what waits. What other workers hand over goes to those that serve on, if there may be any.
    async fn accept_rest(&self) {
        self.acceptor.empty_queues().await;
        if *self.others.borrow() == Others::Stop {
            self.acceptor.empty_handover().await;
        }
    }

    /// Waits until the kernel takes no new connections.
    async fn told_last(&self) {
        let _ = self.last.subscribe().wait_for(|last| *last).await;
    }

    async fn server_stops(&self) {
        // It cannot fail: the sender lives in this worker.
        let _ = self.others.subscribe().wait_for(|others| *others == Others::Stop).await;
    }
}
