//! When what has no end should end: the worker stops, or is replaced.

use std::sync::LazyLock;
use tokio::sync::watch;

/// A worker serves one application, and its services may ask on any of their threads.
static ENDING: LazyLock<watch::Sender<bool>> = LazyLock::new(|| watch::Sender::new(false));

/// The worker ends what has no end.
pub(in crate::app) fn begin() {
    ENDING.send_replace(true);
}

/// Waits until this worker wants what has no end to end: WebSockets, event streams, requests that wait for news.
///
/// A server that stops wants it at once. A worker that is replaced wants it when four fifths of the graceful timeout are over:
/// until then its clients may leave by themselves. What has not ended when that timeout is over is cut.
pub async fn worker_ends() {
    // It cannot fail: the sender is never dropped.
    let _ = ENDING.subscribe().wait_for(|ending| *ending).await;
}
