//! The loop's clock.

/// The time in seconds: CLOCK_MONOTONIC, as `time.monotonic()`.
pub(crate) fn now() -> f64 {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)
        .map_or(0.0, |time| std::time::Duration::from(time).as_secs_f64())
}
