//! Companions as groups of the arbiter: their numbers, and the order in which they start and stop.

use crate::GenerationSpec;
use hostler_arbiter::{Group, GroupSet, OnReload, Policy, Readiness};
use hostler_settings::{CompanionReload, Ready, WORKERS};
use hostler_wire::{CompanionSpec, GroupId};

/// Which group is which companion: the same name is the same group in each generation. The first is group 1.
#[derive(Debug, Default)]
pub(crate) struct Names(Vec<String>);

impl Names {
    /// The group of this name, as long as it has one.
    pub(crate) fn group(&self, name: &str) -> Option<GroupId> {
        let index = self.0.iter().position(|known| known == name)?;
        u16::try_from(index + 1).ok().map(GroupId)
    }

    pub(crate) fn of(&self, group: GroupId) -> Option<&str> {
        let index = usize::from(group.0).checked_sub(1)?;
        self.0.get(index).map(String::as_str)
    }

    /// Has a group for each of these. Numbers of names that are none of them, and that are not `kept`, are given anew.
    pub(crate) fn know(&mut self, companions: &[CompanionSpec], kept: impl Fn(GroupId) -> bool) {
        for name in companions.iter().map(|spec| &spec.companion.name) {
            if self.0.contains(name) {
                continue;
            }
            let is_wanted = |known: &String| companions.iter().any(|spec| spec.companion.name == *known);
            let free = (0..self.0.len()).find(|index| {
                !is_wanted(&self.0[*index]) && !kept(GroupId(u16::try_from(index + 1).unwrap_or(0)))
            });
            match free {
                Some(index) => self.0[index].clone_from(name),
                None => self.0.push(name.clone()),
            }
        }
    }

    fn set<'a>(&self, names: impl Iterator<Item = &'a str>) -> GroupSet {
        GroupSet::of(
            names.filter_map(|name| if name == WORKERS { Some(GroupId::HTTP) } else { self.group(name) }),
        )
    }

    /// Those that workers wait for.
    pub(crate) fn before_workers(&self, spec: &GenerationSpec) -> GroupSet {
        let before = spec.companions.iter().filter(|it| it.companion.before_workers);
        self.set(before.map(|it| it.companion.name.as_str()))
    }

    /// The groups of a generation's companions. `before`: the generation that serves.
    pub(crate) fn groups(&self, spec: &GenerationSpec, before: Option<&GenerationSpec>) -> Vec<Group> {
        let group = |its: &CompanionSpec| {
            let companion = &its.companion;
            let running = before.into_iter().flat_map(|spec| &spec.companions);
            let same_name = running.clone().find(|other| other.companion.name == companion.name);
            let has_changed = same_name.is_some_and(|other| !runs_alike(other, its));
            let restarts = companion.reload == CompanionReload::Restart;
            let id = self.group(&companion.name)?;
            let timeout = companion.ready_timeout.filter(|_| companion.ready != Ready::Started);
            Some(Group {
                readiness: Readiness::Message,
                reload: if has_changed || restarts { OnReload::Recycle } else { OnReload::Keep },
                stop_order: stop_order(&spec.companions, companion),
                after: self.set(companion.after.iter().map(String::as_str)),
                exclusive: true,
                handed_on: companion.ready != Ready::Exit,
                keeps_grace: true,
                ..Group::program(
                    id,
                    Policy {
                        boot_timeout: timeout,
                        ..Policy::unlimited(companion.replicas, companion.stop_timeout)
                    },
                )
            })
        };
        spec.companions.iter().filter_map(group).collect()
    }
}

/// Whether a process that runs as the one says need not be replaced to run as the other says.
pub(super) fn runs_alike(one: &CompanionSpec, other: &CompanionSpec) -> bool {
    let essence = |spec: &CompanionSpec| {
        let mut spec = spec.clone();
        // What only the master and the watching process heed, when the time comes.
        spec.companion.after.clear();
        spec.companion.before_workers = false;
        spec.companion.reload = CompanionReload::Keep;
        spec.companion.replicas = 0;
        spec
    };
    essence(one) == essence(other)
}

/// What starts later stops earlier. What starts before the workers, or whenever it likes, stops after them.
fn stop_order(all: &[CompanionSpec], companion: &hostler_settings::Companion) -> u8 {
    let rank = rank(all, companion, 0);
    match is_after_workers(all, companion, 0) {
        true => (Group::WORKERS_STOP - 1).saturating_sub(rank),
        false => 2 * Group::WORKERS_STOP - rank.min(Group::WORKERS_STOP - 1),
    }
}

fn named<'a>(all: &'a [CompanionSpec], name: &str) -> Option<&'a hostler_settings::Companion> {
    all.iter().map(|spec| &spec.companion).find(|it| it.name == name)
}

/// How many start before it, one after another. There are no circles (`hostler_config`); no line is longer than `all`.
fn rank(all: &[CompanionSpec], companion: &hostler_settings::Companion, depth: usize) -> u8 {
    if depth > all.len() {
        return 0;
    }
    let before = companion.after.iter().filter_map(|name| named(all, name));
    before.map(|it| rank(all, it, depth + 1).saturating_add(1)).max().unwrap_or(0)
}

fn is_after_workers(all: &[CompanionSpec], companion: &hostler_settings::Companion, depth: usize) -> bool {
    depth <= all.len()
        && companion.after.iter().any(|name| {
            name == WORKERS || named(all, name).is_some_and(|it| is_after_workers(all, it, depth + 1))
        })
}

/// Whether workers wait for it, or for one that waits for it.
pub(super) fn is_needed(all: &[CompanionSpec], name: &str) -> bool {
    fn needed(all: &[CompanionSpec], name: &str, depth: usize) -> bool {
        let before_workers = named(all, name).is_some_and(|it| it.before_workers);
        let mut later = all.iter().filter(|it| it.companion.after.iter().any(|other| other == name));
        depth <= all.len() && (before_workers || later.any(|it| needed(all, &it.companion.name, depth + 1)))
    }
    needed(all, name, 0)
}

#[cfg(test)]
mod tests {
    use super::{Names, is_needed, stop_order};
    use hostler_arbiter::{Group, GroupSet};
    use hostler_settings::Companion;
    use hostler_wire::{CompanionSpec, GroupId, Identity};

    fn spec(name: &str, after: &[&str]) -> CompanionSpec {
        let after = after.iter().map(|name| (*name).to_owned()).collect();
        let companion = Companion { after, ..Companion::new(name, vec!["true".into()]) };
        CompanionSpec { companion, identity: Identity::default(), directory: None, env: Vec::new() }
    }

    #[test]
    fn names_keep_their_groups_and_numbers_are_given_anew() {
        let mut names = Names::default();
        names.know(&[spec("a", &[]), spec("b", &[])], |_| true);
        assert_eq!((names.group("a"), names.group("b")), (Some(GroupId(1)), Some(GroupId(2))));
        names.know(&[spec("c", &[]), spec("b", &[])], |_| false);
        assert_eq!((names.group("c"), names.group("b")), (Some(GroupId(1)), Some(GroupId(2))));
        names.know(&[spec("d", &[])], |group| group == GroupId(1));
        assert_eq!((names.group("d"), names.of(GroupId(1))), (Some(GroupId(2)), Some("c")));
    }

    #[test]
    fn order_holds_while_all_of_some_generations_are_there() {
        let all = |generation: u16| {
            (0..60).map(move |number| spec(&format!("{generation}-{number}"), &[])).collect::<Vec<_>>()
        };
        let mut names = Names::default();
        for generation in 0..4 {
            let all = all(generation);
            names.know(&all, |_| true);
            let groups: Vec<_> = all.iter().filter_map(|its| names.group(&its.companion.name)).collect();
            let last = GroupSet::of(groups.last().copied());
            let kept = groups.iter().filter(|group| last.has(**group)).count();
            assert_eq!((groups.len(), kept), (60, 1), "generation {generation}");
            assert!(groups.iter().all(|group| group.0 < GroupSet::ROOM));
        }
    }

    #[test]
    fn what_starts_later_stops_earlier() {
        let mut all = [
            spec("cache", &[]),
            spec("beat", &["cache"]),
            spec("front", &["workers"]),
            spec("probe", &["front"]),
        ];
        let order = |name: &str| stop_order(&all, &super::named(&all, name).unwrap().clone());
        assert!(order("probe") < order("front") && order("front") < Group::WORKERS_STOP);
        assert!(Group::WORKERS_STOP < order("beat") && order("beat") < order("cache"));
        assert!(!is_needed(&all, "cache"));
        all[1].companion.before_workers = true;
        assert!(is_needed(&all, "cache") && !is_needed(&all, "front"));
    }
}
