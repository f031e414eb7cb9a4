//! The service of HTTP workers: listeners, connections, and how they drain.

use crate::{
    Shared,
    service::{Cut, Others, Resources, Running, Service},
};
use hostler_http::{Acceptor, App, Connections, HandoverChannel, IDLE_GRACE, Listener, Load, Streams};
use hostler_wire::{SlotId, WorkerSettings};
use std::{
    io,
    os::fd::OwnedFd,
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::{sync::watch, time::timeout};
use tracing::{debug, info, warn};

/// How long work that is cancelled may take to end, of the time until the master kills.
const CANCEL_LIMIT: Duration = Duration::from_millis(300);
/// How often responses that wait for the loop are sent while it is blocked.
const OVERDUE: Duration = Duration::from_millis(3);

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
        let Resources { assignment, page, shared, settings } = resources;
        let Shared { pages, handover: (receiver, sender), listeners } = shared;
        let load = Load::new(page, pages, assignment.page, assignment.request_limit);
        let handover = HandoverChannel::new(receiver, sender)?;
        let connections = Connections::default();
        let acceptor = Acceptor::new(
            self.0,
            &settings.options.http,
            adopt(&settings, assignment.slot, listeners)?,
            connections.clone(),
            load.clone(),
            handover.clone(),
        );
        tokio::task::spawn_local(connections.clone().enforce_limits(settings.options.http));
        tokio::task::spawn_local(connections.clone().park_idle());
        acceptor.start();
        let overdue = acceptor.overdue();
        hostler_sys::attendant::add(OVERDUE, move |_| overdue.send());
        Ok(Http {
            acceptor,
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
        listeners.push(Listener::adopt_for_slot(&listener.info, own, slot.index)?);
    }
    Ok(listeners)
}

/// A worker that accepts connections.
pub struct Http<A: App> {
    acceptor: Rc<Acceptor<A>>,
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

    async fn drain(&self, others: Others, grace: Duration, accepts_no_more: impl Fn()) {
        self.others.send_replace(others);
        let mut finished = std::pin::pin!(self.finish(others, accepts_no_more));
        if timeout(patience(grace), &mut finished).await.is_err() {
            self.acceptor.app().end_streams(Streams::All);
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
            // The application's shutdown may take a while, and clients that connect meanwhile would be cut.
            Cut::AtOnce => self.connections.drain(),
            Cut::GraceOver => self.report_cut(),
            Cut::Told(order) => self.report_told(order),
        }
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
        let (open, requests) = (self.open(), self.in_flight());
        if open > 0 && requests.is_empty() {
            info!(
                open,
                "graceful timeout: closing connections that clients keep open; no request is in flight"
            );
        } else if open > 0 {
            warn!(open, requests, "graceful timeout: requests in flight are cut");
        }
    }

    /// Reports what ends with an order to exit at once that came during the drain.
    fn report_told(&self, order: &str) {
        let (open, requests) = (self.open(), self.in_flight());
        if requests.is_empty() {
            info!(order, open, "told to exit at once: no request is in flight");
        } else {
            warn!(order, open, requests, "told to exit at once: requests in flight are cut");
        }
    }

    /// The requests in flight, for the log: method, path and age in seconds.
    fn in_flight(&self) -> String {
        let background = self.connections.background_began();
        let mut requests = self.load.page().requests_in_flight();
        requests.retain(|request| !background.contains(&request.started_at));
        hostler_sys::board::describe(&requests)
    }

    async fn finish(&self, others: Others, accepts_no_more: impl Fn()) {
        match others {
            Others::GoOn => self.finish_beside_others(accepts_no_more).await,
            Others::Stop | Others::Unknown => self.finish_alone(accepts_no_more).await,
        }
    }

    /// Finishes while other workers serve on: idle connections go to them.
    async fn finish_beside_others(&self, accepts_no_more: impl Fn()) {
        self.connections.hand_over();
        tokio::select! {
            () = self.connections.all_ended() => {}
            () = self.leave_queues_to_others(accepts_no_more) => {}
        }
        self.handover.flushed().await;
    }

    /// Finishes when nobody is known to serve on: idle connections are closed.
    async fn finish_alone(&self, accepts_no_more: impl Fn()) {
        self.connections.drain();
        // A deploy does not wait for them.
        self.acceptor.app().end_streams(Streams::Endless);
        self.accept_rest().await;
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

    /// Accepts nothing when the server stops, either: of the time that this worker has, much may be over.
    async fn leave_queues_to_others(&self, accepts_no_more: impl Fn()) {
        self.server_stops().await;
        accepts_no_more();
        self.told_last().await;
        accepts_no_more();
        std::future::pending().await
    }

    /// Accepts what waits, and once more when the kernel takes no new connections: a client that connected meanwhile would not
    /// be served.
    async fn leave_queues(&self, accepts_no_more: impl Fn()) {
        self.accept_rest().await;
        accepts_no_more();
        let ended = async {
            // The others may be blocked.
            tokio::time::sleep(IDLE_GRACE).await;
            self.connections.all_ended().await;
        };
        tokio::select! {
            () = self.told_last() => {}
            () = ended => return,
        }
        self.accept_rest().await;
        accepts_no_more();
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
