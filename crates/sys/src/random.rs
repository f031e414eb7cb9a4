//! Random numbers of the kernel, for seeds. A process asks for its own after its last fork: what was drawn before is the
//! same in all children.

/// Two random numbers (getrandom(2)); if the kernel has none yet, from the clock and the process id.
#[must_use]
pub fn seed() -> [u64; 2] {
    let mut seed = [0_u64; 2];
    // SAFETY: the place is live and as long as is said.
    let got = unsafe { libc::getrandom(seed.as_mut_ptr().cast(), size_of_val(&seed), libc::GRND_NONBLOCK) };
    if usize::try_from(got) != Ok(size_of_val(&seed)) {
        seed = [crate::clock::now(), u64::from(std::process::id()).rotate_left(32)];
    }
    seed
}

/// A number that looks random, of a number: SplitMix64's finalizer.
#[must_use]
pub const fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::{mix, seed};

    #[test]
    fn seeds_differ_and_so_do_neighbours() {
        assert_ne!(seed(), seed());
        assert!((0..1000).all(|number| mix(number) != mix(number + 1)));
    }
}
