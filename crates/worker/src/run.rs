//! A worker from its first heartbeat to its end, whatever it serves.

use crate::{
    WorkerContext,
    control::{Control, Order},
    heartbeat,
    service::{Cut, Others, Resources, Running, Service},
};
use hostler_settings::{Supervision, WorkerCount};
use hostler_sys::{board, channel::Channel, clock, debugger};
use hostler_wire::{FromWorker, PageState, Role, timing};
use std::{io, time::Duration};
use tokio::time::sleep;
use tracing::{debug, warn};

/// How long requests in flight may take whose code was changed.
const STEP_ASIDE: Duration = Duration::from_secs(1);

/// How often is looked whether a debugger, which is waited for, still holds the worker.
const LOOK: Duration = Duration::from_millis(500);

/// How a worker's service ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Everything in flight was finished.
    Drained,
    /// The grace period was over, or the order was to exit at once.
    Cut,
}

/// Serves until told to stop, then drains.
///
/// `ready` is what the master is told once the service has started.
///
/// # Errors
/// The kernel's, when the channel cannot be watched; the service's, when it cannot start.
pub async fn run_worker<S: Service>(
    context: WorkerContext,
    service: S,
    ready: FromWorker,
) -> io::Result<Ending> {
    let WorkerContext { assignment, page, channel, shared, settings, certificates, .. } = context;
    let certificates = certificates.into_inner();
    let control = Control::new(channel.into_fd())?;
    hostler_sys::attendant::start(page);
    let Supervision { graceful_timeout, workers, .. } = settings.options.supervision;
    if assignment.role == Role::Http && matches!(workers, WorkerCount::Range { .. }) {
        board::measure_busy();
    }
    let heartbeat = timing::heartbeat_interval(settings.options.supervision.stall_timeout);
    let running = service.start(Resources { assignment, page, shared, settings, certificates })?;
    tokio::task::spawn_local(heartbeat::beat(page, heartbeat, running.activity()));
    page.set_state(PageState::Serving);
    control.tell(&ready);
    let worker = Worker { running, control, graceful_timeout };
    let order = worker.serve().await;
    page.set_state(PageState::Draining);
    let ending = worker.drain(order).await;
    hostler_sys::logging::access::end();
    Ok(ending)
}

/// A worker that serves.
struct Worker<R> {
    running: R,
    control: Control,
    graceful_timeout: Duration,
}

impl<R: Running> Worker<R> {
    /// Waits for the order that ends the service.
    async fn serve(&self) -> Order {
        let mut at_limit = std::pin::pin!(async {
            self.running.limit_reached().await;
            self.control.tell(&FromWorker::ReachedRequestLimit);
            std::future::pending::<()>().await;
        });
        loop {
            let order = tokio::select! {
                order = self.control.next_order() => order,
                () = &mut at_limit => continue,
            };
            match order {
                Order::LameDuck => self.running.lame_duck(),
                Order::RenewCertificates => self.renew_certificates(),
                Order::ShareConnections => self.running.share_connections(),
                // It follows an order to drain.
                Order::AcceptLast => {}
                order => return order,
            }
        }
    }

    fn renew_certificates(&self) {
        if let Some(file) = self.control.take_certificates() {
            self.running.renew_certificates(file);
        }
    }

    async fn drain(&self, order: Order) -> Ending {
        debug!(order = order.name(), open = self.running.open(), "draining");
        self.control.tell(&FromWorker::Draining);
        match self.finish_in_time(order).await {
            Ok(()) => {
                debug!("drained");
                Ending::Drained
            }
            Err(cause) => {
                self.running.cut(cause).await;
                Ending::Cut
            }
        }
    }

    /// Finishes what is in flight, or returns why it is to be cut.
    async fn finish_in_time(&self, order: Order) -> Result<(), Cut> {
        let graceful = self.graceful_timeout;
        let (grace, others) = match order {
            Order::Drain { hand_over: true } => (graceful, Others::GoOn),
            Order::Drain { hand_over: false } => (graceful, Others::Stop),
            Order::StepAside => (STEP_ASIDE.min(graceful), Others::Renewed),
            Order::Terminate => (graceful, Others::Unknown),
            Order::Orphaned => (timing::ORPHAN_GRACE.min(graceful), Others::Unknown),
            Order::Quit
            | Order::LameDuck
            | Order::AcceptLast
            | Order::RenewCertificates
            | Order::ShareConnections => {
                return Err(Cut::AtOnce(order.name()));
            }
        };
        let accepts_no_more = || self.control.tell(&FromWorker::AcceptsNoMore);
        tokio::select! {
            () = self.running.drain(others, grace, accepts_no_more) => Ok(()),
            () = grace_over(grace, others) => Err(if others == Others::Renewed { Cut::Renewed } else { Cut::GraceOver }),
            order = self.second_order(order) => Err(Cut::Told(order.name())),
        }
    }

    /// Waits for an order that is more urgent than the one being carried out.
    async fn second_order(&self, first: Order) -> Order {
        loop {
            let order = self.control.next_order().await;
            match (first, order) {
                (_, Order::Quit) => return order,
                (Order::Drain { .. } | Order::StepAside | Order::Terminate, Order::Orphaned) => {
                    sleep(timing::ORPHAN_GRACE).await;
                    return order;
                }
                // The channel of a dead master reads end-of-file again and again.
                (_, Order::Orphaned) => std::future::pending().await,
                (_, Order::Drain { hand_over: false }) => self.running.others_stop(),
                (_, Order::AcceptLast) => self.running.accept_last(),
                (_, Order::RenewCertificates) => self.renew_certificates(),
                (
                    _,
                    Order::Drain { .. }
                    | Order::StepAside
                    | Order::Terminate
                    | Order::LameDuck
                    | Order::ShareConnections,
                ) => {}
            }
        }
    }
}

/// Waits for the end of the grace period. Where code is developed, what a debugger holds is not cut.
async fn grace_over(grace: Duration, others: Others) {
    sleep(grace).await;
    while others == Others::Renewed && debugger::is_at_work() {
        while debugger::is_at_work() {
            if let Some(page) = board::own() {
                page.is_debugged(clock::now());
            }
            sleep(LOOK).await;
        }
        // What it held may go on and end.
        sleep(grace).await;
    }
}

/// Tells the master something before the worker serves: why it failed to boot.
pub fn announce(channel: &Channel, message: FromWorker) {
    match channel.send(&message, &[]) {
        // It is dead, or has given this worker's generation up already, for the same reason most likely.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => debug!(%error, "the master has hung up"),
        Err(error) => warn!(%error, "cannot tell the master why the boot failed"),
        Ok(()) => {}
    }
}
