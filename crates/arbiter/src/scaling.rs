//! How many processes a group needs: a pure state machine for groups whose number follows their load; no I/O and no clock.
//!
//! The master feeds it samples and times, and turns what comes back into events of the arbiter. Growing is quick: somebody waits.
//! Shrinking is slow, and leaves so many that they are busy for half of their time at most: growing begins far above that, so that a
//! constant load has one answer. A group that had to grow soon after it shrank waits longer the next time.
//!
//! ```text
//!           pressed, all serve          pressed for long enough
//! (settled) ─────────────────► pressed ─────────────────────────► grows, and settles anew
//!           fewer would do              and did for long enough
//!           ─────────────────► calm    ─────────────────────────► shrinks, and is watched anew
//! ```

use crate::Time;
use std::{fmt, time::Duration};

/// A task that has waited this long shows that there are too few processes.
const WAITED: Duration = Duration::from_millis(500);
/// So does a request that has waited this long for the application, or a thread of it.
const QUEUED: Duration = Duration::from_millis(100);
/// Processes that are busy for this part of their time are too few.
const SATURATED: f64 = 0.75;
/// For how long they have to be.
const SATURATED_FOR: Duration = Duration::from_secs(1);
/// Processes that are left are to be busy for this part of their time at most.
const ENOUGH: f64 = 0.5;
/// How long all have to serve before what they bring is judged.
const SETTLED_FOR: Duration = Duration::from_millis(500);
/// Processes that do not serve this long after the last change do not hold up the next one.
const BOOT_PATIENCE: Duration = Duration::from_secs(10);
/// One that waits has so many more at first; after that they double.
const FIRST_STEP: u16 = 3;
/// A group that grew within so many waits after it shrank shrank too soon: the next wait is twice as long.
const REGRET: u32 = 6;
/// The most that a wait becomes longer.
const MOST_PATIENCE: u32 = 8;
/// How often a group is looked at that may have to grow, and one that does nothing or may shrink.
const PRESSED_SAMPLE: Duration = Duration::from_millis(250);
const CALM_SAMPLE: Duration = Duration::from_secs(1);

/// How many processes a group may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Not fewer.
    pub least: u16,
    /// Not more.
    pub most: u16,
}

impl Bounds {
    /// This many.
    #[must_use]
    pub fn fixed(count: u16) -> Self {
        Self { least: count, most: count }
    }

    /// Whether there is nothing to decide.
    #[must_use]
    pub fn is_fixed(self) -> bool {
        self.least >= self.most
    }

    /// The nearest number within them.
    #[must_use]
    pub fn nearest(self, count: u16) -> u16 {
        count.clamp(self.least, self.most.max(self.least))
    }

    /// The same for a user who wants this many at least, or none at all.
    #[must_use]
    pub fn at_least(self, count: u16) -> Self {
        let most = if count == 0 { 0 } else { self.most.max(count) };
        Self { least: count, most }
    }
}

/// What shows that a group needs more processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Tasks wait.
    Waiting,
    /// They are busy most of the time, or requests wait for them.
    Busy,
}

/// What a group does.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// How many processes there are to be.
    pub wanted: u16,
    /// How many serve.
    pub serving: u16,
    /// How many were busy on average since the last sample.
    pub busy: f64,
    /// How many tasks or requests wait, or have waited since the last sample.
    pub waiting: u64,
    /// How long.
    pub waited: Duration,
}

/// Another number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// The number.
    pub to: u16,
    /// Why.
    pub reason: Reason,
}

/// Why a group grows or shrinks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reason {
    /// So many tasks wait, the oldest for so long.
    TasksWait(u64, Duration),
    /// So many requests waited, on average for so long.
    RequestsWait(u64, Duration),
    /// They were busy for this part of so much time.
    Busy(f64, Duration),
    /// No more than so many were busy for so long.
    Calm(f64, Duration),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TasksWait(count, waited) => {
                let (seconds, verb) = (waited.as_secs_f64(), if *count == 1 { "waits" } else { "wait" });
                write!(f, "the oldest task has waited {seconds:.1} s, {count} {verb}")
            }
            Self::RequestsWait(count, waited) => {
                let (millis, s) = (waited.as_millis(), if *count == 1 { "" } else { "s" });
                write!(f, "{count} request{s} waited {millis} ms for the application")
            }
            Self::Busy(part, time) => {
                write!(f, "they were busy for {:.0} % of {:.1} s", part * 100.0, time.as_secs_f64())
            }
            Self::Calm(0.0, time) => write!(f, "none had anything to do for {:.0} s", time.as_secs_f64()),
            Self::Calm(busy, time) => {
                write!(f, "no more than {busy:.1} of them were busy for {:.0} s", time.as_secs_f64())
            }
        }
    }
}

/// Since when fewer would do, and how many were busy at most.
#[derive(Clone, Copy, Debug)]
struct Calm {
    since: Time,
    peak: f64,
}

/// Decides how many processes a group has.
#[derive(Clone, Debug)]
pub struct Scaler {
    need: Need,
    bounds: Bounds,
    shrink_after: Duration,
    /// How much longer it waits.
    patience: u32,
    changed_at: Option<Time>,
    shrunk_at: Option<Time>,
    /// Since when all serve.
    settled_since: Option<Time>,
    pressed_since: Option<Time>,
    calm: Option<Calm>,
    sampled_at: Time,
}

impl Scaler {
    /// For a group that needs processes by this sign, within these bounds.
    #[must_use]
    pub fn new(need: Need, bounds: Bounds, shrink_after: Duration, now: Time) -> Self {
        Self {
            need,
            bounds,
            shrink_after,
            patience: 1,
            changed_at: None,
            shrunk_at: None,
            settled_since: None,
            pressed_since: None,
            calm: None,
            sampled_at: now,
        }
    }

    /// The bounds.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Others from now on, and what was seen before says nothing.
    pub fn set_bounds(&mut self, bounds: Bounds, now: Time) {
        self.bounds = bounds;
        self.changed(now);
    }

    /// When the next sample is to be taken, of a group with so many processes; `None` if only somebody who begins to wait can change
    /// anything.
    #[must_use]
    pub fn next_sample(&self, wanted: u16) -> Option<Time> {
        if self.bounds.is_fixed() {
            return None;
        }
        if self.pressed_since.is_some() {
            return Some(self.sampled_at + PRESSED_SAMPLE);
        }
        let is_asked = self.need == Need::Busy || wanted > self.bounds.least;
        is_asked.then_some(self.sampled_at + CALM_SAMPLE)
    }

    /// Takes in a sample; what is to be changed.
    pub fn sample(&mut self, load: &Load, now: Time) -> Option<Change> {
        let since = std::mem::replace(&mut self.sampled_at, now);
        self.grow(load, since, now).or_else(|| self.shrink(load, now))
    }

    /// As [`Scaler::sample`], of which only is known what waits.
    pub fn hear(&mut self, load: &Load, now: Time) -> Option<Change> {
        self.grow(load, now, now)
    }

    /// No sample can be taken now.
    pub fn skip(&mut self, now: Time) {
        self.sampled_at = now;
        (self.pressed_since, self.calm) = (None, None);
    }

    fn grow(&mut self, load: &Load, since: Time, now: Time) -> Option<Change> {
        if self.bounds.is_fixed() || load.wanted >= self.bounds.most || !self.is_settled(load, now) {
            self.pressed_since = None;
            return None;
        }
        let Some(reason) = self.pressure(load) else {
            self.pressed_since = None;
            return None;
        };
        // What a sample says is true of the time since the one before.
        let pressed_for = now.saturating_sub(*self.pressed_since.get_or_insert(since));
        let (limit, reason) = match reason {
            // It has waited already.
            Reason::TasksWait(..) => (Duration::ZERO, reason),
            Reason::Busy(part, _) => (SATURATED_FOR, Reason::Busy(part, pressed_for)),
            _ => (SATURATED_FOR, reason),
        };
        if pressed_for < limit {
            return None;
        }
        let to = load.wanted.saturating_add(self.step(load)).min(self.bounds.most);
        let regrets = self.shrunk_at.is_some_and(|at| now.saturating_sub(at) < self.shrink_after * REGRET);
        self.patience = if regrets { (self.patience * 2).min(MOST_PATIENCE) } else { 1 };
        self.changed(now);
        Some(Change { to, reason })
    }

    /// Why there are too few.
    fn pressure(&self, load: &Load) -> Option<Reason> {
        match self.need {
            Need::Waiting => {
                let waits = load.waiting > 0 && (load.waited >= WAITED || load.wanted == 0);
                waits.then_some(Reason::TasksWait(load.waiting, load.waited))
            }
            Need::Busy => {
                let part = if load.serving == 0 { 0.0 } else { load.busy / f64::from(load.serving) };
                if part >= SATURATED {
                    return Some(Reason::Busy(part, Duration::ZERO));
                }
                let waits = load.waiting > 0 && load.waited >= QUEUED;
                waits.then_some(Reason::RequestsWait(load.waiting, load.waited))
            }
        }
    }

    /// How many more.
    fn step(&self, load: &Load) -> u16 {
        match self.need {
            Need::Waiting if load.wanted == 0 => 1,
            Need::Waiting => {
                let waiting = u16::try_from(load.waiting).unwrap_or(u16::MAX);
                waiting.min(load.wanted.max(FIRST_STEP))
            }
            Need::Busy => (load.wanted / 2).max(1),
        }
    }

    /// Whether the processes that there are to be have served for a moment: what they do can be judged.
    fn is_settled(&mut self, load: &Load, now: Time) -> bool {
        let waited_for = self.changed_at.is_some_and(|at| now.saturating_sub(at) >= BOOT_PATIENCE);
        if load.serving < load.wanted && (load.serving == 0 || !waited_for) {
            self.settled_since = None;
            return false;
        }
        let since = *self.settled_since.get_or_insert(now);
        self.changed_at.is_none() || load.wanted == 0 || now.saturating_sub(since) >= SETTLED_FOR
    }

    fn shrink(&mut self, load: &Load, now: Time) -> Option<Change> {
        if load.wanted <= self.bounds.least || !self.is_calm(load) {
            self.calm = None;
            return None;
        }
        let Calm { since, peak } = self.calm.unwrap_or(Calm { since: now, peak: 0.0 });
        let peak = peak.max(load.busy);
        self.calm = Some(Calm { since, peak });
        let calm_for = now.saturating_sub(since);
        if calm_for < self.shrink_after * self.patience {
            return None;
        }
        let needed = self.enough_for(peak).max(self.bounds.least);
        let to = load.wanted - load.wanted.saturating_sub(needed).div_ceil(2).max(1);
        self.changed(now);
        self.shrunk_at = Some(now);
        Some(Change { to, reason: Reason::Calm(peak, calm_for) })
    }

    /// Whether one process less would do.
    fn is_calm(&self, load: &Load) -> bool {
        let waits = match load.wanted {
            1 => load.waiting > 0,
            _ => self.pressure(load).is_some(),
        };
        !waits && load.busy <= ENOUGH * f64::from(load.wanted - 1)
    }

    /// How many do so much work.
    fn enough_for(&self, busy: f64) -> u16 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "no more than there are")]
        let enough = (busy / ENOUGH - 1e-6).ceil().clamp(0.0, 1024.0) as u16;
        enough
    }

    fn changed(&mut self, now: Time) {
        self.changed_at = Some(now);
        self.settled_since = None;
        self.pressed_since = None;
        self.calm = None;
    }
}
