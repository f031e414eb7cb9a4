//! Files that are odd, and stores that fail.

use super::*;
use crate::{OpenError, StoreError, message::Refused};
use std::fs;

#[test]
fn files_of_others_of_later_versions_and_damaged_ones_are_refused() {
    let site = Site::new();
    let path = site.file();
    drop(site.engine);
    let edit = |sql: &str| rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    assert!(crate::examine(&path).is_ok());
    edit("PRAGMA user_version = 99; PRAGMA wal_checkpoint");
    assert!(matches!(crate::examine(&path), Err(OpenError::Newer { found: 99, .. })));
    assert!(matches!(Store::open(&path), Err(OpenError::Newer { found: 99, known: 2, .. })));
    edit("PRAGMA user_version = 2; PRAGMA application_id = 5; PRAGMA wal_checkpoint");
    assert!(matches!(crate::examine(&path), Err(OpenError::Foreign { .. })));
    assert!(matches!(Store::open(&path), Err(OpenError::Foreign { .. })));
    let other = site.directory.path().join("other.db");
    rusqlite::Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    assert!(matches!(Store::open(&other), Err(OpenError::Foreign { .. })));
    let text = site.directory.path().join("text.db");
    fs::write(&text, "no database ".repeat(100)).unwrap();
    let damaged = crate::examine(&text);
    assert!(matches!(damaged, Err(OpenError::File { source: StoreError::Damaged(_), .. })), "{damaged:?}");
    assert!(crate::examine(&site.directory.path().join("new.db")).is_ok());
    assert!(crate::examine(&site.directory.path().join("none/new.db")).is_err());
    let error = Store::open(&text).unwrap_err();
    assert!(matches!(error, OpenError::File { source: StoreError::Damaged(_), .. }), "{error:?}");
    assert!(error.hint().contains("backup"));
}

/// A file as versions wrote it that knew format 1 only: two tasks, of which one runs, and schedules of two applications.
const FORMAT_1: &str = include_str!("format_1.sql");

#[test]
fn a_file_of_an_earlier_format_is_brought_up_and_goes_on() {
    let mut site = Site::new();
    drop(site.engine.take());
    let old = site.directory.path().join("old.db");
    rusqlite::Connection::open(&old).unwrap().execute_batch(FORMAT_1).unwrap();
    fs::remove_file(site.file()).unwrap();
    fs::rename(old, site.file()).unwrap();
    assert!(crate::examine(&site.file()).is_ok());
    site.open();
    site.turn(vec![]);
    let [waits, runs] = [1_u128, 2].map(|number| TaskId(number.to_be_bytes()));
    assert_eq!(
        (site.state(waits), site.state(runs)),
        (Some(State::Expired), Some(State::Ready)),
        "its worker is gone"
    );
    // Schedules of one name are one from now on.
    let (worker, _) = site.worker(&["tick"]);
    site.wait(10_000);
    assert_eq!(given(&site.ready(worker, 10), worker).len(), 1);
    let client = site.client();
    site.say(client, Ask::Cancel { n: 1, id: runs });
    assert_eq!(site.state(runs), Some(State::Cancelled));
    site.kill_keeper();
    assert_eq!(site.state(runs), Some(State::Cancelled));
}

#[test]
fn a_full_disk_refuses_tasks_and_keeps_what_workers_report() {
    let mut site = Site::new();
    let id = site.enqueue(task(1, "add"));
    let (worker, _) = site.worker(&["add"]);
    let given = site.take(worker).unwrap();
    let engine = site.engine.as_mut().unwrap();
    let pages: i64 = engine.store.db.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    engine.store.db.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())).unwrap();
    let report = Incoming::Asked(worker, Frame { message: done(&given), body: vec![7; 100_000] });
    let big = Frame { message: Ask::Enqueue { n: 3, task: task(2, "add") }, body: vec![8; 100_000] };
    let turn = engine.turn(site.now, vec![report, Incoming::Asked(ClientId(99), big)]);
    assert!(matches!(turn.failed, Some(StoreError::Full)), "{turn:?}");
    assert!(
        matches!(turn.out[0].frame.message, Answer::Refused { n: Some(3), why: Refused::Full, .. }),
        "{turn:?}"
    );
    engine.store.db.pragma_update_and_check(None, "max_page_count", i64::from(i32::MAX), |_| Ok(())).unwrap();
    let next = engine.next_turn(site.now, true).unwrap();
    let turn = engine.turn(next, vec![]);
    assert!(turn.failed.is_none());
    let (shown, result) = site.result(id).unwrap();
    assert_eq!((shown.state, result.len()), (State::Succeeded, 100_000));
}

#[test]
fn a_file_that_somebody_has_locked_is_said_to_be_and_used_again_after_it() {
    let mut site = Site::new();
    let other = rusqlite::Connection::open(site.file()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let engine = site.engine.as_mut().unwrap();
    engine.store.db.busy_timeout(std::time::Duration::ZERO).unwrap();
    let ask = |number| asked(ClientId(1), Ask::Enqueue { n: 1, task: task(number, "add") });
    let turn = engine.turn(site.now, vec![ask(1)]);
    assert!(matches!(turn.failed, Some(StoreError::Locked)));
    assert!(matches!(turn.out[0].frame.message, Answer::Refused { why: Refused::Store, .. }));
    other.execute_batch("ROLLBACK").unwrap();
    let turn = engine.turn(site.now, vec![ask(2)]);
    assert!(turn.out.is_empty(), "it is not on disk yet: {turn:?}");
    let (promises, _) = engine.settle(site.now);
    assert!(matches!(promises[0].frame.message, Answer::Accepted { new: true, .. }), "{promises:?}");
}

#[test]
fn a_locked_file_is_waited_for_once_by_all() {
    let mut site = Site::new();
    let (worker, _) = site.worker(&["add"]);
    let id = site.enqueue(task(100, "add"));
    let given = site.take(worker).unwrap();
    let other = rusqlite::Connection::open(site.file()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let engine = site.engine.as_mut().unwrap();
    engine.store.db.busy_timeout(std::time::Duration::from_millis(300)).unwrap();
    let mut asks: Vec<_> = (1..=20)
        .map(|n| asked(ClientId(n), Ask::Enqueue { n: 1, task: task(u128::from(n), "add") }))
        .collect();
    asks.push(asked(worker, done(&given)));
    let began = std::time::Instant::now();
    let turn = engine.turn(site.now, asks);
    assert!(began.elapsed() < std::time::Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(turn.out.len(), 20);
    other.execute_batch("ROLLBACK").unwrap();
    site.wait(1000);
    assert_eq!(site.state(id), Some(State::Succeeded), "what was reported is not lost");
}

#[test]
fn what_a_log_had_that_could_not_be_synced_is_written_to_the_file() {
    let mut site = Site::new();
    let log = site.directory.path().join("queue.db-wal");
    site.enqueue(task(1, "add"));
    assert!(fs::metadata(&log).unwrap().len() > 0);
    site.engine.as_mut().unwrap().store.log_failed = true;
    site.enqueue(task(2, "add"));
    assert_eq!(fs::metadata(&log).unwrap().len(), 0);
    assert!(!site.engine.as_ref().unwrap().store.log_failed);
    site.enqueue(task(3, "add"));
    assert!(fs::metadata(&log).unwrap().len() > 0);
}

#[test]
fn a_fault_of_one_does_not_refuse_others() {
    let mut site = Site::new();
    let engine = site.engine.as_mut().unwrap();
    let pages: i64 = engine.store.db.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    engine.store.db.pragma_update_and_check(None, "max_page_count", pages + 4, |_| Ok(())).unwrap();
    let ask = |client, size| {
        let message = Ask::Enqueue { n: client, task: task(u128::from(client), "add") };
        Incoming::Asked(ClientId(client), Frame { message, body: vec![1; size] })
    };
    let turn = engine.turn(site.now, vec![ask(1, 1_000_000), ask(2, 10)]);
    assert!(matches!(turn.out[0].frame.message, Answer::Refused { why: Refused::Full, .. }), "{turn:?}");
    let (promises, _) = engine.settle(site.now);
    assert!(matches!(promises[0].frame.message, Answer::Accepted { .. }), "{promises:?}");
}
