//! A task's life, step by step.

use super::*;
use crate::{Backoff, Rate, message::Refused};

#[test]
fn a_task_runs_and_its_result_can_be_asked_for() {
    let mut site = Site::new();
    let worker = site.worker(&["add"]);
    let id = site.enqueue(task(1, "add"));
    let given = site.take(worker.0).unwrap();
    assert_eq!((given.id, given.attempt, given.arguments.as_slice()), (id, 1, &b"[1]"[..]));
    assert_eq!(site.state(id), Some(State::Running));
    let waits = site.client();
    assert_eq!(site.say(waits, Ask::Result { n: 9, id, wait: true }), []);
    let report = Frame { message: done(&given), body: b"42".to_vec() };
    let out = site.turn(vec![Incoming::Asked(worker.0, report)]);
    let [noted, Outgoing { to, frame: Frame { message: Answer::Result { n: 9, task }, body } }] = &out[..]
    else {
        panic!("{out:?}")
    };
    assert_eq!(noted.frame.message, Answer::Noted { id, attempt: 1 });
    assert_eq!((*to, task.state, body.as_slice()), (waits, State::Succeeded, &b"42"[..]));
    site.kill_keeper();
    assert_eq!(site.result(id).unwrap().1, b"42");
}

#[test]
fn an_idle_worker_has_a_task_in_the_turn_that_accepts_it() {
    let mut site = Site::new();
    let (worker, _) = site.worker(&["add"]);
    assert_eq!(site.take(worker), None);
    let client = site.client();
    let out = site.say(client, Ask::Enqueue { n: 1, task: task(1, "add") });
    assert_eq!(given(&out, worker).len(), 1);
}

#[test]
fn the_same_id_twice_is_one_task() {
    let mut site = Site::new();
    let (first, second) = (site.enqueue(task(1, "add")), site.enqueue(task(1, "add")));
    assert_eq!(first, second);
    let (worker, _) = site.worker(&["add"]);
    assert!(site.take(worker).is_some());
    assert!(site.take(worker).is_none());
}

#[test]
fn a_key_is_one_task_as_long_as_it_waits_or_runs() {
    let mut site = Site::new();
    let keyed = |number| NewTask { key: Some("k".into()), ..task(number, "add") };
    let first = site.enqueue(keyed(1));
    assert_eq!(site.enqueue(keyed(2)), first);
    assert_ne!(site.enqueue(NewTask { name: "other".into(), ..keyed(3) }), first);
    let (worker, _) = site.worker(&["add"]);
    let given = site.take(worker).unwrap();
    assert_eq!(site.enqueue(keyed(4)), first);
    site.say(worker, done(&given));
    assert_ne!(site.enqueue(keyed(5)), first);
}

#[test]
fn higher_priorities_start_first_and_then_the_oldest() {
    let mut site = Site::new();
    for (number, priority, queue) in [(1, 0, "a"), (2, 5, "b"), (3, 0, "b"), (4, 5, "a"), (5, -1, "a")] {
        site.enqueue(NewTask { priority, queue: queue.into(), ..task(number, "add") });
    }
    let (worker, _) = site.worker(&["add"]);
    let order: Vec<u128> =
        std::iter::from_fn(|| site.take(worker)).map(|given| u128::from_be_bytes(given.id.0)).collect();
    assert_eq!(order, [2, 4, 1, 3, 5]);
}

#[test]
fn many_tasks_of_one_queue_keep_their_order() {
    let mut site = Site::new();
    let client = site.client();
    let asks = (0..100).map(|n| {
        let priority = if n % 3 == 0 { 1 } else { 0 };
        asked(client, Ask::Enqueue { n, task: NewTask { priority, ..task(u128::from(n) + 1, "add") } })
    });
    site.turn(asks.collect());
    let (worker, _) = site.worker(&["add"]);
    let out = site.ready(worker, 100);
    let order: Vec<u128> =
        given(&out, worker).iter().map(|given| u128::from_be_bytes(given.id.0) - 1).collect();
    let expected: Vec<u128> =
        (0..100).filter(|n| n % 3 == 0).chain((0..100).filter(|n| n % 3 != 0)).collect();
    assert_eq!(order, expected);
}

#[test]
fn a_failed_task_is_tried_again_after_its_pause_and_is_a_dead_letter_at_last() {
    let mut site = Site::new();
    let backoff = Backoff { base: 1000, factor: 2.0, most: 60_000, jitter: 0.0 };
    let options = TaskOptions { retries: 2, backoff, ..TaskOptions::default() };
    let id = site.enqueue(NewTask { options, ..task(1, "add") });
    let (worker, _) = site.worker(&["add"]);
    let first = site.take(worker).unwrap();
    for (attempt, pause) in [(1, 1000), (2, 2000)] {
        site.say(worker, failed(&Given { attempt, ..first.clone() }));
        assert_eq!(site.state(id), Some(State::Scheduled));
        if attempt == 1 {
            site.ready(worker, 2);
        }
        assert_eq!(given(&site.wait(pause - 1), worker), []);
        assert_eq!(given(&site.wait(1), worker)[0].attempt, attempt + 1);
    }
    site.say(worker, failed(&Given { attempt: 3, ..first }));
    assert_eq!(site.state(id), Some(State::Failed));
    let client = site.client();
    let out = site.say(client, Ask::Retry { n: 1, ids: vec![], filter: Filter::default() });
    assert!(out.iter().any(|it| it.frame.message == Answer::Changed { n: 1, count: 1 }));
    assert_eq!(given(&out, worker)[0].arguments, b"[1]");
}

#[test]
fn a_task_that_is_not_to_be_tried_again_is_a_dead_letter_at_once() {
    let mut site = Site::new();
    let options = TaskOptions { retries: 9, ..TaskOptions::default() };
    let id = site.enqueue(NewTask { options, ..task(1, "add") });
    let (worker, _) = site.worker(&["add"]);
    let given = site.take(worker).unwrap();
    let error = "{\"type\":\"ValueError\"}".to_owned();
    site.say(
        worker,
        Ask::Failed { id, attempt: given.attempt, error: error.clone(), again: false, after: None },
    );
    let shown = site.shown(id).unwrap();
    assert_eq!((shown.state, shown.error), (State::Failed, Some(error)));
}

#[test]
fn a_countdown_waits_and_what_is_too_late_expires() {
    let mut site = Site::new();
    let later = site.enqueue(NewTask { due: Some(site.now + 5000), ..task(1, "add") });
    let late = site.enqueue(NewTask { expires: Some(site.now + 1000), ..task(2, "add") });
    let (worker, _) = site.worker(&["add"]);
    site.now += 1000;
    assert_eq!(site.take(worker), None);
    assert_eq!(site.state(late), Some(State::Expired));
    site.wait(200);
    let next = site.engine.as_ref().unwrap().next_turn(site.now, false);
    site.now -= 200;
    assert_eq!(next, Some(site.now + 4000));
    assert_eq!(given(&site.wait(4000), worker)[0].id, later);
}

#[test]
fn a_worker_that_dies_gives_its_task_to_another_and_five_deaths_are_enough() {
    let mut site = Site::new();
    let id = site.enqueue(task(1, "add"));
    for losses in 0..5 {
        site.wait(24 * 60 * 60 * 1000 / 2);
        assert_eq!(site.shown(id).unwrap().losses, losses);
        let worker = site.worker(&["add"]);
        assert_eq!(site.take(worker.0).unwrap().id, id, "after {losses}");
        site.kill_worker(worker);
    }
    assert_eq!(site.state(id), Some(State::Failed));
}

#[test]
fn a_task_that_had_outlived_its_timeout_when_its_worker_died_has_timed_out() {
    let mut site = Site::new();
    let options = TaskOptions { timeout: 1000, retries: 1, ..TaskOptions::default() };
    let own = site.enqueue(NewTask { options, ..task(1, "add") });
    for attempt in 1..=2 {
        site.wait(3_600_000);
        let worker = site.worker(&["add"]);
        assert_eq!(site.take(worker.0).map(|given| given.attempt), Some(attempt));
        site.wait(1001);
        site.kill_worker(worker);
        assert_eq!(site.shown(own).unwrap().losses, 0);
    }
    assert!(site.shown(own).unwrap().error.unwrap().contains("hostler.tasks.TaskTimeout"));
    assert_eq!(site.state(own), Some(State::Failed));
    // That of the workers, where the task has none; and one that dies in time is lost.
    let ids = [2, 3].map(|number| site.enqueue(task(number, "add")));
    for (id, takes, expected) in [(ids[0], 5001, State::Failed), (ids[1], 4999, State::Ready)] {
        let (client, owner) = site.worker(&["add"]);
        let Ask::Work { owner, queues, names, running, pid, .. } = work(owner, &["add"], &[]) else {
            unreachable!()
        };
        site.say(client, Ask::Work { owner, queues, names, running, pid, timeout: 5000 });
        assert_eq!(site.take(client).unwrap().id, id);
        site.wait(takes);
        site.kill_worker((client, owner));
        assert_eq!(site.state(id), Some(expected));
    }
}

#[test]
fn a_worker_is_given_tasks_ahead_only_when_no_other_could_begin_them() {
    let mut site = Site::new();
    let workers = [1, 2].map(|_| site.worker(&["add"]).0);
    for worker in workers {
        site.say(worker, Ask::Ready { slots: 1, ahead: 2 });
    }
    let client = site.client();
    let asks = (0..7).map(|n| asked(client, Ask::Enqueue { n, task: task(u128::from(n) + 1, "add") }));
    let out = site.turn(asks.collect());
    let numbers = |out: &[Outgoing], worker| -> Vec<u128> {
        given(out, worker).iter().map(|given| u128::from_be_bytes(given.id.0)).collect()
    };
    assert_eq!(workers.map(|worker| numbers(&out, worker)), [vec![1, 3, 5], vec![2, 4, 6]]);
    // It begins the next by itself, and has room for one more ahead.
    let first = given(&out, workers[0])[0].clone();
    assert_eq!(numbers(&site.say(workers[0], done(&first)), workers[0]), [7]);
}

#[test]
fn what_a_worker_had_not_begun_when_it_died_is_not_counted() {
    let mut site = Site::new();
    let ids: Vec<TaskId> = (1..=3).map(|number| site.enqueue(task(number, "add"))).collect();
    for (round, broken) in [(1, false), (2, true)] {
        let (client, owner) = site.worker(&["add"]);
        assert_eq!(given(&site.say(client, Ask::Ready { slots: 1, ahead: 9 }), client).len(), 3);
        if broken {
            // Its connection ends first.
            site.gone(client);
            site.alive.lock().unwrap().remove(&owner);
            site.wait(1000);
        } else {
            site.kill_worker((client, owner));
        }
        let counted = |site: &mut Site, id| site.shown(id).map(|it| (it.attempts, it.losses)).unwrap();
        assert_eq!(counted(&mut site, ids[0]), (round, round));
        assert_eq!([1, 2].map(|at| counted(&mut site, ids[at])), [(0, 0), (0, 0)]);
        // The pause after a second loss.
        site.wait(3_600_000);
    }
}

#[test]
fn a_worker_that_lives_keeps_its_task_without_a_connection() {
    let mut site = Site::new();
    let id = site.enqueue(task(1, "add"));
    let (first, owner) = site.worker(&["add"]);
    let given = site.take(first).unwrap();
    site.gone(first);
    site.kill_keeper();
    let (other, _) = site.worker(&["add"]);
    assert_eq!(site.take(other), None);
    // It comes back, and reports.
    let again = site.client();
    site.say(again, work(owner, &["add"], &[(id, given.attempt)]));
    site.say(again, done(&given));
    assert_eq!(site.state(id), Some(State::Succeeded));
}

#[test]
fn what_an_unconnected_worker_ran_is_tried_again_when_it_dies() {
    let mut site = Site::new();
    let id = site.enqueue(task(1, "add"));
    let (first, owner) = site.worker(&["add"]);
    site.take(first).unwrap();
    site.kill_keeper();
    let (other, _) = site.worker(&["add"]);
    assert_eq!(site.take(other), None);
    site.alive.lock().unwrap().remove(&owner);
    assert_eq!(given(&site.wait(1000), other)[0].id, id);
}

#[test]
fn a_task_that_never_arrived_is_not_counted() {
    let mut site = Site::new();
    let id = site.enqueue(task(1, "add"));
    let (first, owner) = site.worker(&["add"]);
    site.take(first).unwrap();
    site.gone(first);
    let again = site.client();
    site.say(again, work(owner, &["add"], &[]));
    assert_eq!(
        site.take(again).unwrap(),
        Given { id, attempt: 1, name: "add".into(), arguments: b"[1]".to_vec() }
    );
}

#[test]
fn a_report_of_an_attempt_that_was_given_up_does_not_count() {
    let mut site = Site::new();
    let id = site.enqueue(task(1, "add"));
    let first = site.worker(&["add"]);
    let given = site.take(first.0).unwrap();
    site.kill_worker(first);
    let (second, _) = site.worker(&["add"]);
    let again = site.take(second).unwrap();
    assert_eq!(again.attempt, 2);
    let stranger = site.client();
    site.say(stranger, done(&given));
    site.say(second, done(&given));
    assert_eq!(site.state(id), Some(State::Running));
    // And its worker is told when it comes back with it.
    let back = site.client();
    let out = site.say(back, work(first.1, &["add"], &[(id, 1)]));
    assert_eq!(out[0].frame.message, Answer::Lost { id });
}

#[test]
fn what_is_given_back_waits_at_its_old_place_uncounted() {
    let mut site = Site::new();
    let (id, _) = (site.enqueue(task(1, "add")), site.enqueue(task(2, "add")));
    let (worker, _) = site.worker(&["add"]);
    let given = site.take(worker).unwrap();
    site.say(worker, Ask::Leave);
    site.say(worker, Ask::GiveBack { id, attempt: given.attempt });
    let (other, _) = site.worker(&["add"]);
    assert_eq!(site.take(other), Some(given));
}

#[test]
fn tasks_that_no_worker_knows_wait_for_one_and_block_nobody() {
    let mut site = Site::new();
    for number in 1..=300 {
        site.enqueue(task(number, "new"));
    }
    let known = site.enqueue(task(1000, "old"));
    let (old, _) = site.worker(&["old"]);
    assert_eq!(site.take(old).unwrap().id, known);
    assert_eq!(site.state(TaskId(1_u128.to_be_bytes())), Some(State::Unknown));
    site.kill_keeper();
    let (new, _) = site.worker(&["old", "new"]);
    let out = site.ready(new, 1000);
    assert_eq!(given(&out, new).len(), 300);
}

#[test]
fn a_worker_gets_what_it_knows_past_what_others_know() {
    let mut site = Site::new();
    site.worker(&["a"]);
    let (b, _) = site.worker(&["b"]);
    for number in 1..=40 {
        site.enqueue(task(number, "a"));
    }
    let id = site.enqueue(task(99, "b"));
    assert_eq!(site.take(b).unwrap().id, id);
}

#[test]
fn a_rate_spreads_starts() {
    let mut site = Site::new();
    let options = TaskOptions { rate: Some(Rate { count: 2, period: 1000 }), ..TaskOptions::default() };
    for number in 1..=4 {
        site.enqueue(NewTask { options: options.clone(), ..task(number, "add") });
    }
    let (worker, _) = site.worker(&["add"]);
    let mut starts = vec![given(&site.ready(worker, 10), worker).len()];
    for _ in 0..4 {
        starts.push(given(&site.wait(500), worker).len());
    }
    assert_eq!(starts, [1, 1, 1, 1, 0]);
}

#[test]
fn waiting_tasks_are_cancelled_at_once_and_running_ones_by_their_worker() {
    let mut site = Site::new();
    let (first, second) = (site.enqueue(task(1, "add")), site.enqueue(task(2, "add")));
    let (worker, _) = site.worker(&["add"]);
    let given = site.take(worker).unwrap();
    let client = site.client();
    let out = site.say(client, Ask::Cancel { n: 1, id: second });
    assert_eq!(out[0].frame.message, Answer::Cancelled { n: 1, state: State::Cancelled });
    let out = site.say(client, Ask::Cancel { n: 2, id: first });
    assert_eq!((out[0].to, &out[0].frame.message), (worker, &Answer::Cancel { id: first }));
    assert_eq!(out[1].frame.message, Answer::Cancelled { n: 2, state: State::Running });
    site.say(worker, Ask::Cancelled { id: first, attempt: given.attempt });
    assert_eq!(site.state(first), Some(State::Cancelled));
    let nobody = site.say(client, Ask::Cancel { n: 3, id: TaskId([9; 16]) }).pop().unwrap().frame.message;
    assert!(matches!(nobody, Answer::Refused { why: Refused::NoSuchTask, .. }));
}

#[test]
fn results_are_removed_when_they_are_too_old() {
    let mut site = Site::new();
    let (worker, _) = site.worker(&["add"]);
    let keep = |keep| TaskOptions { keep, ..TaskOptions::default() };
    let kept = site.enqueue(NewTask { options: keep(1000), ..task(1, "add") });
    let not_kept = site.enqueue(NewTask { options: keep(0), ..task(2, "add") });
    for _ in 0..2 {
        let given = site.take(worker).unwrap();
        site.say(worker, done(&given));
    }
    assert_eq!((site.state(kept), site.state(not_kept)), (Some(State::Succeeded), None));
    site.wait(1000);
    assert_eq!(site.state(kept), None);
}

#[test]
fn many_tasks_are_purged_in_many_turns() {
    let mut site = Site::new();
    let client = site.client();
    let asks = (0..1200).map(|n| asked(client, Ask::Enqueue { n, task: task(u128::from(n) + 1, "add") }));
    site.turn(asks.collect());
    let mut out = site
        .say(client, Ask::Purge { n: 5, filter: Filter { states: vec![State::Ready], ..Filter::default() } });
    let mut turns = 1;
    while out.is_empty() {
        out = site.turn(vec![]);
        turns += 1;
    }
    assert_eq!((turns, &out[0].frame.message), (3, &Answer::Changed { n: 5, count: 1200 }));
}

#[test]
fn progress_is_shown() {
    let mut site = Site::new();
    let id = site.enqueue(task(1, "add"));
    let (worker, _) = site.worker(&["add"]);
    site.take(worker).unwrap();
    site.say(worker, Ask::Progress { id, fraction: 0.4, text: "four of ten".into() });
    assert_eq!(site.shown(id).unwrap().progress, Some((0.4, "four of ten".into())));
}

#[test]
fn numbers_of_queues_are_those_of_the_file() {
    let mut site = Site::new();
    let (worker, _) = site.worker(&["add"]);
    for number in 1..=5 {
        site.enqueue(task(number, "add"));
    }
    let given = site.take(worker).unwrap();
    site.say(worker, done(&given));
    site.take(worker).unwrap();
    let stats = |site: &mut Site| {
        let client = site.client();
        match site.say(client, Ask::Stats { n: 1 }).pop().unwrap().frame.message {
            Answer::Stats { stats, .. } => {
                let total = &stats.tasks[0];
                assert_eq!((total.queue.as_str(), total.name.as_str()), ("default", "add"));
                (stats.queues["default"].tasks.clone(), total.events.clone())
            }
            other => panic!("{other:?}"),
        }
    };
    let before = stats(&mut site);
    let tasks =
        [("ready", 3), ("running", 1), ("succeeded", 1)].map(|(name, count)| (name.to_owned(), count));
    assert_eq!(before.0, tasks.into());
    assert_eq!((before.1["enqueued"], before.1["started"], before.1["succeeded"]), (5, 2, 1));
    site.kill_keeper();
    assert_eq!(stats(&mut site), before);
}

#[test]
fn a_clock_that_is_set_back_holds_nothing_up() {
    let mut site = Site::new();
    let id = site.enqueue(task(1, "add"));
    let (worker, _) = site.worker(&["add"]);
    let given = site.take(worker).unwrap();
    site.say(worker, done(&given));
    site.now -= 3_600_000;
    site.turn(vec![]);
    assert!(!site.engine.as_ref().unwrap().store.is_unsynced(), "it is on disk");
    assert_eq!(site.state(id), Some(State::Succeeded));
}

#[test]
fn what_is_not_started_in_time_expires_without_a_worker_and_its_clients_are_told() {
    let mut site = Site::new();
    let later = Some(site.now + 60_000);
    let waiting = [
        NewTask { queue: "nobodys".into(), ..task(1, "add") },
        NewTask { due: later, ..task(2, "add") },
        task(3, "unknown"),
    ];
    let expires = Some(site.now + 1000);
    let ids = waiting.map(|task| site.enqueue(NewTask { expires, ..task }));
    let (worker, _) = site.worker(&["add"]);
    assert_eq!(site.ready(worker, 0), []);
    let client = site.client();
    for (n, id) in (1..).zip(ids) {
        assert_eq!(site.say(client, Ask::Result { n, id, wait: true }), []);
    }
    site.kill_keeper();
    let client = site.client();
    site.say(client, Ask::Result { n: 1, id: ids[0], wait: true });
    site.wait(200);
    assert_eq!(site.engine.as_ref().unwrap().next_turn(site.now, false), expires);
    assert_eq!(site.wait(799), []);
    let out = site.wait(1);
    assert!(matches!(&out[..], [Outgoing { to, .. }] if *to == client), "{out:?}");
    assert_eq!(ids.map(|id| site.state(id)), [Some(State::Expired); 3]);
    assert_ne!(site.engine.as_ref().unwrap().next_turn(site.now, false), Some(site.now));
}

#[test]
fn what_runs_does_not_expire_and_what_a_dead_worker_ran_does() {
    let mut site = Site::new();
    let expires = Some(site.now + 1000);
    let ids = [1, 2].map(|number| site.enqueue(NewTask { expires, ..task(number, "add") }));
    let (first, second) = (site.worker(&["add"]), site.worker(&["add"]));
    let given = site.take(first.0).unwrap();
    site.take(second.0).unwrap();
    site.wait(1500);
    site.say(first.0, done(&given));
    site.kill_worker(second);
    site.turn(vec![]);
    assert_eq!(ids.map(|id| site.state(id)), [Some(State::Succeeded), Some(State::Expired)]);
}

/// A task that runs, and was cancelled.
fn cancelled(site: &mut Site, number: u128) -> ((ClientId, i64), Given) {
    let options = TaskOptions { retries: 3, ..TaskOptions::default() };
    site.enqueue(NewTask { options, ..task(number, "add") });
    let worker = site.worker(&["add"]);
    let given = site.take(worker.0).unwrap();
    let client = site.client();
    let out = site.say(client, Ask::Cancel { n: 1, id: given.id });
    assert!(out.contains(&Outgoing {
        to: worker.0,
        frame: Frame { message: Answer::Cancel { id: given.id }, body: vec![] }
    }));
    (worker, given)
}

#[test]
fn a_task_that_was_cancelled_while_it_ran_never_runs_again() {
    let mut site = Site::new();
    let (worker, killed) = cancelled(&mut site, 1);
    site.kill_worker(worker);
    let (worker, given_back) = cancelled(&mut site, 2);
    site.say(worker.0, Ask::GiveBack { id: given_back.id, attempt: 1 });
    let (worker, other_error) = cancelled(&mut site, 3);
    site.say(worker.0, failed(&other_error));
    // Its worker comes back to another keeper without it: it had not arrived.
    let (worker, unknown) = cancelled(&mut site, 4);
    site.kill_keeper();
    let again = site.client();
    site.say(again, work(worker.1, &["add"], &[]));
    for task in [killed, given_back, other_error, unknown] {
        assert_eq!(site.state(task.id), Some(State::Cancelled), "{task:?}");
    }
    let (worker, finished) = cancelled(&mut site, 5);
    site.say(worker.0, done(&finished));
    assert_eq!(site.state(finished.id), Some(State::Succeeded), "it had come to its end");
}

#[test]
fn a_worker_that_was_not_connected_hears_of_a_cancel_when_it_is() {
    let mut site = Site::new();
    let id = site.enqueue(task(1, "add"));
    let (first, owner) = site.worker(&["add"]);
    site.take(first).unwrap();
    site.gone(first);
    let client = site.client();
    site.say(client, Ask::Cancel { n: 1, id });
    let again = site.client();
    let out = site.say(again, work(owner, &["add"], &[(id, 1)]));
    assert_eq!((out[0].to, &out[0].frame.message), (again, &Answer::Cancel { id }));
}

#[test]
fn a_clock_that_was_ahead_for_a_while_delays_no_task_and_no_schedule() {
    const MONTH: Millis = 30 * 24 * 60 * 60 * 1000;
    let options = TaskOptions { rate: Some(Rate { count: 1, period: 1000 }), ..TaskOptions::default() };
    for restart in [false, true] {
        let mut site = Site::new();
        let (worker, _) = site.worker(&["add", "tick"]);
        let entries = vec![cron("each-second", "* * * * * *")];
        site.say(worker, Ask::Crons { n: 1, source: "app".into(), entries });
        site.ready(worker, 1000);
        site.now += MONTH;
        let client = site.client();
        let ask = |number| {
            asked(
                client,
                Ask::Enqueue { n: 1, task: NewTask { options: options.clone(), ..task(number, "add") } },
            )
        };
        site.turn((1..=3).map(ask).collect());
        site.now -= MONTH;
        let worker = match restart {
            true => {
                site.kill_keeper();
                let (worker, _) = site.worker(&["add", "tick"]);
                let entries = vec![cron("each-second", "* * * * * *")];
                site.say(worker, Ask::Crons { n: 1, source: "app".into(), entries });
                site.ready(worker, 1000);
                worker
            }
            false => worker,
        };
        site.turn(vec![ask(4)]);
        let mut names = vec![];
        for _ in 0..5 {
            names.extend(given(&site.wait(1000), worker).into_iter().map(|it| it.name));
        }
        let count = |name: &str| names.iter().filter(|it| *it == name).count();
        // With the same random numbers, the first id of the second engine is one of the first's.
        assert_eq!(count("tick"), if restart { 4 } else { 5 }, "{restart} {names:?}");
        assert!(count("add") >= 2, "{restart} {names:?}");
        let left = site.engine.as_ref().unwrap().store.counts().unwrap();
        assert!(left.iter().all(|(_, state, _)| *state == State::Running), "{restart} {left:?}");
    }
}
