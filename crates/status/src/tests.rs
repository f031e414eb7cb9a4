use crate::{Facts, Usage, WorkerState, read, status};
use hostler_sys::board::Board;
use hostler_wire::{Departure, Generation, PageState, Reload, Role, ServerState, SlotId};

#[test]
fn a_server_is_shown_with_what_its_workers_do_and_did() {
    let board = Board::create().unwrap();
    let master = board.master();
    let now = hostler_sys::clock::now();
    master.starts(7, now, 1_700_000_000_000);
    for (page, slot) in [(1u16, 2), (2, 1), (3, 3)] {
        board.pages()[0].will_use(page);
        let (seat, own) = (master.seat(page).unwrap(), &board.pages()[usize::from(page)]);
        seat.take(SlotId::http(slot), Generation(1), now);
        seat.is_process(100 + i32::from(page));
        own.identify(Role::Http, SlotId::http(slot));
        own.set_state(PageState::Serving);
        own.set_parked(true);
        own.request_refused(0, 200, 4_000_000);
        own.connection_accepted();
    }
    master.seat(1).unwrap().serves(now);
    let busy = &board.pages()[1];
    let entry = busy.request_began(now, "GET", "/slow", Some("10.0.0.9:1234".parse().unwrap()));
    busy.request_responded(entry, 200);
    master.seat(3).unwrap().departs(Departure::MaxRequests);
    let (gone, lost) = board.pages()[2].final_totals();
    master.worker_ended(Departure::Signal, &gone, lost + 1, || {
        board.pages()[2].clear();
        master.seat(2).unwrap().leave();
    });
    master.reload(Reload::Succeeded, Generation(1), now);
    master.set_state(ServerState::Serving);
    master.turn(now, 1, 4, Generation(1));

    let facts = Facts {
        version: "1.2".into(),
        listeners: vec!["http://a".into()],
        ready_workers: 1,
        task_queue: None,
    };
    let seen = read(&board.scoreboard());
    let usage = |pid| Usage { memory_bytes: Some(u64::try_from(pid).unwrap()), cpu_seconds: None };
    let status = status(&seen, &facts, usage);
    assert_eq!(seen.unready(2).as_deref(), Some("1 of 4 workers serve, and 2 have to"));
    assert!(status.server.ready && status.server.generation == 1);
    assert_eq!(status.server.workers_ended.get("signal"), Some(&1));
    assert_eq!((status.traffic.requests, status.traffic.requests_lost, status.traffic.in_flight), (3, 1, 1));
    let slots: Vec<_> = status.workers.iter().map(|worker| (worker.slot, worker.pid, worker.state)).collect();
    assert_eq!(slots, [(2, Some(101), WorkerState::Serving), (3, Some(103), WorkerState::Draining)]);
    assert_eq!(status.workers[1].leaving, Some("max-requests"));
    assert_eq!(status.workers[0].handling[0].client.as_deref(), Some("10.0.0.9:1234"));
    let json = serde_json::to_value(&status).unwrap();
    assert_eq!(json["server"]["state"], "serving");
    assert_eq!(json["workers"][0]["memory_bytes"], 101);
    assert_eq!(json["workers"][0]["handling"][0]["path"], "/slow");
    assert_eq!(json["workers"][0]["requests_by_status"]["2xx"], 1);
    let p50 = json["traffic"]["latency"]["p50_seconds"].as_f64().unwrap();
    assert!((0.003..=0.004).contains(&p50), "{p50}");
}
