//! What operators see of companions: `hostler ctl` asks for it, and the observer is told whenever it has changed.

use super::Companion;
use crate::{observer, run::Master};
use hostler_arbiter::Vacancy;
use hostler_sys::clock;
use hostler_wire::{CompanionExit, CompanionSpec, CompanionState, CompanionView, GroupId, SlotId, ToProgram};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tracing::debug;

/// The longest text of a program's that is shown, in bytes.
const LONGEST: usize = 300;
/// As many companions as fit in a message, whatever their texts.
const IN_A_MESSAGE: usize = 100;
/// As many companions as the observer is told of.
const MOST_TOLD: usize = 300;

/// What became of the companions of a name and number since this server started.
#[derive(Clone, Debug, Default)]
struct Record {
    starts: u64,
    crashes: u64,
    last_exit: Option<CompanionExit>,
}

/// The same of all.
#[derive(Debug, Default)]
pub(crate) struct History(BTreeMap<(String, u16), Record>);

impl History {
    fn record(&mut self, name: &str, replica: u16) -> &mut Record {
        self.0.entry((name.to_owned(), replica)).or_default()
    }

    /// One was started, or taken over.
    pub(super) fn started(&mut self, name: &str, replica: u16) {
        self.record(name, replica).starts += 1;
    }

    /// One has ended, as it was to or not.
    pub(super) fn ended(&mut self, of: (&str, u16), status: &str, lived_ms: Option<u64>, as_it_should: bool) {
        let record = self.record(of.0, of.1);
        record.crashes += u64::from(!as_it_should);
        record.last_exit = Some(CompanionExit { at: clock::now(), status: cut(status), lived_ms });
    }

    /// Forgets those that the server does not have any more.
    pub(crate) fn keep(&mut self, companions: &[CompanionSpec]) {
        let is_kept = |name: &str, replica: u16| {
            companions.iter().any(|it| it.companion.name == name && replica <= it.companion.replicas)
        };
        self.0.retain(|(name, replica), _| is_kept(name, *replica));
    }
}

/// The beginning of a text.
fn cut(text: &str) -> String {
    let end = (0..=LONGEST.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text[..end.unwrap_or(0)].to_owned()
}

impl Companion {
    fn state(&self) -> CompanionState {
        match (self.told_to_stop || self.ended.is_some(), self.ready) {
            (true, _) => CompanionState::Stopping,
            (false, true) => CompanionState::Ready,
            (false, false) => CompanionState::Starting,
        }
    }
}

impl Master {
    /// One entry for each companion that is to run, in the order of the configuration.
    pub(crate) fn companion_views(&self) -> Vec<CompanionView> {
        let each = self.plan.spec.companions.iter().flat_map(|its| {
            let group = self.companions.names.group(&its.companion.name);
            let slots = group.map_or(0, |group| self.arbiter.slots(group));
            (1..=slots).map(move |index| self.companion_view(its, group.unwrap_or(GroupId::HTTP), index))
        });
        each.collect()
    }

    fn companion_view(&self, its: &CompanionSpec, group: GroupId, index: u16) -> CompanionView {
        let name = its.companion.name.clone();
        let slot = SlotId { group, index };
        let running = self.companions.all.values().rfind(|it| it.slot == slot);
        let record = self.companions.history.0.get(&(name.clone(), index)).cloned().unwrap_or_default();
        let (vacancy, next_attempt_at) = match self.arbiter.vacancy(slot) {
            Vacancy::Finished => (CompanionState::Finished, None),
            Vacancy::Failed => (CompanionState::Failed, None),
            Vacancy::WaitsForOthers => (CompanionState::Waiting, None),
            Vacancy::UntilNextAttempt(at) => {
                (CompanionState::BackingOff, Some(self.on_clock(self.started + at)))
            }
            Vacancy::Stopped => (CompanionState::Stopped, None),
        };
        CompanionView {
            name,
            replica: index,
            state: running.map_or(vacancy, Companion::state),
            pid: running.and_then(|it| it.pid),
            watcher: running.map(|it| it.watcher),
            generation: running.map(|it| it.generation.0),
            started_at: running.map(|it| self.on_clock(it.began)),
            starts: record.starts,
            crashes: record.crashes,
            failures: self.arbiter.failures(slot),
            next_attempt_at: next_attempt_at.filter(|_| running.is_none()),
            last_exit: record.last_exit,
            not_ready_because: running.filter(|it| !it.ready).and_then(|it| it.found.as_deref()).map(cut),
        }
    }

    /// A time on the scoreboard's clock; the same for the same time, whenever it is asked for.
    fn on_clock(&self, at: Instant) -> u64 {
        let began = self.companions.epoch;
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        match at.checked_duration_since(self.started) {
            Some(since) => began.saturating_add(nanos(since)),
            None => began.saturating_sub(nanos(self.started.duration_since(at))),
        }
    }

    /// Tells the observer how companions stand, if that has changed. One that does not read is told in a later turn.
    pub(crate) fn show_companions(&mut self) {
        let observer = self.programs.iter().find(|(_, it)| it.name == observer::NAME);
        let Some((id, Some(channel))) = observer.map(|(id, it)| (*id, it.channel.as_ref())) else { return };
        let mut now = self.companion_views();
        now.truncate(MOST_TOLD);
        let known = match &self.companions.told {
            Some((told, before)) if *told == id => before.as_slice(),
            _ => &[],
        };
        if known == now {
            return;
        }
        let begin = if now.is_empty() { Some((0, &now[..])) } else { None };
        let parts = now.chunks(IN_A_MESSAGE).enumerate().map(|(index, part)| (index * IN_A_MESSAGE, part));
        let mut messages = begin
            .into_iter()
            .chain(parts)
            .map(|(from, part)| ToProgram::Companions { from, views: part.to_vec() });
        match messages.try_for_each(|message| channel.send(&message, &[])) {
            Ok(()) => self.companions.told = Some((id, now)),
            Err(error) => debug!(%error, "cannot tell the observer of companions"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{History, IN_A_MESSAGE, LONGEST, cut};
    use hostler_sys::channel::MAX_MESSAGE;
    use hostler_wire::{CompanionExit, CompanionState, CompanionView, ToProgram};

    #[test]
    fn what_the_observer_is_told_fits_in_a_message() {
        // Quotes are written as two bytes.
        let text = cut(&"\"ä".repeat(LONGEST));
        assert!(text.len() <= LONGEST);
        let view = CompanionView {
            name: "n".repeat(64),
            replica: u16::MAX,
            state: CompanionState::BackingOff,
            pid: Some(i32::MAX),
            watcher: Some(i32::MAX),
            generation: Some(u32::MAX),
            started_at: Some(u64::MAX),
            starts: u64::MAX,
            crashes: u64::MAX,
            failures: u32::MAX,
            next_attempt_at: Some(u64::MAX),
            last_exit: Some(CompanionExit { at: u64::MAX, status: "s".repeat(60), lived_ms: Some(u64::MAX) }),
            not_ready_because: Some(text),
        };
        let all =
            serde_json::to_vec(&ToProgram::Companions { from: 0, views: vec![view; IN_A_MESSAGE] }).unwrap();
        assert!(all.len() < MAX_MESSAGE, "{}", all.len());
    }

    #[test]
    fn ends_that_were_meant_to_be_are_no_crashes() {
        let mut history = History::default();
        history.started("a", 1);
        history.ended(("a", 1), "exited with code 0", Some(5), true);
        history.started("a", 1);
        history.ended(("a", 1), "exited with code 3", None, false);
        let record = history.record("a", 1).clone();
        assert_eq!((record.starts, record.crashes), (2, 1));
        assert_eq!(record.last_exit.unwrap().status, "exited with code 3");
        history.keep(&[]);
        assert!(history.0.is_empty());
    }
}
