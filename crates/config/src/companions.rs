//! Companions: whether their names, their order, their programs and their users are there, and what follows for each on this system.

use crate::layers::Layers;
use hostler_settings::{Bind, Companion, CompanionListen, Companions, Process, Ready, Restart, WORKERS};
use hostler_sys::identity::{find_group, find_user, is_root, would_change};
use hostler_wire::{CompanionSpec, Failure, Identity};
use std::{
    collections::BTreeSet,
    env,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// The most companions: the order among them, and those of the generations before, is kept in sets that have room for four times as many.
const MOST: usize = 60;

/// What is to run beside the workers, which run as `workers`.
pub(crate) fn settle(layers: &Layers, workers: &Identity) -> Result<Vec<CompanionSpec>, Failure> {
    let all = &layers.settings.companions.companions;
    let wrong =
        |cause: String, hint: &str| Err(layers.unusable(Companions::companions()).because(cause).hint(hint));
    if all.len() > MOST {
        return wrong(
            format!("there are {} companions", all.len()),
            "there can be 60; one may have several replicas",
        );
    }
    let mut names = BTreeSet::new();
    for companion in all {
        let name = &companion.name;
        if !names.insert(name.as_str()) {
            return wrong(
                format!("there are two companions called `{name}`"),
                "give each a name of its own, or one of them replicas",
            );
        }
        if let Some((cause, hint)) = contradiction(companion) {
            return wrong(format!("companion `{name}`: {cause}"), hint);
        }
    }
    for companion in all {
        let unknown = companion.after.iter().find(|name| *name != WORKERS && !names.contains(name.as_str()));
        if let Some(unknown) = unknown {
            let cause = format!(
                "companion `{}` is to start after `{unknown}`, which there is none of",
                companion.name
            );
            return wrong(cause, "`after` names companions, or `workers`");
        }
    }
    if let Some(circle) = circle(all) {
        let cause = format!("these wait for one another: {}", circle.join(" after "));
        return wrong(cause, "leave one of them out of an `after`, or out of `before-workers`");
    }
    all.iter().map(|companion| of(layers, companion, workers)).collect()
}

fn contradiction(companion: &Companion) -> Option<(&'static str, &'static str)> {
    if companion.ready == Ready::Exit && companion.restart == Restart::Always {
        return Some((
            "it would be started again and again: it is ready when it has exited",
            "set restart to never, or to on-failure",
        ));
    }
    let is_listened_on = |listen: &CompanionListen| match (listen, &companion.ready) {
        (CompanionListen::Own { bind: Bind::Tcp { port, .. }, .. }, Ready::Tcp(address)) => {
            address.rsplit(':').next().and_then(|digits| digits.parse().ok()) == *port
        }
        (CompanionListen::Own { bind: Bind::Unix(path), .. }, Ready::Unix(asked)) => path == asked,
        _ => false,
    };
    if companion.listen.iter().any(is_listened_on) {
        return Some((
            "its `ready` asks an address that hostler listens on for it, which accepts connections before it runs",
            "take notify, exec:, or http:// with one replica",
        ));
    }
    None
}

/// Names that wait for one another, the first one also last.
fn circle(all: &[Companion]) -> Option<Vec<&str>> {
    let after = |name: &str| -> Vec<&str> {
        if name == WORKERS {
            return all.iter().filter(|it| it.before_workers).map(|it| it.name.as_str()).collect();
        }
        let own = all.iter().find(|it| it.name == name);
        own.map(|it| it.after.iter().map(String::as_str).collect()).unwrap_or_default()
    };
    let mut done: BTreeSet<&str> = BTreeSet::new();
    for start in all.iter().map(|it| it.name.as_str()) {
        // Depth first; the path is where it is now.
        let mut path: Vec<(&str, Vec<&str>)> = vec![(start, after(start))];
        while let Some((name, rest)) = path.last_mut() {
            let name = *name;
            match rest.pop() {
                Some(next) if path.iter().any(|(on, _)| *on == next) => {
                    let from = path.iter().position(|(on, _)| *on == next)?;
                    let mut circle: Vec<&str> = path[from..].iter().map(|(on, _)| *on).collect();
                    circle.push(next);
                    return Some(circle);
                }
                Some(next) if !done.contains(next) => path.push((next, after(next))),
                Some(_) => {}
                None => {
                    done.insert(name);
                    path.pop();
                }
            }
        }
    }
    None
}

/// One of them, with what there is of it on this system.
fn of(layers: &Layers, companion: &Companion, workers: &Identity) -> Result<CompanionSpec, Failure> {
    let name = &companion.name;
    let wrong = |cause: String, hint: &str| {
        layers.unusable(Companions::companions()).because(format!("companion `{name}`: {cause}")).hint(hint)
    };
    let mut identity = workers.clone();
    if let Some(user) = &companion.user {
        let account = find_user(user).map_err(|_| {
            wrong(format!("there is no user `{user}`"), "name a user of /etc/passwd, or a number")
        })?;
        identity.user = Some((account.user, account.name));
        identity.home = account.home;
        identity.group = Some(account.group);
    }
    if let Some(group) = &companion.group {
        let found = find_group(group).map_err(|_| {
            wrong(format!("there is no group `{group}`"), "name a group of /etc/group, or a number")
        })?;
        identity.group = Some(found);
    }
    let is_own = companion.user.is_some() || companion.group.is_some();
    if is_own && !is_root() && would_change(&identity) {
        let option = Process::user().name;
        let hint = format!("start the server as root, or leave `{option}` and `group` out");
        return Err(wrong("only root can run programs as another user".into(), &hint));
    }
    if companion.nice < 0 && !is_root() {
        return Err(wrong("only root can raise a priority".into(), "set nice to 0 or more"));
    }
    identity.umask = companion.umask.or(identity.umask);
    let working = layers.settings.app.working_dir.clone();
    let directory = match (&companion.directory, working) {
        (Some(own), Some(base)) => Some(base.join(own)),
        (own, base) => own.clone().or(base),
    };
    let directory = directory.map(|path| std::path::absolute(&path).unwrap_or(path));
    if let Some(path) = directory.as_ref().filter(|path| !path.is_dir()) {
        let cause = format!("there is no directory `{}`", path.display());
        return Err(wrong(cause, "`directory` is the working directory of the program"));
    }
    let program = companion.command.first().map_or("", String::as_str);
    find_program(program, companion, directory.as_deref()).map_err(|cause| {
        wrong(cause, "name a program of PATH, or the path of one; a line for a shell is `sh -c '…'`")
    })?;
    let env = companion.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    Ok(CompanionSpec { companion: companion.clone(), identity, directory, env })
}

/// Whether the program is there, as far as this process can see.
fn find_program(program: &str, companion: &Companion, directory: Option<&Path>) -> Result<(), String> {
    let is_program = |path: &Path| {
        path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        let path = directory.map_or_else(|| PathBuf::from(program), |directory| directory.join(program));
        return match (path.exists(), is_program(&path)) {
            (_, true) => Ok(()),
            (true, false) => Err(format!("`{program}` cannot be executed")),
            (false, false) => Err(format!("there is no program `{program}`")),
        };
    }
    let own = companion.env.get("PATH").map(Into::into);
    let search = own.or_else(|| env::var_os("PATH")).unwrap_or_default();
    let found = env::split_paths(&search).any(|directory| is_program(&directory.join(program)));
    if found { Ok(()) } else { Err(format!("there is no program `{program}` in PATH")) }
}

#[cfg(test)]
mod tests {
    use super::circle;
    use hostler_settings::Companion;

    fn companion(name: &str, after: &[&str], before_workers: bool) -> Companion {
        let after = after.iter().map(|name| (*name).to_owned()).collect();
        Companion { after, before_workers, ..Companion::new(name, vec!["true".into()]) }
    }

    #[test]
    fn circles_are_found_through_the_workers_too() {
        let line = [
            companion("a", &[], true),
            companion("b", &["a"], false),
            companion("c", &["a", "b", "workers"], false),
        ];
        assert_eq!(circle(&line), None);
        let itself = [companion("a", &["a"], false)];
        assert_eq!(circle(&itself), Some(vec!["a", "a"]));
        let two =
            [companion("x", &[], false), companion("a", &["b"], false), companion("b", &["x", "a"], false)];
        assert_eq!(circle(&two), Some(vec!["a", "b", "a"]));
        let workers = [companion("a", &["workers"], true)];
        assert_eq!(circle(&workers), Some(vec!["a", "workers", "a"]));
    }
}
