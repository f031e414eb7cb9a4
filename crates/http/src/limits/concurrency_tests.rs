use super::{Concurrency, Place, Slot, Turn};
use hostler_settings::{Commas, Limits, UrlPath};
use proptest::prelude::*;
use std::{
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

fn limited(most: usize, queue: usize) -> Rc<Concurrency> {
    let limits = Limits {
        concurrency: Some(most),
        queue,
        queue_timeout: Duration::from_secs(1000),
        health_paths: Commas(vec![UrlPath("/health".into())]),
        ..Limits::default()
    };
    Concurrency::new(&limits).unwrap()
}

fn in_runtime(test: impl FnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { test() });
}

fn poll(place: &mut Place) -> Option<Slot> {
    match place.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(slot) => Some(slot.unwrap()),
        Poll::Pending => None,
    }
}

#[test]
fn without_a_limit_there_is_nothing_to_ask() {
    assert!(Concurrency::new(&Limits::default()).is_none());
}

#[test]
fn requests_wait_in_their_order_and_one_health_check_does_not() {
    in_runtime(|| {
        let all = limited(1, 2);
        let Turn::Now(first) = all.ask("/", false) else { panic!("there was room") };
        let (Turn::Later(mut second), Turn::Later(mut third)) = (all.ask("/", false), all.ask("/", false))
        else {
            panic!("there was room in the queue")
        };
        assert!(matches!(all.ask("/", false), Turn::Never(_)));
        let Turn::Now(health) = all.ask("/health", false) else { panic!("its slot is reserved") };
        assert!(matches!(all.ask("/health", false), Turn::Never(_)), "one at a time");
        drop(health);
        assert!(matches!(all.ask("/health", false), Turn::Now(_)));
        assert!(poll(&mut second).is_none() && poll(&mut third).is_none());
        drop(first);
        assert!(poll(&mut third).is_none());
        let slot = poll(&mut second).unwrap();
        drop((second, slot));
        assert!(poll(&mut third).is_some());
    });
}

#[test]
fn who_waits_too_long_is_sent_away() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let limits =
            Limits { concurrency: Some(1), queue_timeout: Duration::from_millis(1), ..Limits::default() };
        let all = Concurrency::new(&limits).unwrap();
        let _first = all.ask("/", false);
        let Turn::Later(mut place) = all.ask("/", false) else { panic!("there was room in the queue") };
        let refused = std::future::poll_fn(|cx| place.poll(cx)).await.err().unwrap();
        assert_eq!(refused.status.as_u16(), 503);
        drop(place);
        assert_eq!(all.waiting.borrow().len(), 0);
    });
}

proptest! {
    /// Whatever comes and goes: no slot is lost, none is given twice, and none is free while requests wait.
    #[test]
    fn slots_are_accounted_for(events in prop::collection::vec((0u8..4, 0usize..8), 0..200)) {
        in_runtime(|| {
            let all = limited(3, 4);
            let (mut slots, mut places): (Vec<Slot>, Vec<Box<Place>>) = (vec![], vec![]);
            for (event, which) in events {
                match event {
                    0 => match all.ask("/", false) {
                        Turn::Now(slot) => slots.push(slot),
                        Turn::Later(place) => places.push(place),
                        Turn::Never(_) => assert!(slots.len() + places.len() >= 7),
                    },
                    1 if which < slots.len() => drop(slots.swap_remove(which)),
                    2 if which < places.len() => drop(places.swap_remove(which)),
                    3 if which < places.len() => if let Some(slot) = poll(&mut places[which]) {
                        slots.push(slot);
                        drop(places.swap_remove(which));
                    },
                    _ => {}
                }
                let granted = places.iter().filter(|place| place.waiter.granted.get()).count();
                let waiting = all.waiting.borrow().len();
                assert_eq!(all.running.get(), slots.len() + granted);
                assert_eq!(waiting, places.len() - granted);
                assert!(all.running.get() == 3 || waiting == 0);
            }
        });
    }
}

#[test]
fn a_request_that_has_waited_for_too_long_is_refused_unless_it_is_a_health_check() {
    in_runtime(|| {
        let all = limited(2, 2);
        assert!(matches!(all.ask("/", true), Turn::Never(_)));
        assert!(matches!(all.ask("/health", true), Turn::Now(_)));
        assert!(matches!(all.ask("/", false), Turn::Now(_)));
    });
}
