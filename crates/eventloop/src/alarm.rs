//! The driver's alarm clock: a timerfd, because tokio's own timers count whole milliseconds and round up.

#![expect(unsafe_code, reason = "tokio has descriptors registered by number")]

use crate::descriptors::Opened;
use nix::sys::{
    time::TimeSpec,
    timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
};
use std::{
    io,
    os::fd::{AsFd, AsRawFd, RawFd},
    task::{Context, Poll},
    time::Duration,
};
use tokio::io::{Interest, unix::AsyncFd};

/// The latest time that the timer is set to, in seconds of the monotonic clock: 31 years after boot.
const MAX_SECONDS: f64 = 1e9;

struct Clock(TimerFd);

impl AsRawFd for Clock {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// Wakes a task at a time of the loop's clock.
pub(crate) struct Alarm {
    clock: AsyncFd<Clock>,
    /// When it goes off, unless it has.
    set_to: Option<f64>,
    _opened: Opened,
}

impl Alarm {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let clock = Clock(TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?);
        let opened = Opened::one(&clock);
        // SAFETY: the descriptor is the clock's own, which lives as long as its registration.
        let clock = unsafe { AsyncFd::register_with_interest(clock, Interest::READABLE) }?;
        Ok(Self { clock, set_to: None, _opened: opened })
    }

    /// Wakes the task at `when`, or before.
    ///
    /// An earlier alarm is left as it is: timers that are set and cancelled again and again, as `asyncio.wait_for`
    /// does, cost no system call.
    pub(crate) fn wake_at(&mut self, cx: &mut Context<'_>, when: f64) -> io::Result<()> {
        // It is not read: setting it resets it, and it is watched edge-triggered.
        while let Poll::Ready(rang) = self.clock.poll_read_ready(cx) {
            rang?.clear_ready();
            self.set_to = None;
        }
        if self.set_to.is_none_or(|set_to| when < set_to) {
            self.set(when)?;
            self.set_to = Some(when);
        }
        Ok(())
    }

    fn set(&self, when: f64) -> io::Result<()> {
        // A nanosecond later: the conversion may round down, and 0 would mean "off".
        let time = Duration::from_secs_f64(when.clamp(0.0, MAX_SECONDS)) + Duration::from_nanos(1);
        let time = Expiration::OneShot(TimeSpec::from_duration(time));
        Ok(self.clock.get_ref().0.set(time, TimerSetTimeFlags::TFD_TIMER_ABSTIME)?)
    }
}
