//! The life of a worker, from its listeners to its end.

use crate::{
    ORPHAN_GRACE, Shared, WorkerContext,
    control::{Control, Order},
};
use hostler_http::{Acceptor, App, Connections, HandoverChannel, Listener, Load};
use hostler_sys::channel::Channel;
use hostler_wire::{Failure, FromWorker, PageState, SlotId, WorkerSettings};
use std::{
    io,
    os::fd::OwnedFd,
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

/// How long idle connections may still send a request when the server stops; it is answered, and the
/// connection ends with the answer. An HTTP/1 connection cannot be closed without this risk to the client.
const IDLE_LINGER: Duration = Duration::from_millis(500);
/// How long work that is cancelled may take to end, of the time until the master kills.
const CANCEL_LIMIT: Duration = Duration::from_millis(300);
/// How often the heart beats, unless stalls are to be found sooner.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How often answers that wait for the loop are sent while it stands still.
const OVERDUE: Duration = Duration::from_millis(3);

/// How a worker's service ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Everything in flight was answered.
    Drained,
    /// Time ran out, or the order was to leave at once.
    Cut,
}

/// Serves until told to stop, then drains.
///
/// `ready` is what the master is told once the listeners are registered; from then on the worker accepts.
///
/// # Errors
/// The kernel's, when a listener or the channel cannot be watched.
pub async fn run_worker<A: App<Body: Unpin>>(
    context: WorkerContext,
    app: A,
    ready: FromWorker,
) -> io::Result<Ending> {
    let WorkerContext { assignment, page, channel, shared, settings, .. } = context;
    let options = &settings.options;
    let Shared { pages, handover: (receiver, sender), listeners } = shared;
    let control = Control::new(channel.into_fd())?;
    hostler_sys::attendant::start(page);
    let load = Load::new(page, pages, assignment.page, assignment.request_limit);
    let handover = HandoverChannel::new(receiver, sender)?;
    let connections = Connections::default();
    let acceptor = Acceptor::new(
        app,
        &options.http,
        adopt(&settings, assignment.slot, listeners)?,
        connections.clone(),
        load.clone(),
        handover.clone(),
    );
    let heartbeat = options.supervision.stall_timeout.map_or(HEARTBEAT, |limit| HEARTBEAT.min(limit / 4));
    tokio::task::spawn_local(load.clone().beat(heartbeat.max(Duration::from_millis(10))));
    tokio::task::spawn_local(connections.clone().enforce_limits(options.http));
    tokio::task::spawn_local(connections.clone().park_idle());
    acceptor.start();
    let overdue = acceptor.overdue();
    hostler_sys::attendant::add(OVERDUE, move |_| overdue.send());
    page.set_state(PageState::Serving);
    control.tell(&ready);
    let worker = Worker { acceptor, connections, control, handover, load, settings };
    let order = worker.serve().await;
    page.set_state(PageState::Draining);
    Ok(worker.drain(order).await)
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

/// A worker that serves.
struct Worker<A: App> {
    acceptor: Rc<Acceptor<A>>,
    connections: Connections,
    control: Control,
    handover: HandoverChannel,
    load: Load,
    settings: WorkerSettings,
}

impl<A: App<Body: Unpin>> Worker<A> {
    /// Waits for the order that ends the service.
    async fn serve(&self) -> Order {
        let mut at_limit = std::pin::pin!(async {
            self.load.limit_reached().await;
            self.control.tell(&FromWorker::ReachedRequestLimit);
            std::future::pending::<()>().await;
        });
        loop {
            let order = tokio::select! {
                order = self.control.next_order() => order,
                () = &mut at_limit => continue,
            };
            match order {
                Order::LameDuck => self.connections.lame_duck(),
                order => return order,
            }
        }
    }

    async fn drain(&self, order: Order) -> Ending {
        let ending = self.finish_in_time(order).await;
        if ending == Ending::Cut
            && let Some(work) = self.connections.cancel_background()
        {
            warn!(work, "work that went on after its answer is cancelled");
            // What it does about that comes before the end of the application.
            let _ = timeout(CANCEL_LIMIT, self.connections.background_ended()).await;
        }
        ending
    }

    async fn finish_in_time(&self, order: Order) -> Ending {
        info!(order = order.name(), open = self.connections.open(), "draining");
        self.control.tell(&FromWorker::Draining);
        let graceful = self.settings.options.supervision.graceful_timeout;
        let (grace, hand_over) = match order {
            Order::Drain { hand_over } => (graceful, hand_over),
            Order::Orphaned => (ORPHAN_GRACE.min(graceful), false),
            Order::Quit | Order::LameDuck => {
                // The application's shutdown may take its time, and who came meanwhile would be cut.
                self.connections.drain();
                return Ending::Cut;
            }
        };
        tokio::select! {
            () = self.finish(hand_over, grace) => {
                debug!("drained");
                Ending::Drained
            }
            () = sleep(grace) => {
                self.tell_cut();
                Ending::Cut
            }
            order = self.second_order(order) => {
                let requests = self.in_flight();
                warn!(order = order.name(), open = self.connections.open(), requests, "told to leave at once: requests in flight are cut");
                Ending::Cut
            }
        }
    }

    /// Says what ends with the graceful timeout.
    fn tell_cut(&self) {
        let (open, requests) = (self.connections.open(), self.in_flight());
        if open > 0 && requests.is_empty() {
            info!(
                open,
                "graceful timeout: connections are closed whose clients do not leave; no request is in flight"
            );
        } else if open > 0 {
            warn!(open, requests, "graceful timeout: requests in flight are cut");
        }
    }

    /// The requests in flight, for the log: method, path and age in seconds.
    fn in_flight(&self) -> String {
        let works = self.connections.background_began();
        let mut requests = self.load.page().requests_in_flight();
        requests.retain(|request| !works.contains(&request.started_at));
        hostler_sys::board::describe(&requests)
    }

    async fn finish(&self, hand_over: bool, grace: Duration) {
        if hand_over {
            self.connections.hand_over();
            // Streams without an end are told in time, so that they can end well.
            let patience = grace - grace / 5;
            if timeout(patience, self.connections.all_ended()).await.is_err() {
                self.acceptor.app().end_streams();
                self.connections.all_ended().await;
            }
            return self.handover.flushed().await;
        }
        self.connections.drain();
        self.acceptor.app().end_streams();
        self.acceptor.empty_queues().await;
        let began = Instant::now();
        if timeout(IDLE_LINGER, self.connections.all_ended()).await.is_err() {
            // Who connected meanwhile would meet nobody.
            self.acceptor.empty_queues().await;
            debug!(after = began.elapsed().as_secs_f64(), "idle connections are closed");
            self.connections.close_idle();
            self.connections.all_ended().await;
        }
    }

    /// Waits for an order that is more urgent than the one being carried out.
    async fn second_order(&self, first: Order) -> Order {
        loop {
            let order = self.control.next_order().await;
            match (first, order) {
                (_, Order::Quit) => return order,
                (Order::Drain { .. }, Order::Orphaned) => {
                    sleep(ORPHAN_GRACE).await;
                    return order;
                }
                // The channel of a dead master reads end-of-file for ever.
                (_, Order::Orphaned) => std::future::pending().await,
                // A server that stops takes nothing over any more.
                (_, Order::Drain { hand_over: false }) => {
                    self.connections.drain();
                    self.connections.close_idle();
                    self.acceptor.app().end_streams();
                }
                (_, Order::Drain { .. } | Order::LameDuck) => {}
            }
        }
    }
}

/// Tells the master why this worker cannot boot.
pub fn announce_failure(channel: &Channel, failure: Failure) {
    match channel.send(&FromWorker::Failed(failure), &[]) {
        // It is dead, or has given this worker's generation up already, for the same reason most likely.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => debug!(%error, "the master has hung up"),
        Err(error) => warn!(%error, "cannot tell the master why the boot failed"),
        Ok(()) => {}
    }
}
