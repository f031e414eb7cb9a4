//! Numbers of processes that follow a made-up load.

use super::{Event, FIRST, Policy, Time, drain, scale, secs, serving, spawn};
use crate::{Bounds, Change, DrainReason, Load, Need, Reason, Scaler};
use hostler_wire::{SlotId, WorkerId};
use proptest::prelude::*;
use std::time::Duration;

const AFTER: Duration = Duration::from_secs(10);

fn millis(n: u64) -> Time {
    Duration::from_millis(n)
}

/// A group of processes that boot for some time, and so much work.
struct Group {
    scaler: Scaler,
    wanted: u16,
    /// When those that were asked for last serve.
    ready_at: Time,
    serving: u16,
    boot: Duration,
    now: Time,
    changes: Vec<(Time, u16, Change)>,
}

impl Group {
    fn new(need: Need, least: u16, most: u16, boot: Duration) -> Self {
        let scaler = Scaler::new(need, Bounds { least, most }, AFTER, Time::ZERO);
        let (wanted, serving) = (least, least);
        Self { scaler, wanted, ready_at: Time::ZERO, serving, boot, now: Time::ZERO, changes: Vec::new() }
    }

    /// Goes on for so long, in steps of 50 ms. `work`: how many processes the work would keep busy if there were enough.
    fn run(&mut self, time: Duration, work: f64) {
        let end = self.now + time;
        let mut waited = Duration::ZERO;
        while self.now < end {
            self.now += millis(50);
            if self.now >= self.ready_at {
                self.serving = self.wanted;
            }
            let is_short = work > f64::from(self.serving);
            waited = if is_short { waited + millis(50) } else { Duration::ZERO };
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a test's numbers")]
            let load = Load {
                wanted: self.wanted,
                serving: self.serving,
                busy: work.min(f64::from(self.serving)),
                waiting: (work - f64::from(self.serving)).max(0.0).ceil() as u64,
                waited,
            };
            let change = if self.scaler.next_sample(self.wanted).is_some_and(|due| self.now >= due) {
                self.scaler.sample(&load, self.now)
            } else if is_short {
                self.scaler.hear(&load, self.now)
            } else {
                None
            };
            if let Some(change) = change {
                assert_ne!(change.to, self.wanted, "{change:?}");
                let Bounds { least, most } = self.scaler.bounds();
                assert!((least..=most).contains(&change.to), "{change:?}");
                self.changes.push((self.now, self.wanted, change));
                if change.to > self.wanted {
                    self.ready_at = self.now + self.boot;
                } else {
                    self.serving = self.serving.min(change.to);
                }
                self.wanted = change.to;
            }
        }
    }

    fn numbers(&self) -> Vec<u16> {
        self.changes.iter().map(|(_, _, change)| change.to).collect()
    }
}

#[test]
fn a_burst_of_tasks_brings_eight_workers_within_seconds_and_they_go_one_half_at_a_time() {
    let mut group = Group::new(Need::Waiting, 1, 8, millis(300));
    group.run(secs(3), 340.0);
    assert_eq!(group.numbers(), [4, 8]);
    let (_, from, Change { to, reason }) = group.changes[0];
    assert_eq!((from, to), (1, 4));
    assert_eq!(reason.to_string(), "the oldest task has waited 0.5 s, 339 wait");
    group.run(secs(60), 0.0);
    assert_eq!(group.numbers(), [4, 8, 4, 2, 1]);
    assert!(matches!(group.changes[2].2.reason, Reason::Calm(busy, _) if busy == 0.0));
    assert_eq!(group.scaler.next_sample(1), None, "nothing is looked at while nothing happens");
}

#[test]
fn without_workers_the_first_task_brings_one_at_once() {
    let mut group = Group::new(Need::Waiting, 0, 4, millis(300));
    group.run(secs(60), 0.0);
    assert_eq!(group.numbers(), [0u16; 0]);
    assert_eq!(group.scaler.next_sample(0), None);
    group.run(millis(50), 0.5);
    assert_eq!(group.numbers(), [1]);
    group.run(secs(5), 0.5);
    assert_eq!(group.numbers(), [1], "it has waited for the worker, not for want of a second one");
    group.run(secs(11), 0.0);
    assert_eq!(group.numbers(), [1, 0]);
}

#[test]
fn busy_workers_get_company_within_seconds() {
    let mut group = Group::new(Need::Busy, 2, 16, millis(500));
    group.run(secs(15), 100.0);
    assert_eq!(group.numbers(), [3, 4, 6, 9, 13, 16]);
    let reason = group.changes[0].2.reason.to_string();
    assert!(reason.starts_with("they were busy for 100 % of 1."), "{reason}");
    group.run(secs(120), 0.0);
    assert_eq!(group.wanted, 2);
}

#[test]
fn requests_that_wait_for_a_thread_bring_workers_too() {
    let mut scaler = Scaler::new(Need::Busy, Bounds { least: 1, most: 2 }, AFTER, Time::ZERO);
    let load = Load { wanted: 1, serving: 1, busy: 0.4, waiting: 7, waited: millis(180) };
    assert_eq!(scaler.sample(&load, millis(500)), None);
    let change = scaler.sample(&load, millis(1500)).unwrap();
    assert_eq!(change.reason.to_string(), "7 requests waited 180 ms for the application");
}

#[test]
fn a_group_whose_processes_do_not_boot_does_not_grow_on() {
    let mut group = Group::new(Need::Waiting, 1, 64, secs(3600));
    (group.serving, group.ready_at) = (0, secs(3600));
    group.run(secs(600), 500.0);
    assert_eq!(group.numbers(), [0u16; 0]);
}

#[test]
fn a_group_that_shrank_too_soon_is_patient() {
    let mut group = Group::new(Need::Waiting, 1, 2, millis(100));
    for _ in 0..6 {
        group.run(secs(2), 9.0);
        group.run(secs(12), 0.1);
    }
    let downs = group.numbers().iter().filter(|to| **to == 1).count();
    assert!(downs <= 3, "{:?}", group.changes);
    group.run(secs(100), 0.0);
    assert_eq!(group.wanted, 1);
}

#[test]
fn a_user_moves_the_bounds() {
    let bounds = Bounds { least: 2, most: 8 };
    assert_eq!(bounds.at_least(3), Bounds { least: 3, most: 8 });
    assert_eq!(bounds.at_least(12), Bounds { least: 12, most: 12 });
    assert!(bounds.at_least(0).is_fixed());
    let mut group = Group::new(Need::Busy, 2, 8, millis(100));
    group.scaler.set_bounds(bounds.at_least(0), Time::ZERO);
    group.wanted = 0;
    group.run(secs(60), 10.0);
    assert_eq!(group.numbers(), [0u16; 0], "there are to be none");
}

#[test]
fn fixed_numbers_are_never_looked_at() {
    let scaler = Scaler::new(Need::Busy, Bounds::fixed(4), AFTER, Time::ZERO);
    assert_eq!(scaler.next_sample(4), None);
}

#[test]
fn the_slot_that_goes_need_not_be_the_last_one() {
    let mut arbiter = serving(Policy::new(3));
    let told = arbiter.step(Event::Retire(SlotId::http(2)), secs(1));
    assert_eq!(told, [drain(WorkerId(2), DrainReason::FewerWorkers, true)]);
    assert_eq!((arbiter.slots(hostler_wire::GroupId::HTTP), arbiter.is_complete()), (2, true));
    assert_eq!(arbiter.step(Event::Exited(WorkerId(2)), secs(2)), []);
    // The third keeps its number, and is replaced there.
    assert_eq!(arbiter.step(Event::Exited(WorkerId(3)), secs(3)), [spawn(4, 3, FIRST)]);
    let _ = super::boot(&mut arbiter, WorkerId(4), secs(3));
    assert_eq!(arbiter.step(scale(4), secs(4)), [spawn(5, 2, FIRST), spawn(6, 4, FIRST)]);
    let _ = super::boot(&mut arbiter, WorkerId(5), secs(4));
    let _ = super::boot(&mut arbiter, WorkerId(6), secs(4));
    assert_eq!(arbiter.step(scale(3), secs(5)), [drain(WorkerId(6), DrainReason::FewerWorkers, true)]);
    assert_eq!(arbiter.step(Event::Retire(SlotId::http(9)), secs(6)), []);
}

proptest! {
    /// However constant a load is: after a while the number of processes does not change any more.
    #[test]
    fn a_constant_load_has_one_answer(
        need in prop::sample::select(vec![Need::Waiting, Need::Busy]),
        least in 1u16..5, more in 1u16..30, work in 0.0f64..40.0, start in 0.0f64..60.0, boot in 10u64..4000,
    ) {
        let mut group = Group::new(need, least, least + more, millis(boot));
        group.run(secs(60), start);
        group.run(secs(600), work);
        group.changes.clear();
        group.run(secs(1200), work);
        prop_assert!(group.changes.is_empty(), "{:?}", group.changes);
        let enough = work.min(f64::from(least + more));
        prop_assert!(f64::from(group.wanted) >= enough.floor(), "{} for {work}", group.wanted);
    }

    /// Too few reach the most within seconds, and idle ones the least within their waits.
    #[test]
    fn the_bounds_are_reached(
        need in prop::sample::select(vec![Need::Waiting, Need::Busy]),
        least in 0u16..5, more in 1u16..60, boot in 10u64..1000,
        before in prop::collection::vec((0u64..30, 0.0f64..80.0), 0..6),
    ) {
        let least = if need == Need::Busy { least.max(1) } else { least };
        let mut group = Group::new(need, least, least + more, millis(boot));
        for (seconds, work) in before {
            group.run(secs(seconds), work);
        }
        group.run(secs(1) + (secs(2) + millis(boot)) * 12, 1000.0);
        prop_assert_eq!(group.wanted, least + more);
        group.run(AFTER * 8 * 8, 0.0);
        prop_assert_eq!(group.wanted, least);
    }
}
