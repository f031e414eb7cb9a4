//! The life of a worker, from its listeners to its end.

use crate::{
    ORPHAN_GRACE, Seat,
    control::{Control, Order},
};
use hostler_http::{App, Connections, Listener};
use hostler_sys::channel::Channel;
use hostler_wire::{BootFailure, FromWorker, WorkerSettings};
use std::{io, rc::Rc, time::Duration};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

/// How long a connection that has not sent a request yet may hold up a drain.
const UNUSED_CONNECTION_GRACE: Duration = Duration::from_secs(1);

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
pub async fn life<A: App<Body: Unpin>>(seat: Seat, app: A, ready: FromWorker) -> io::Result<Ending> {
    let Seat { channel, listeners, settings, .. } = seat;
    let control = Control::new(channel.into_fd())?;
    let (app, connections) = (Rc::new(app), Connections::default());
    let mut acceptors = Vec::new();
    for (info, socket) in settings.listeners.iter().zip(listeners) {
        let listener = Listener::adopt(info, socket)?;
        let serve =
            hostler_http::serve(listener, Rc::clone(&app), settings.http.clone(), connections.clone());
        acceptors.push(tokio::task::spawn_local(serve));
    }
    tokio::task::spawn_local(connections.clone().sweep(settings.http.header_read_timeout));
    control.tell(&ready);
    let order = control.next_order().await;
    info!(?order, open = connections.open(), "draining");
    control.tell(&FromWorker::Draining);
    Ok(drain(order, &control, &connections, &settings).await)
}

async fn drain(
    order: Order,
    control: &Control,
    connections: &Connections,
    settings: &WorkerSettings,
) -> Ending {
    let grace = match order {
        Order::Drain => settings.graceful_timeout,
        Order::Orphaned => ORPHAN_GRACE.min(settings.graceful_timeout),
        Order::Quit => return Ending::Cut,
    };
    connections.drain();
    let finish = async {
        if timeout(UNUSED_CONNECTION_GRACE, connections.all_ended()).await.is_err() {
            connections.close_unused();
            connections.all_ended().await;
        }
    };
    tokio::select! {
        () = finish => {
            debug!("drained");
            Ending::Drained
        }
        () = sleep(grace) => {
            warn!(open = connections.open(), "graceful timeout: requests in flight are cut");
            Ending::Cut
        }
        order = second_order(control, order) => {
            warn!(?order, open = connections.open(), "told to leave at once: requests in flight are cut");
            Ending::Cut
        }
    }
}

/// Waits for an order that is more urgent than the one being carried out.
async fn second_order(control: &Control, first: Order) -> Order {
    loop {
        let order = control.next_order().await;
        match (first, order) {
            (_, Order::Quit) => return order,
            (Order::Drain, Order::Orphaned) => {
                sleep(ORPHAN_GRACE).await;
                return order;
            }
            // The channel of a dead master reads end-of-file for ever.
            (Order::Orphaned | Order::Quit, Order::Orphaned) => std::future::pending().await,
            (_, Order::Drain) => {}
        }
    }
}

/// Tells the master why this worker cannot boot.
pub fn announce_failure(channel: &Channel, failure: BootFailure) {
    if let Err(error) = channel.send(&FromWorker::Failed(failure), &[]) {
        warn!(%error, "cannot tell the master why the boot failed");
    }
}
