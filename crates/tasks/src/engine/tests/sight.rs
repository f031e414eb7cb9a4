//! What is shown of the queue: lists that take many turns, all of one task, and numbers.

use super::*;
use hostler_wire::{TaskStats, Times};

fn filter(states: &[State], queue: Option<&str>, name: Option<&str>) -> Filter {
    Filter { states: states.to_vec(), queue: queue.map(Into::into), name: name.map(Into::into) }
}

fn numbers(tasks: &[Shown]) -> Vec<u128> {
    tasks.iter().map(|task| u128::from_be_bytes(task.id.0)).collect()
}

fn stats(site: &mut Site) -> TaskStats {
    let client = site.client();
    match site.say(client, Ask::Stats { n: 1 }).pop().unwrap().frame.message {
        Answer::Stats { stats, .. } => stats,
        other => panic!("{other:?}"),
    }
}

/// The tasks that are listed, whether there are more, and in how many turns.
fn list(site: &mut Site, filter: Filter, newest: bool, limit: u32) -> (Vec<Shown>, bool, u32) {
    let client = site.client();
    let mut out = site.say(client, Ask::List { n: 3, filter, newest, after: None, limit });
    let mut turns = 1;
    while !out.iter().any(|it| it.to == client) {
        out = site.turn(vec![]);
        turns += 1;
    }
    match out.pop().unwrap().frame.message {
        Answer::Tasks { n: 3, tasks, more } => (tasks, more, turns),
        other => panic!("{other:?}"),
    }
}

fn enqueue_many(site: &mut Site, count: u64, change: impl Fn(&mut NewTask)) {
    let client = site.client();
    let asks = (1..=count).map(|n| {
        let mut task = task(u128::from(n), "add");
        change(&mut task);
        asked(client, Ask::Enqueue { n, task })
    });
    site.turn(asks.collect());
}

#[test]
fn a_list_among_many_tasks_takes_steps_between_which_others_are_served() {
    let mut site = Site::new();
    enqueue_many(&mut site, 9000, |_| ());
    let rare = site.enqueue(NewTask { queue: "rare".into(), ..task(10_000, "rare") });
    let (lister, other) = (site.client(), site.client());
    let any = filter(&[], None, Some("nothing"));
    let out = site.say(lister, Ask::List { n: 1, filter: any, newest: false, after: None, limit: 5 });
    assert_eq!(out, []);
    let out = site.say(other, Ask::Result { n: 2, id: rare, wait: false });
    assert!(out.iter().any(|it| it.to == other), "{out:?}");
    let mut turns = 2;
    while !site.turn(vec![]).iter().any(|it| it.to == lister) {
        turns += 1;
    }
    assert!((4..9).contains(&turns), "{turns}");
    // Lists of clients that have gone are not made to their end.
    let any = filter(&[], None, Some("nothing"));
    site.say(lister, Ask::List { n: 1, filter: any, newest: false, after: None, limit: 5 });
    site.gone(lister);
    assert!(site.engine.as_ref().unwrap().live.jobs.is_empty());
    // What is counted is not looked for where there is none.
    let (tasks, more, turns) = list(&mut site, filter(&[State::Failed], None, None), false, 5);
    assert_eq!((tasks.len(), more, turns), (0, false, 1));
    let (tasks, more, turns) = list(&mut site, filter(&[], Some("rare"), None), true, 5);
    assert_eq!((numbers(&tasks), more, turns), (vec![10_000], false, 1));
}

#[test]
fn lists_have_an_order_a_limit_and_places_to_go_on() {
    let mut site = Site::new();
    enqueue_many(&mut site, 10, |task| {
        if task.id.0[15] % 2 == 0 {
            task.queue = "even".into();
        }
    });
    let (tasks, more, _) = list(&mut site, Filter::default(), false, 3);
    assert_eq!((numbers(&tasks), more), (vec![1, 2, 3], true));
    let (tasks, more, _) = list(&mut site, filter(&[State::Ready], Some("even"), None), true, 3);
    assert_eq!((numbers(&tasks), more), (vec![10, 8, 6], true));
    let client = site.client();
    let ask = Ask::List {
        n: 1,
        filter: filter(&[], Some("even"), None),
        newest: true,
        after: Some(tasks[2].id),
        limit: 3,
    };
    match site.say(client, ask).pop().unwrap().frame.message {
        Answer::Tasks { tasks, more, .. } => assert_eq!((numbers(&tasks), more), (vec![4, 2], false)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn dead_letters_of_a_name_are_tried_again_and_finished_tasks_of_a_queue_purged() {
    let mut site = Site::new();
    let (worker, _) = site.worker(&["add", "mul"]);
    for (number, name) in [(1, "add"), (2, "mul"), (3, "add")] {
        site.enqueue(task(number, name));
        let given = site.take(worker).unwrap();
        let error =
            serde_json::json!({"type": "E", "message": "m".repeat(5000), "traceback": "t"}).to_string();
        site.say(worker, Ask::Failed { id: given.id, attempt: 1, error, again: false, after: None });
    }
    let (failed, ..) = list(&mut site, filter(&[State::Failed], None, None), false, 10);
    assert_eq!(numbers(&failed), [1, 2, 3]);
    let error: serde_json::Value = serde_json::from_str(failed[0].error.as_ref().unwrap()).unwrap();
    assert!(error["message"].as_str().unwrap().len() == 300 && error.get("traceback").is_none());
    let client = site.client();
    let out = site.say(client, Ask::Retry { n: 1, ids: vec![], filter: filter(&[], None, Some("add")) });
    assert_eq!(out[0].frame.message, Answer::Changed { n: 1, count: 2 });
    let states = [1, 2, 3].map(|number| site.state(task(number, "").id).unwrap());
    assert_eq!(states, [State::Ready, State::Failed, State::Ready]);
    let out = site.say(client, Ask::Purge { n: 2, filter: filter(&[State::Failed], Some("other"), None) });
    assert_eq!(out[0].frame.message, Answer::Changed { n: 2, count: 0 });
    let out = site.say(client, Ask::Purge { n: 3, filter: filter(&[State::Failed], Some("default"), None) });
    assert_eq!(out[0].frame.message, Answer::Changed { n: 3, count: 1 });
    assert_eq!(site.state(task(2, "").id), None);
}

#[test]
fn a_dead_letter_whose_key_another_task_has_stays_one_and_a_job_that_fails_holds_nobody_up() {
    let mut site = Site::new();
    let (worker, _) = site.worker(&["add"]);
    let keyed = |number| NewTask { key: Some("k".into()), ..task(number, "add") };
    for new in [keyed(1), task(2, "add")] {
        site.enqueue(new);
        let given = site.take(worker).unwrap();
        site.say(
            worker,
            Ask::Failed { id: given.id, attempt: 1, error: "{}".into(), again: false, after: None },
        );
    }
    site.say(worker, Ask::Leave);
    site.enqueue(keyed(3));
    let client = site.client();
    let out = site.say(client, Ask::Retry { n: 1, ids: vec![], filter: Filter::default() });
    assert_eq!(out[0].frame.message, Answer::Changed { n: 1, count: 1 });
    assert_eq!(site.state(task(1, "").id), Some(State::Failed));
    // What cannot be done is refused, and done with.
    site.engine
        .as_mut()
        .unwrap()
        .store
        .db
        .execute_batch("CREATE TEMP TRIGGER t BEFORE DELETE ON task BEGIN SELECT RAISE(ABORT, 'no'); END")
        .unwrap();
    let out = site.say(client, Ask::Purge { n: 2, filter: filter(&[State::Failed], None, None) });
    assert!(
        matches!(&out[0].frame.message, Answer::Refused { n: Some(2), why: crate::Refused::Store, .. }),
        "{out:?}"
    );
    let out = site.say(client, Ask::Result { n: 3, id: task(3, "").id, wait: false });
    assert!(matches!(out[0].frame.message, Answer::Result { .. }), "{out:?}");
}

#[test]
fn all_of_a_task_is_shown() {
    let mut site = Site::new();
    let options = TaskOptions { retries: 4, ..TaskOptions::default() };
    let id = site.enqueue(NewTask { options, key: Some("k".into()), ..task(1, "add") });
    let (worker, _) = site.worker(&["add"]);
    site.take(worker).unwrap();
    let client = site.client();
    let frame = site.say(client, Ask::Show { n: 1, id }).pop().unwrap().frame;
    let Answer::Details { task, details, .. } = frame.message else { panic!("{frame:?}") };
    assert_eq!((task.pid, task.state, details.options.retries), (Some(7), State::Running, 4));
    assert_eq!((details.key.as_deref(), &frame.body[..details.arguments]), (Some("k"), &b"[1]"[..]));
}

#[test]
fn numbers_say_how_long_tasks_wait_and_run_and_what_became_of_them() {
    let mut site = Site::new();
    site.enqueue(task(1, "add"));
    site.enqueue(NewTask { priority: 5, queue: "mail".into(), ..task(2, "send") });
    site.wait(2000);
    site.enqueue(NewTask { priority: 9, queue: "mail".into(), ..task(3, "send") });
    let before = stats(&mut site);
    assert_eq!(
        (before.queues["default"].oldest_wait, before.queues["mail"].oldest_wait),
        (Some(2.0), Some(2.0))
    );
    let (worker, _) = site.worker(&["add"]);
    let given = site.take(worker).unwrap();
    site.wait(40);
    site.say(worker, done(&given));
    let after = stats(&mut site);
    let waits = &after.queues["default"].waits;
    assert_eq!((waits.count, waits.sum, after.workers), (1, 2.0, 1));
    let of_add = after.tasks.iter().find(|it| it.name == "add").unwrap();
    assert_eq!((of_add.runs.count, of_add.runs.sum, of_add.events["succeeded"]), (1, 0.04, 1));
    assert!(after.syncs.count >= 3 && after.turns.count > after.syncs.count, "{after:?}");
    // Other processes of the server read this without the rest of what is said on the socket.
    // Times that are not made here may have digits that JSON rounds.
    let after = TaskStats { turns: Times::default(), syncs: Times::default(), ..after };
    let mut bytes = Vec::new();
    crate::encode(&Answer::Stats { n: 1, stats: after.clone() }, b"", &mut bytes).unwrap();
    let heard = TaskStats::answer(&bytes[8..]).unwrap();
    assert_eq!((heard.queues, heard.tasks, heard.workers), (after.queues, after.tasks, after.workers));
    let question = crate::decode::<Ask>(&TaskStats::question()).unwrap().unwrap().0;
    assert_eq!(question.message, Ask::Stats { n: 1 });
}

#[test]
fn a_task_that_was_taken_ahead_runs_from_when_it_was_begun() {
    let mut site = Site::new();
    let (worker, _) = site.worker(&["add"]);
    site.say(worker, Ask::Ready { slots: 1, ahead: 5 });
    let client = site.client();
    let asks = (1..=2).map(|n| asked(client, Ask::Enqueue { n, task: task(u128::from(n), "add") }));
    let both = given(&site.turn(asks.collect()), worker);
    for task in both {
        site.wait(40);
        site.say(worker, done(&task));
    }
    let runs = &stats(&mut site).tasks[0].runs;
    assert_eq!((runs.count, runs.sum), (2, 0.08));
}
