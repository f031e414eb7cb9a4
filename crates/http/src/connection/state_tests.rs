use super::{
    super::table::{EVENTS, STATES},
    ConnState, Event, WaitsFor,
};
use proptest::prelude::*;

fn states() -> impl Iterator<Item = ConnState> {
    STATES.iter().copied()
}

#[test]
fn what_is_looked_up_is_what_is_defined() {
    for (at, state) in states().enumerate() {
        assert_eq!(usize::from(state.id().0), at);
        assert_eq!(state.id().state(), state);
        let id = state.id();
        assert_eq!(id.is_idle(), state.is_idle(), "{state:?}");
        assert_eq!(id.has_body(), state.has_body(), "{state:?}");
        assert_eq!(id.awaits_application(), state.awaits_application(), "{state:?}");
        assert_eq!(id.awaits_hyper(), state.awaits_hyper(), "{state:?}");
        assert_eq!(id.is_responded_early(), state.is_responded_early(), "{state:?}");
        assert_eq!(id.is_http(), matches!(state, ConnState::Http(_)), "{state:?}");
        for (number, event) in EVENTS.into_iter().enumerate() {
            assert_eq!(event.number(), number);
            assert_eq!(state.id().step(event).state(), state.step(event), "{state:?} {event:?}");
        }
    }
}

fn begun() -> ConnState {
    ConnState::Parked.step(Event::Attached)
}

fn after(events: &[Event]) -> ConnState {
    events.iter().fold(begun(), |state, event| state.step(*event))
}

#[test]
fn whatever_happens_wherever_bytes_and_responses_are_not_forgotten() {
    for state in states() {
        for event in EVENTS {
            let next = state.step(event);
            if matches!(event, Event::Ended | Event::Upgraded | Event::Parked) {
                continue;
            }
            // What hyper or the outbox holds is there until they say otherwise.
            if state.is_in_hyper() && event != Event::HyperFlushed {
                assert!(next.is_in_hyper(), "{state:?} {event:?} → {next:?}");
            }
            if !state.owes_no_bytes() && event != Event::OutboxEmpty {
                assert!(!next.owes_no_bytes(), "{state:?} {event:?} → {next:?}");
            }
            // An application that was called is waited for until it is done.
            if state.awaits_application() && !matches!(event, Event::ResponseComplete | Event::ResponseFailed)
            {
                assert!(next.awaits_application(), "{state:?} {event:?} → {next:?}");
            }
        }
    }
}

#[test]
fn only_an_idle_connection_parks_and_nothing_leaves_its_end() {
    for state in states() {
        let parked = state.step(Event::Parked);
        assert_eq!(parked == ConnState::Parked, state.is_idle(), "{state:?}");
        assert_eq!(state.step(Event::Ended), ConnState::Closing);
        for event in EVENTS {
            assert_eq!(ConnState::Closing.step(event), ConnState::Closing);
        }
    }
}

#[test]
fn a_request_is_over_when_the_kernel_has_its_response() {
    use Event::{
        BytesRead, Head, HyperFlushed, OutboxEmpty, OutboxFilled, ResponseComplete, ResponseStarted,
    };
    let mut events = vec![];
    for event in
        [BytesRead, Head { body: false }, ResponseStarted, ResponseComplete, OutboxFilled, HyperFlushed]
    {
        events.push(event);
        assert_eq!(after(&events).is_idle(), event == BytesRead, "{events:?}");
    }
    events.push(OutboxEmpty);
    assert!(after(&events).may_park());
}

#[test]
fn an_unread_body_keeps_the_connection() {
    use Event::{
        BodyAbandoned, BodyDrained, Head, HyperFlushed, OutboxEmpty, ResponseComplete, ResponseStarted,
    };
    let responded = [Head { body: true }, ResponseStarted, ResponseComplete, HyperFlushed, OutboxEmpty];
    assert!(!after(&responded).is_idle());
    let abandoned = [&responded[..], &[BodyAbandoned]].concat();
    assert!(!after(&abandoned).is_idle());
    assert!(after(&[&abandoned[..], &[BodyDrained]].concat()).may_park());
    // hyper cannot be polled for it before the response is complete.
    let early =
        [Head { body: true }, BodyAbandoned, BodyDrained, ResponseStarted, ResponseComplete, HyperFlushed];
    assert!(!after(&[&early[..], &[OutboxEmpty]].concat()).is_idle());
}

#[test]
fn clients_are_waited_for_only_where_it_is_their_turn() {
    let reading = after(&[Event::Head { body: true }]);
    assert_eq!(reading.waits_for(true, false), Some(WaitsFor::RequestBody));
    assert_eq!(reading.waits_for(false, false), None, "the application is busy");
    assert_eq!(reading.waits_for(true, true), Some(WaitsFor::ResponseRead));
    assert_eq!(after(&[Event::BytesRead]).waits_for(false, false), Some(WaitsFor::RequestHead));
    assert_eq!(begun().waits_for(false, false), Some(WaitsFor::Request));
    assert_eq!(ConnState::Parked.waits_for(false, false), Some(WaitsFor::Request));
    assert_eq!(after(&[Event::Head { body: false }]).waits_for(true, false), None);
    assert_eq!(ConnState::Closing.waits_for(false, false), Some(WaitsFor::Linger));
    assert_eq!(ConnState::Upgraded.waits_for(false, false), None);
}

/// A simple model of what hyper, the outbox, the client and the application have.
#[derive(Debug, Default)]
struct Truth {
    head_begun: bool,
    in_exchange: bool,
    /// The rest of the body is still to be read.
    body_left: bool,
    body_held: bool,
    response_begun: bool,
    response_done: bool,
    in_hyper: u32,
    /// hyper has reported an empty write buffer.
    flushed: bool,
    in_outbox: u32,
    /// The outbox has reported that it is empty since.
    emptied: bool,
}

impl Truth {
    fn owes_nothing(&self) -> bool {
        !self.in_exchange && self.in_hyper == 0 && self.in_outbox == 0
    }

    /// Lets one thing happen, if it can now; the event that reports it.
    fn step(&mut self, choice: u8) -> Option<Event> {
        let body_is_open = self.in_exchange && self.body_left;
        Some(match choice {
            0 if !self.in_exchange => {
                self.head_begun = true;
                Event::BytesRead
            }
            // hyper reads the next head only when it has flushed.
            1 | 2 if self.head_begun && !self.in_exchange && self.in_hyper == 0 => {
                let body = choice == 2;
                (self.head_begun, self.in_exchange, self.body_left, self.body_held) =
                    (false, true, body, body);
                Event::Head { body }
            }
            3 if self.body_held => {
                (self.body_left, self.body_held) = (false, false);
                Event::BodyEnded
            }
            4 if self.body_held => {
                self.body_held = false;
                Event::BodyAbandoned
            }
            5 if self.in_exchange && !self.response_begun => {
                (self.response_begun, self.in_hyper, self.flushed, self.emptied) =
                    (true, self.in_hyper + 1, false, false);
                Event::ResponseStarted
            }
            6 if self.response_begun && !self.response_done => {
                (self.response_done, self.in_hyper, self.flushed, self.emptied) =
                    (true, self.in_hyper + 1, false, false);
                Event::ResponseComplete
            }
            7 if self.in_hyper > 0 => {
                self.in_hyper -= 1;
                self.in_outbox += 1;
                Event::OutboxFilled
            }
            8 if self.in_hyper == 0 => {
                self.flushed = true;
                Event::HyperFlushed
            }
            9 => {
                (self.in_outbox, self.emptied) = (0, self.flushed);
                Event::OutboxEmpty
            }
            10 if body_is_open && !self.body_held && self.response_done && self.emptied => {
                self.body_left = false;
                Event::BodyDrained
            }
            _ => return None,
        })
    }

    /// hyper begins anew when both sides are through.
    fn settle(&mut self) {
        if self.in_exchange && self.response_done && !self.body_left && self.flushed {
            (self.in_exchange, self.response_begun, self.response_done) = (false, false, false);
        }
    }
}

proptest! {
    #[test]
    fn idle_means_that_neither_side_owes_a_byte(choices in prop::collection::vec(0u8..11, 0..400)) {
        let (mut truth, mut state) = (Truth::default(), begun());
        for choice in choices {
            let Some(event) = truth.step(choice) else { continue };
            state = state.step(event);
            // The state machine learns of it from the flush.
            if event == Event::HyperFlushed || event == Event::BodyEnded || event == Event::BodyDrained {
                truth.settle();
            }
            prop_assert!(!state.is_idle() || truth.owes_nothing(), "{event:?}: {state:?} {truth:?}");
            if event == Event::OutboxEmpty && truth.in_hyper == 0 && truth.owes_nothing() {
                prop_assert!(state.is_idle(), "{event:?}: {state:?} {truth:?}");
            }
        }
    }
}
