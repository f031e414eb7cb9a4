//! What a process may have.

use nix::sys::resource::{Resource, getrlimit};

/// How many descriptors this process may have open (getrlimit(2)).
#[must_use]
pub fn max_descriptors() -> usize {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
    usize::try_from(limit).unwrap_or(usize::MAX)
}
