//! Random numbers for jitter; not for secrets.

use std::hash::{BuildHasher, RandomState};

/// A sequence of random numbers.
pub(crate) struct Jitter {
    state: RandomState,
    count: u64,
}

impl Jitter {
    pub(crate) fn new() -> Self {
        Self { state: RandomState::new(), count: 0 }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.count += 1;
        self.state.hash_one(self.count)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }
}
