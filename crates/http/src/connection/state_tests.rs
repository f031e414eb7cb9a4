use super::{
    super::place::{EVENTS, LIVES},
    Event, Life, WaitsFor,
};
use proptest::prelude::*;

fn lives() -> impl Iterator<Item = Life> {
    LIVES.iter().copied()
}

#[test]
fn what_is_looked_up_is_what_is_defined() {
    for (at, life) in lives().enumerate() {
        assert_eq!(usize::from(life.place().0), at);
        assert_eq!(life.place().life(), life);
        let place = life.place();
        assert_eq!(place.is_idle(), life.is_idle(), "{life:?}");
        assert_eq!(place.has_body(), life.has_body(), "{life:?}");
        assert_eq!(place.awaits_application(), life.awaits_application(), "{life:?}");
        assert_eq!(place.awaits_hyper(), life.awaits_hyper(), "{life:?}");
        assert_eq!(place.is_answered_early(), life.is_answered_early(), "{life:?}");
        assert_eq!(place.is_http(), matches!(life, Life::Http(_)), "{life:?}");
        for (number, event) in EVENTS.into_iter().enumerate() {
            assert_eq!(event.number(), number);
            assert_eq!(life.place().step(event).life(), life.step(event), "{life:?} {event:?}");
        }
    }
}

fn begun() -> Life {
    Life::Resting.step(Event::Spoken)
}

fn after(events: &[Event]) -> Life {
    events.iter().fold(begun(), |life, event| life.step(*event))
}

#[test]
fn whatever_happens_wherever_bytes_and_answers_are_not_forgotten() {
    for life in lives() {
        for event in EVENTS {
            let next = life.step(event);
            if matches!(event, Event::Ended | Event::Upgraded | Event::Rested) {
                continue;
            }
            // What hyper or the outbox holds is there until they say otherwise.
            if life.is_in_hyper() && event != Event::HyperFlushed {
                assert!(next.is_in_hyper(), "{life:?} {event:?} → {next:?}");
            }
            if !life.owes_no_bytes() && event != Event::OutboxEmpty {
                assert!(!next.owes_no_bytes(), "{life:?} {event:?} → {next:?}");
            }
            // An application that was asked is heard until it is done.
            if life.awaits_application() && !matches!(event, Event::AnswerComplete | Event::AnswerBroken) {
                assert!(next.awaits_application(), "{life:?} {event:?} → {next:?}");
            }
        }
    }
}

#[test]
fn only_an_idle_connection_rests_and_nothing_leaves_its_end() {
    for life in lives() {
        let rested = life.step(Event::Rested);
        assert_eq!(rested == Life::Resting, life.is_idle(), "{life:?}");
        assert_eq!(life.step(Event::Ended), Life::Closing);
        for event in EVENTS {
            assert_eq!(Life::Closing.step(event), Life::Closing);
        }
    }
}

#[test]
fn a_request_is_over_when_the_kernel_has_its_answer() {
    use Event::{AnswerBegan, AnswerComplete, BytesRead, Head, HyperFlushed, OutboxEmpty, OutboxFilled};
    let mut events = vec![];
    for event in [BytesRead, Head { body: false }, AnswerBegan, AnswerComplete, OutboxFilled, HyperFlushed] {
        events.push(event);
        assert_eq!(after(&events).is_idle(), event == BytesRead, "{events:?}");
    }
    events.push(OutboxEmpty);
    assert!(after(&events).may_rest());
}

#[test]
fn a_body_that_somebody_keeps_keeps_the_connection() {
    use Event::{AnswerBegan, AnswerComplete, BodyDrained, BodyGivenUp, Head, HyperFlushed, OutboxEmpty};
    let answered = [Head { body: true }, AnswerBegan, AnswerComplete, HyperFlushed, OutboxEmpty];
    assert!(!after(&answered).is_idle());
    let given_up = [&answered[..], &[BodyGivenUp]].concat();
    assert!(!after(&given_up).is_idle());
    assert!(after(&[&given_up[..], &[BodyDrained]].concat()).may_rest());
    // hyper cannot be asked before the answer is complete.
    let early = [Head { body: true }, BodyGivenUp, BodyDrained, AnswerBegan, AnswerComplete, HyperFlushed];
    assert!(!after(&[&early[..], &[OutboxEmpty]].concat()).is_idle());
}

#[test]
fn clients_are_waited_for_only_where_it_is_their_turn() {
    let reading = after(&[Event::Head { body: true }]);
    assert_eq!(reading.waits_for(true, false), Some(WaitsFor::Body));
    assert_eq!(reading.waits_for(false, false), None, "the application is busy");
    assert_eq!(reading.waits_for(true, true), Some(WaitsFor::Reader));
    assert_eq!(after(&[Event::BytesRead]).waits_for(false, false), Some(WaitsFor::Head));
    assert_eq!(after(&[Event::Head { body: false }]).waits_for(true, false), None);
    assert_eq!(Life::Closing.waits_for(false, false), Some(WaitsFor::Goodbye));
    assert_eq!(Life::Upgraded.waits_for(false, false), None);
}

/// What hyper, the outbox, the client and the application really have, as simply as can be.
#[derive(Debug, Default)]
struct Truth {
    head_begun: bool,
    asked: bool,
    /// The rest of the body is still to be read.
    body_left: bool,
    body_held: bool,
    answer_begun: bool,
    answer_done: bool,
    in_hyper: u32,
    /// hyper has told the socket that it holds nothing.
    flushed: bool,
    in_outbox: u32,
    /// The outbox has told that it is empty since.
    emptied: bool,
}

impl Truth {
    fn owes_nothing(&self) -> bool {
        !self.asked && self.in_hyper == 0 && self.in_outbox == 0
    }

    /// One thing that can happen now, if this is one, and what is told of it.
    fn step(&mut self, choice: u8) -> Option<Event> {
        let body_is_open = self.asked && self.body_left;
        Some(match choice {
            0 if !self.asked => {
                self.head_begun = true;
                Event::BytesRead
            }
            // hyper reads the next head only when it has flushed.
            1 | 2 if self.head_begun && !self.asked && self.in_hyper == 0 => {
                let body = choice == 2;
                (self.head_begun, self.asked, self.body_left, self.body_held) = (false, true, body, body);
                Event::Head { body }
            }
            3 if self.body_held => {
                (self.body_left, self.body_held) = (false, false);
                Event::BodyEnded
            }
            4 if self.body_held => {
                self.body_held = false;
                Event::BodyGivenUp
            }
            5 if self.asked && !self.answer_begun => {
                (self.answer_begun, self.in_hyper, self.flushed, self.emptied) =
                    (true, self.in_hyper + 1, false, false);
                Event::AnswerBegan
            }
            6 if self.answer_begun && !self.answer_done => {
                (self.answer_done, self.in_hyper, self.flushed, self.emptied) =
                    (true, self.in_hyper + 1, false, false);
                Event::AnswerComplete
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
            10 if body_is_open && !self.body_held && self.answer_done && self.emptied => {
                self.body_left = false;
                Event::BodyDrained
            }
            _ => return None,
        })
    }

    /// hyper begins anew when both sides are through.
    fn settle(&mut self) {
        if self.asked && self.answer_done && !self.body_left && self.flushed {
            (self.asked, self.answer_begun, self.answer_done) = (false, false, false);
        }
    }
}

proptest! {
    #[test]
    fn idle_means_that_nobody_owes_a_byte(choices in prop::collection::vec(0u8..11, 0..400)) {
        let (mut truth, mut life) = (Truth::default(), begun());
        for choice in choices {
            let Some(event) = truth.step(choice) else { continue };
            life = life.step(event);
            // The state machine learns of it from the flush.
            if event == Event::HyperFlushed || event == Event::BodyEnded || event == Event::BodyDrained {
                truth.settle();
            }
            prop_assert!(!life.is_idle() || truth.owes_nothing(), "{event:?}: {life:?} {truth:?}");
            if event == Event::OutboxEmpty && truth.in_hyper == 0 && truth.owes_nothing() {
                prop_assert!(life.is_idle(), "{event:?}: {life:?} {truth:?}");
            }
        }
    }
}
