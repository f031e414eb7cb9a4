//! Schedules: who has registered them, and when they fire.

use super::*;
use crate::Refused;

const MINUTE: Millis = 60_000;

/// A worker of an application with these schedules, which fire each minute; it takes what there is.
fn worker(site: &mut Site, source: &str, names: &[&str]) -> ClientId {
    let (client, _) = site.worker(&["tick"]);
    register(site, client, source, names);
    site.ready(client, 100);
    client
}

fn leaves(site: &mut Site, worker: ClientId) {
    site.kill_worker((worker, i64::try_from(worker.0).unwrap()));
}

fn register(site: &mut Site, client: ClientId, source: &str, names: &[&str]) {
    let entries = names.iter().map(|name| cron(name, "* * * * *")).collect();
    let out = site.say(client, Ask::Crons { n: 1, source: source.into(), entries });
    let count = names.len() as u64;
    assert!(out.iter().any(|it| it.frame.message == Answer::Changed { n: 1, count }), "{out:?}");
}

/// A site a millisecond after a tick.
fn site() -> Site {
    let mut site = Site::new();
    site.now = site.now / MINUTE * MINUTE + 1;
    site
}

/// How many tasks were enqueued in the time.
fn fired(site: &mut Site, wait: Millis) -> usize {
    let all = |site: &Site| -> u64 {
        site.engine.as_ref().unwrap().store.counts().unwrap().iter().map(|it| it.2).sum()
    };
    let before = all(site);
    site.wait(wait);
    usize::try_from(all(site) - before).unwrap()
}

#[test]
fn a_schedule_fires_once_a_tick_whoever_registers_it() {
    let mut site = Site::new();
    let crons = |entries: Vec<CronEntry>| Ask::Crons { n: 1, source: "app".into(), entries };
    let (first, _) = site.worker(&["tick"]);
    let (second, _) = site.worker(&["tick"]);
    site.now = 1_700_000_000_000 / 60_000 * 60_000 + 1;
    site.say(first, crons(vec![cron("each-minute", "* * * * *")]));
    site.say(second, crons(vec![cron("each-minute", "* * * * *")]));
    let ready = |site: &mut Site| given(&site.ready(first, 10), first).len();
    assert_eq!(ready(&mut site), 0);
    assert_eq!(given(&site.wait(59_999), first).len(), 1);
    assert_eq!(given(&site.wait(1), first).len(), 0);
    site.kill_keeper();
    // Ten minutes without a keeper are one firing.
    site.now += 600_000;
    let (third, _) = site.worker(&["tick"]);
    site.say(third, crons(vec![cron("each-minute", "* * * * *")]));
    assert_eq!(given(&site.ready(third, 10), third).len(), 1);
    site.say(third, crons(vec![]));
    assert_eq!(given(&site.wait(600_000), third).len(), 0);
}

#[test]
fn a_schedule_fires_once_a_tick_however_many_applications_have_it() {
    let mut site = site();
    let app = worker(&mut site, "app:app", &["jobs.tick"]);
    let admin = worker(&mut site, "admin:app", &["jobs.tick"]);
    assert_eq!(fired(&mut site, MINUTE), 1);
    // One of them is gone for good, as when a target is renamed.
    leaves(&mut site, app);
    assert_eq!(fired(&mut site, MINUTE), 1);
    site.kill_keeper();
    assert_eq!(fired(&mut site, MINUTE), 0, "workers may come, or another deployment");
    assert_eq!(fired(&mut site, 10_000), 1, "none does: one is to be brought");
    worker(&mut site, "main:app", &["jobs.tick"]);
    assert_eq!(fired(&mut site, MINUTE), 1);
    let _ = admin;
}

#[test]
fn a_schedule_that_an_application_has_no_more_is_removed_with_its_last_worker_that_has_it() {
    let mut site = site();
    let old = worker(&mut site, "app", &["a", "b"]);
    let new = worker(&mut site, "app", &["a"]);
    assert_eq!(fired(&mut site, MINUTE), 2, "a reload is under way");
    leaves(&mut site, old);
    assert_eq!(fired(&mut site, MINUTE), 1);
    register(&mut site, new, "app", &[]);
    assert_eq!(fired(&mut site, MINUTE), 0);
    site.wait(200);
    let next = site.engine.as_ref().unwrap().next_turn(site.now, false);
    assert!(next.is_none_or(|next| next > site.now + MINUTE), "nothing is waited for");
    site.kill_keeper();
    // One that comes again does not fire for the time without it.
    site.now += 10 * MINUTE;
    worker(&mut site, "app", &["a", "b"]);
    assert_eq!(fired(&mut site, 0), 0);
    assert_eq!(fired(&mut site, MINUTE), 2);
}

#[test]
fn schedules_of_a_server_that_does_not_run_wait_for_it_while_others_do() {
    let mut site = site();
    let app = worker(&mut site, "app", &["a"]);
    worker(&mut site, "admin", &["b"]);
    leaves(&mut site, app);
    assert_eq!(fired(&mut site, MINUTE), 1);
    site.kill_keeper();
    worker(&mut site, "admin", &["b"]);
    assert_eq!(fired(&mut site, 9 * MINUTE), 1, "also after another keeper");
    site.turn(vec![]);
    let next = site.engine.as_ref().unwrap().next_turn(site.now, false).unwrap();
    assert!(next > site.now, "it is not waited for");
    // Its ticks are one when it runs again.
    let all = |site: &Site| {
        site.engine.as_ref().unwrap().store.counts().unwrap().iter().map(|it| it.2).sum::<u64>()
    };
    let before = all(&site);
    worker(&mut site, "app", &["a"]);
    site.turn(vec![]);
    assert_eq!(all(&site) - before, 1);
    assert_eq!(fired(&mut site, MINUTE), 2);
}

#[test]
fn a_schedule_that_is_none_is_named_and_the_others_are_kept() {
    let mut site = site();
    let (client, _) = site.worker(&["tick"]);
    let entries = vec![
        cron("jobs.odd", "61 * * * *"),
        cron("jobs.tick", "* * * * *"),
        cron("jobs.never", "0 0 30 2 *"),
    ];
    let out = site.say(client, Ask::Crons { n: 1, source: "app".into(), entries });
    let Answer::Refused { why: Refused::Malformed, text, .. } = &out[0].frame.message else {
        panic!("{out:?}")
    };
    assert!(
        text.contains("`jobs.odd`") && text.contains("61 * * * *") && text.contains("`jobs.never`"),
        "{text}"
    );
    assert_eq!(fired(&mut site, MINUTE), 1);
}
