//! What waits for workers.

use super::{Engine, Result};
use crate::Millis;

impl Engine {
    /// How many tasks could start and have no worker. Those in queues that the workers do not take from do not count.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.live.counts.ready().filter(|(queue, _)| self.is_taken(queue)).map(|(_, count)| count).sum()
    }

    /// Since when the one of them waits that is to start next, of each queue; the longest.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn waits_since(&self) -> Result<Option<Millis>> {
        let mut oldest = None;
        for (queue, _) in self.live.counts.ready().filter(|(queue, _)| self.is_taken(queue)) {
            let since = self.store.oldest_ready(queue)?;
            oldest = [oldest, since].into_iter().flatten().min();
        }
        Ok(oldest)
    }

    fn is_taken(&self, queue: &str) -> bool {
        self.known_last.as_ref().is_none_or(|known| known.consumes(queue))
    }
}
