//! What clients wait for, and what they are answered when its outcome is known.

use super::clients::ClientId;
use hostler_arbiter::{Arbiter, Vacancy};
use hostler_sys::process::WaitStatus;
use hostler_wire::{
    Failure, Generation, GroupId, SlotId, WorkerId,
    control::{Refusal, Reply},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Instant};

/// Something that happened in this turn and that is not to be seen in the state of the fleet.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Notice {
    /// A worker could not boot.
    BootFailed { slot: SlotId, generation: Generation, failure: Failure },
    /// A generation cannot be served, whatever worker tries.
    GenerationFailed(Generation, Failure),
    /// It serves.
    Reloaded(Generation),
    /// It was given up.
    NotReloaded(Generation),
    /// It was given up for this later one.
    Superseded(Generation, Generation),
    /// Another server has taken over.
    HandedOver(Option<i32>),
    /// The server that was to take over ended in this way.
    SuccessorEnded(WaitStatus),
    /// It is gone before it took over.
    NotUpgraded,
    /// A worker has told where its threads are.
    Stacks { worker: WorkerId, asked: u32, text: String },
    /// A companion has ended otherwise than it was to, or was not ready in time.
    CompanionFailed { worker: WorkerId, slot: SlotId, how: String },
}

/// What a client waits for.
#[derive(Clone, Debug)]
pub(super) enum Awaited {
    /// The end of the reload that is under way, to begin another.
    NextReload,
    /// That the configuration has been read for a reload.
    Reading,
    /// That this process has read the configuration, to tell what has changed.
    Changes(i32),
    /// That this generation serves.
    Reload(Generation),
    /// That another server has taken over.
    Upgrade,
    /// The end.
    Stop,
    /// That these workers are replaced; and, if told so, that their processes have ended.
    Replaced { workers: Vec<(WorkerId, SlotId)>, ended: bool },
    /// That these companions have ended, and that others run in their slots, or have done what they were to do.
    Restarted { name: String, slots: Vec<SlotId>, before: Vec<WorkerId> },
    /// That there are so many workers.
    Scaled(u16),
    /// That these workers tell where their threads are, for some time.
    Stacks { asked: u32, open: Vec<WorkerId>, found: BTreeMap<WorkerId, Value>, until: Instant },
}

/// A client that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) client: ClientId,
    pub(super) awaited: Awaited,
    since: Instant,
    /// What went wrong so far.
    failure: Option<Failure>,
    ended: Option<WaitStatus>,
}

/// What became of it.
pub(super) type Outcome = Result<(String, Value), Refusal>;

/// An outcome as a reply.
pub(super) fn reply(outcome: Outcome) -> Reply {
    match outcome {
        Ok((message, result)) => Reply::Done { message, result },
        Err(refusal) => Reply::Failed(refusal),
    }
}

impl Waiting {
    pub(super) fn new(client: ClientId, awaited: Awaited) -> Self {
        Self { client, awaited, since: Instant::now(), failure: None, ended: None }
    }

    fn seconds(&self) -> f64 {
        (self.since.elapsed().as_secs_f64() * 1000.0).round() / 1000.0
    }

    /// Takes in what happened; the outcome, once it is known.
    pub(super) fn look(&mut self, notices: &[Notice], arbiter: &Arbiter) -> Option<Outcome> {
        let told = notices.iter().find_map(|notice| self.heed(notice, arbiter));
        told.or_else(|| self.overtaken(arbiter)).or_else(|| self.reached(arbiter))
    }

    /// When it is over whatever happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        if let Awaited::Stacks { until, .. } = &self.awaited { Some(*until) } else { None }
    }

    fn heed(&mut self, notice: &Notice, arbiter: &Arbiter) -> Option<Outcome> {
        if let (Awaited::Stacks { asked, open, found, .. }, Notice::Stacks { worker, asked: of, text }) =
            (&mut self.awaited, notice)
            && is_answered(*asked, *of)
        {
            open.retain(|id| id != worker);
            if let Some(entry) = found.get_mut(worker) {
                entry["python"] = text.as_str().into();
            }
            return None;
        }
        match (&self.awaited, notice) {
            (Awaited::Reload(wanted), Notice::BootFailed { generation, failure, .. })
            | (Awaited::Reload(wanted), Notice::GenerationFailed(generation, failure))
                if wanted == generation =>
            {
                self.failure.get_or_insert(failure.clone());
                None
            }
            (Awaited::Reload(wanted), Notice::Reloaded(generation)) if wanted == generation => {
                let workers = arbiter.slots(GroupId::HTTP);
                let result =
                    json!({"generation": generation.0, "workers": workers, "seconds": self.seconds()});
                Some(Ok((
                    format!("reloaded: generation {generation} serves, with {}", workers_in_words(workers)),
                    result,
                )))
            }
            (Awaited::Reload(wanted), Notice::NotReloaded(generation)) if wanted == generation => {
                let message = "not reloaded: the running workers keep serving";
                Some(Err(self.refusal(message)))
            }
            // That one reads what this one read, or what is newer.
            (Awaited::Reload(wanted), Notice::Superseded(generation, later)) if wanted == generation => {
                self.awaited = Awaited::Reload(*later);
                self.failure = None;
                None
            }
            (Awaited::Upgrade, Notice::HandedOver(pid)) => {
                let result = json!({"pid": pid, "seconds": self.seconds()});
                let process = pid.map_or_else(String::new, |pid| format!(" (process {pid})"));
                Some(Ok((format!("upgraded: the new server{process} serves, the old one exits"), result)))
            }
            (Awaited::Upgrade, Notice::SuccessorEnded(status)) => {
                self.ended = Some(*status);
                None
            }
            (Awaited::Upgrade, Notice::NotUpgraded) => {
                let refusal = Refusal::failed("not upgraded: this server keeps serving");
                let how = self.ended.map(|status| format!("the new server {status}{}", meaning(status)));
                let refusal = how.map_or(refusal.clone(), |how| refusal.because(how));
                Some(Err(refusal.hint("the log has what the new server reported")))
            }
            (Awaited::Replaced { workers, .. }, Notice::BootFailed { slot, generation, failure }) => {
                let ours =
                    *generation == arbiter.generation() && workers.iter().any(|(_, ours)| ours == slot);
                ours.then(|| {
                    let message = format!(
                        "{} {} was not replaced: its successor did not boot",
                        noun(slot.group),
                        slot.index
                    );
                    let hint = "workers that were not replaced keep serving";
                    let refusal = Refusal::of(message, failure.clone());
                    Err(Refusal { hint: refusal.hint.or(Some(hint.into())), ..refusal })
                })
            }
            (Awaited::Restarted { name, slots, before }, Notice::CompanionFailed { worker, slot, how })
                if slots.contains(slot) && !before.contains(worker) =>
            {
                let refusal = Refusal::failed(format!("companion `{name}` was restarted, and failed"));
                let hint = "`hostler ctl status` says how it stands, and the log what it printed";
                Some(Err(refusal.because(how.as_str()).hint(hint)))
            }
            (Awaited::Scaled(wanted), Notice::BootFailed { slot, generation, failure }) => {
                let ours = *generation == arbiter.generation() && slot.index <= *wanted;
                ours.then(|| {
                    let serving = arbiter.serving(GroupId::HTTP);
                    let message =
                        format!("{serving} of {wanted} workers serve: worker {} did not boot", slot.index);
                    let refusal = Refusal::of(message, failure.clone());
                    let hint = "it is tried again and again; `hostler ctl scale` takes it back";
                    Err(Refusal { hint: refusal.hint.or(Some(hint.into())), ..refusal })
                })
            }
            _ => None,
        }
    }

    fn refusal(&mut self, message: &str) -> Refusal {
        match self.failure.take() {
            Some(failure) => Refusal::of(message, failure),
            None => Refusal::failed(message).hint("the log says why"),
        }
    }

    /// Whether the server ends, or has left its service to another, before the outcome.
    fn overtaken(&self, arbiter: &Arbiter) -> Option<Outcome> {
        match self.awaited {
            Awaited::Stop | Awaited::Stacks { .. } => None,
            Awaited::Upgrade if arbiter.is_replaced() || arbiter.is_upgrading() => None,
            _ if arbiter.is_replaced() => {
                Some(Err(Refusal::failed("another server has taken over (an upgrade)").hint("ask that one")))
            }
            _ => arbiter.is_stopping().then(|| Err(Refusal::failed("the server is stopping"))),
        }
    }

    fn reached(&self, arbiter: &Arbiter) -> Option<Outcome> {
        match &self.awaited {
            Awaited::NextReload
            | Awaited::Reading
            | Awaited::Changes(_)
            | Awaited::Reload(_)
            | Awaited::Upgrade
            | Awaited::Stop => None,
            Awaited::Stacks { open, found, until, .. } => {
                let over = Instant::now() >= *until || !open.iter().any(|id| arbiter.exists(*id));
                over.then(|| {
                    let workers: Vec<&Value> = found.values().collect();
                    let count = u16::try_from(workers.len()).unwrap_or(u16::MAX);
                    Ok((
                        format!("where the threads of {} are", workers_in_words(count)),
                        json!({ "workers": workers }),
                    ))
                })
            }
            Awaited::Replaced { workers, ended } => {
                let group = workers.first().map_or(GroupId::HTTP, |(_, slot)| slot.group);
                let is_over = |id| if *ended { !arbiter.exists(id) } else { !arbiter.serves(id) };
                let all = workers.iter().all(|(id, _)| is_over(*id)) && arbiter.is_served(group);
                // The number of workers may have been changed meanwhile.
                let (kept, gone): (Vec<_>, Vec<_>) =
                    workers.iter().map(|(_, slot)| *slot).partition(|slot| arbiter.has_slot_of(*slot));
                let numbers = |slots: Vec<SlotId>| slots.iter().map(|slot| slot.index).collect::<Vec<_>>();
                let (kept, gone) = (numbers(kept), numbers(gone));
                all.then(|| {
                    let (seconds, serving) = (self.seconds(), arbiter.serving(group));
                    let result =
                        json!({"replaced": kept, "removed": gone, "serving": serving, "seconds": seconds});
                    Ok((replaced_in_words(noun(group), &kept, &gone, *ended), result))
                })
            }
            Awaited::Restarted { name, slots, before } => {
                let is_there = |slot: &SlotId| {
                    let mut others = arbiter.processes_in(*slot);
                    others.any(|id| arbiter.serves(id)) || arbiter.vacancy(*slot) == Vacancy::Finished
                };
                let left: Vec<SlotId> =
                    slots.iter().filter(|slot| arbiter.has_slot_of(**slot)).copied().collect();
                let done = !before.iter().any(|id| arbiter.exists(*id)) && left.iter().all(is_there);
                done.then(|| {
                    let replicas: Vec<u16> = left.iter().map(|slot| slot.index).collect();
                    let finished = left.iter().any(|slot| arbiter.vacancy(*slot) == Vacancy::Finished);
                    let how = if finished { "has finished" } else { "is ready" };
                    let message = match (replicas.len(), slots.len()) {
                        (0, _) => format!("companion `{name}` was removed by a reload"),
                        (_, 1) => format!("companion `{name}` was restarted, and {how}"),
                        (more, _) => {
                            format!("{more} replicas of companion `{name}` were restarted, and each {how}")
                        }
                    };
                    Ok((message, json!({"companion": name, "replicas": replicas, "seconds": self.seconds()})))
                })
            }
            Awaited::Scaled(wanted) => {
                let slots = arbiter.slots(GroupId::HTTP);
                if slots != *wanted {
                    let message = format!("the number of workers was changed again, to {slots}");
                    return Some(Err(Refusal::failed(message)));
                }
                let serving = arbiter.serving(GroupId::HTTP);
                let done = serving == usize::from(*wanted) && !arbiter.has_surplus(GroupId::HTTP);
                done.then(|| {
                    let result = json!({"workers": wanted, "seconds": self.seconds()});
                    let until = "until the server is started anew, or reloaded with another --workers";
                    Ok((format!("{} serving, {until}", workers_in_words(*wanted)), result))
                })
            }
        }
    }

    /// The answer when the server has ended.
    pub(super) fn last(&self, status: hostler_wire::ExitStatus) -> Outcome {
        match self.awaited {
            Awaited::Stop => {
                let result = json!({"exit_code": status.code(), "seconds": self.seconds()});
                Ok((format!("stopped after {:.1} s", self.since.elapsed().as_secs_f64()), result))
            }
            _ => Err(Refusal::failed("the server has stopped")),
        }
    }
}

/// Whether an answer to one question answers another, that was asked before it. Numbers begin anew at the last one.
fn is_answered(asked: u32, of: u32) -> bool {
    of.wrapping_sub(asked) < u32::MAX / 2
}

pub(super) fn workers_in_words(workers: u16) -> String {
    match workers {
        0 => "no workers".into(),
        1 => "1 worker".into(),
        more => format!("{more} workers"),
    }
}

/// What a process of a group is.
pub(super) fn noun(group: GroupId) -> &'static str {
    if group == GroupId::TASKS { "task worker" } else { "worker" }
}

fn replaced_in_words(noun: &str, replaced: &[u16], removed: &[u16], ended: bool) -> String {
    let and_ended = if ended { ", and its process has ended" } else { "" };
    let gone = match removed {
        [] => None,
        [one] => Some(format!("{noun} {one} was removed: there are fewer {noun}s now")),
        more => Some(format!("{} {noun}s were removed: there are fewer now", more.len())),
    };
    let new = match replaced {
        [] if gone.is_some() => None,
        [] => Some(format!("there was no {noun} to replace")),
        [one] => Some(format!("{noun} {one} was replaced{and_ended}")),
        more => Some(format!("{} {noun}s were replaced", more.len())),
    };
    new.into_iter().chain(gone).collect::<Vec<_>>().join(", ")
}

/// What an exit code of a server means.
fn meaning(status: WaitStatus) -> &'static str {
    match status {
        WaitStatus::Exited(2) => ": its command line is wrong",
        WaitStatus::Exited(3) => ": no worker could boot",
        WaitStatus::Exited(4) => ": the application could not be imported",
        WaitStatus::Exited(78) => ": its configuration is wrong",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::replaced_in_words;

    #[test]
    fn workers_that_were_removed_are_not_counted_as_replaced() {
        assert_eq!(replaced_in_words("worker", &[], &[], false), "there was no worker to replace");
        assert_eq!(
            replaced_in_words("worker", &[2], &[], true),
            "worker 2 was replaced, and its process has ended"
        );
        assert_eq!(
            replaced_in_words("worker", &[1, 2], &[3], false),
            "2 workers were replaced, worker 3 was removed: there are fewer workers now"
        );
        assert_eq!(
            replaced_in_words("worker", &[], &[3], true),
            "worker 3 was removed: there are fewer workers now"
        );
    }
}
