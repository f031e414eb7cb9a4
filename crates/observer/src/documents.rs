//! Documents on their way to clients, and how much memory they have together.
//!
//! Metrics of many workers are long, and a client that does not read keeps what it was sent. So responses share a document where
//! they can: while much is on its way, who asks within the same second is sent the same one. Beyond a limit the clients whose
//! sockets have taken nothing for longest lose their connections.

use crate::connection::Client;
use bytes::Bytes;
use std::{
    cell::RefCell,
    rc::{Rc, Weak as WeakRc},
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{task::yield_now, time::Instant};

/// How many bytes may be on their way when another document is made.
const MOST: usize = 192 << 10;
/// With more than this on its way, documents are shared.
const MUCH: usize = 96 << 10;
/// For how long.
const SHARED_FOR: Duration = Duration::from_secs(1);

/// Which document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Prometheus,
    OpenMetrics,
    Status,
}

/// All that is on its way, and to whom something may be.
#[derive(Default)]
pub(crate) struct Documents {
    sent: RefCell<Vec<Sent>>,
    clients: RefCell<Vec<WeakRc<Client>>>,
}

struct Sent {
    kind: Kind,
    made_at: Instant,
    text: Weak<[u8]>,
}

/// A response's share of a document.
struct Share(Arc<[u8]>);

impl AsRef<[u8]> for Share {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Documents {
    /// A client whose connection may be closed when memory is short.
    pub(crate) fn admit(&self, client: &Rc<Client>) {
        let mut clients = self.clients.borrow_mut();
        clients.retain(|client| client.strong_count() > 0);
        clients.push(Rc::downgrade(client));
    }

    /// A document: one that is on its way to others, or what `make` returns.
    pub(crate) async fn get(&self, kind: Kind, make: impl FnOnce() -> Vec<u8>) -> Bytes {
        let text = match self.shared(kind) {
            Some(text) => text,
            None => {
                self.make_room().await;
                let text: Arc<[u8]> = make().into();
                let sent = Sent { kind, made_at: Instant::now(), text: Arc::downgrade(&text) };
                self.sent.borrow_mut().push(sent);
                text
            }
        };
        Bytes::from_owner(Share(text))
    }

    /// One that was made just now, if much is on its way.
    fn shared(&self, kind: Kind) -> Option<Arc<[u8]>> {
        if self.bytes() <= MUCH {
            return None;
        }
        let sent = self.sent.borrow();
        let last = sent.iter().rfind(|sent| sent.kind == kind)?;
        if last.made_at.elapsed() > SHARED_FOR { None } else { last.text.upgrade() }
    }

    /// Closes connections until no more is on its way than may be.
    async fn make_room(&self) {
        while self.bytes() > MOST {
            let Some(slowest) = self.slowest() else { return };
            slowest.close();
            // Its task ends, and drops what it had.
            yield_now().await;
        }
    }

    /// How much is on its way.
    fn bytes(&self) -> usize {
        let mut sent = self.sent.borrow_mut();
        sent.retain(|sent| sent.text.strong_count() > 0);
        sent.iter().filter_map(|sent| sent.text.upgrade()).map(|text| text.len()).sum()
    }

    /// The client whose socket has taken nothing for longest.
    fn slowest(&self) -> Option<Rc<Client>> {
        let clients = self.clients.borrow();
        let blocked = clients.iter().filter_map(WeakRc::upgrade);
        let blocked = blocked.filter_map(|client| Some((client.blocked_since()?, client)));
        blocked.min_by_key(|(since, _)| *since).map(|(_, client)| client)
    }
}

#[cfg(test)]
mod tests {
    use super::{Client, Documents, Kind, MOST, MUCH};
    use bytes::Bytes;
    use std::rc::Rc;

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.unwrap().block_on(test);
    }

    async fn status(documents: &Documents, length: usize) -> Bytes {
        documents.get(Kind::Status, || vec![b' '; length]).await
    }

    #[test]
    fn little_is_never_shared_and_much_is_for_a_while() {
        run(async {
            let documents = Documents::default();
            let first = status(&documents, MUCH).await;
            let second = status(&documents, 10).await;
            assert_eq!((first.len(), second.len()), (MUCH, 10));
            // Now more than that is on its way.
            let third = status(&documents, 20).await;
            assert_eq!(third.as_ptr(), second.as_ptr());
            assert_eq!(documents.get(Kind::OpenMetrics, || vec![0; 5]).await.len(), 5);
            drop((first, second, third));
            let last = status(&documents, 20).await;
            assert_eq!((last.len(), documents.bytes()), (20, 20));
        });
    }

    #[test]
    fn who_reads_slowest_makes_room() {
        run(async {
            let documents = Documents::default();
            let clients: Vec<Rc<Client>> = (0..3).map(|_| Rc::new(Client::new(true))).collect();
            clients.iter().for_each(|client| documents.admit(client));
            let held = status(&documents, MOST + 1).await;
            clients[1].blocks(true);
            std::thread::sleep(std::time::Duration::from_millis(2));
            clients[0].blocks(true);
            let other = documents.get(Kind::Prometheus, || vec![0; 5]).await;
            let closed: Vec<bool> = clients.iter().map(|client| client.is_closed()).collect();
            // Both: what they had is still held.
            assert_eq!((closed, other.len()), (vec![true, true, false], 5));
            drop(held);
        });
    }
}
