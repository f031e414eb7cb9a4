//! Session tickets (RFC 5077, RFC 8446 §4.6.1) that any worker can read: the master makes the keys and rotates them.
//!
//! A ticket is a key's id, a nonce, and the session encrypted with AES-256-GCM. What was asked of clients when it was
//! made is authenticated with it: a ticket is of no use once other clients are to be let in.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    rand,
};
use rustls::server::ProducesTickets;
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    time::{Duration, SystemTime},
};

/// For how long new sessions are encrypted with a key, and can be resumed afterwards.
pub const LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// How many keys there are: the one in use, and the one before it.
const KEPT: usize = 2;
const ID: usize = 16;
const TAG: usize = 16;

/// The keys, the one in use first.
#[derive(Clone, Serialize, Deserialize)]
pub struct TicketKeys {
    keys: Vec<TicketKey>,
    made: SystemTime,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct TicketKey {
    id: [u8; ID],
    secret: [u8; 32],
}

impl TicketKey {
    fn random() -> Option<Self> {
        let mut key = Self { id: [0; ID], secret: [0; 32] };
        rand::fill(&mut key.id).ok()?;
        rand::fill(&mut key.secret).ok()?;
        Some(key)
    }
}

impl TicketKeys {
    /// A first key; none if the system has no random numbers.
    #[must_use]
    pub fn new(now: SystemTime) -> Self {
        Self { keys: TicketKey::random().into_iter().collect(), made: now }
    }

    /// As bytes, for a server that replaces this one.
    #[must_use]
    pub fn encode(&self) -> Option<Vec<u8>> {
        postcard::to_stdvec(self).ok()
    }

    /// From the bytes of [`TicketKeys::encode`]; `None` for others, and if none are left.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok().filter(|keys: &Self| !keys.keys.is_empty())
    }

    /// When the next key is due.
    #[must_use]
    pub fn due(&self) -> SystemTime {
        self.made + LIFETIME
    }

    /// Puts a new key before the others, and forgets the oldest.
    pub fn rotate(&mut self, now: SystemTime) {
        self.made = now;
        if let Some(key) = TicketKey::random() {
            self.keys.insert(0, key);
            self.keys.truncate(KEPT);
        }
    }
}

/// Without the keys.
impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKeys").field("made", &self.made).finish_non_exhaustive()
    }
}

/// Makes and reads the tickets of a worker.
pub(crate) struct Ticketer {
    keys: Vec<([u8; ID], RandomizedNonceKey)>,
    /// What every ticket is bound to.
    context: Vec<u8>,
}

impl Ticketer {
    /// For these keys, and tickets that are bound to this.
    pub(crate) fn new(keys: &TicketKeys, context: Vec<u8>) -> Self {
        let ready =
            |key: &TicketKey| Some((key.id, RandomizedNonceKey::new(&AES_256_GCM, &key.secret).ok()?));
        Self { keys: keys.keys.iter().filter_map(ready).collect(), context }
    }

    fn bound_to(&self, id: [u8; ID]) -> Aad<Vec<u8>> {
        Aad::from([id.as_slice(), &self.context].concat())
    }
}

impl fmt::Debug for Ticketer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticketer").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}

impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        !self.keys.is_empty()
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(LIFETIME.as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let (id, key) = self.keys.first()?;
        let mut sealed = plain.to_vec();
        let nonce = key.seal_in_place_append_tag(self.bound_to(*id), &mut sealed).ok()?;
        Some([id.as_slice(), nonce.as_ref().as_slice(), &sealed].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (id, rest) = ticket.split_first_chunk::<ID>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let (_, key) = self.keys.iter().find(|(known, _)| known == id)?;
        let mut session = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        key.open_in_place(nonce, self.bound_to(*id), &mut session).ok()?;
        session.truncate(sealed.len().checked_sub(TAG)?);
        Some(session)
    }
}

#[cfg(test)]
mod tests {
    use super::{LIFETIME, TicketKeys, Ticketer};
    use rustls::server::ProducesTickets;
    use std::time::SystemTime;

    #[test]
    fn a_ticket_is_read_by_another_worker_until_its_key_is_forgotten() {
        let now = SystemTime::now();
        let mut keys = TicketKeys::new(now);
        let ticket = Ticketer::new(&keys, b"clients".to_vec()).encrypt(b"session").unwrap();
        let read = |keys: &TicketKeys| Ticketer::new(keys, b"clients".to_vec()).decrypt(&ticket);
        assert_eq!(read(&keys).as_deref(), Some(&b"session"[..]));
        assert_eq!(keys.due(), now + LIFETIME);
        keys.rotate(keys.due());
        assert_eq!(read(&keys).as_deref(), Some(&b"session"[..]), "the key before is kept");
        keys.rotate(keys.due());
        assert_eq!(read(&keys), None);
    }

    #[test]
    fn what_is_no_ticket_of_ours_is_refused() {
        let keys = TicketKeys::new(SystemTime::now());
        let ticketer = Ticketer::new(&keys, b"these clients".to_vec());
        let ticket = ticketer.encrypt(b"session").unwrap();
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert_eq!(ticketer.decrypt(&changed), None, "byte {at}");
            assert_eq!(ticketer.decrypt(&ticket[..at]), None, "{at} bytes");
        }
        assert_eq!(Ticketer::new(&keys, b"others".to_vec()).decrypt(&ticket), None);
        assert_ne!(ticketer.encrypt(b"session"), Some(ticket), "no two are alike");
    }
}
