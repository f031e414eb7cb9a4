//! Where a connection stands, in one byte. What follows from an event, and what is asked with every request, is worked
//! out beforehand and looked up.

use super::state::{Answer, Event, Exchange, Life, Output, Request};

/// A place among [`LIVES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(pub(super) u8);

const REQUESTS: [Request; 5] =
    [Request::AwaitingHead, Request::ReadingHead, Request::Body, Request::Ended, Request::GivenUp];
const ANSWERS: [Answer; 5] =
    [Answer::None, Answer::Pending, Answer::Sending, Answer::Complete, Answer::Broken];
const OUTPUTS: [Output; 3] = [Output::Written, Output::InOutbox, Output::InHyper];
pub(super) const EVENTS: [Event; 16] = [
    Event::Spoken,
    Event::BytesRead,
    Event::Head { body: false },
    Event::Head { body: true },
    Event::BodyEnded,
    Event::BodyGivenUp,
    Event::BodyDrained,
    Event::AnswerBegan,
    Event::AnswerComplete,
    Event::AnswerBroken,
    Event::HyperFlushed,
    Event::OutboxFilled,
    Event::OutboxEmpty,
    Event::Rested,
    Event::Upgraded,
    Event::Ended,
];
/// As many as a byte can say: looking up needs no check.
const BYTES: usize = 256;
const PLACES: usize = 3 + REQUESTS.len() * ANSWERS.len() * OUTPUTS.len();

/// Every place a connection can be in.
pub(super) static LIVES: [Life; PLACES] = {
    let mut lives = [Life::Resting; PLACES];
    let mut place = 0;
    while place < PLACES {
        lives[place] = life_at(place);
        place += 1;
    }
    lives
};

/// Where each event leads from each place.
static NEXT: [[Place; BYTES]; EVENTS.len()] = {
    let mut next = [[Place(0); BYTES]; EVENTS.len()];
    let mut event = 0;
    while event < EVENTS.len() {
        let mut place = 0;
        while place < PLACES {
            next[event][place] = life_at(place).step(EVENTS[event]).place();
            place += 1;
        }
        event += 1;
    }
    next
};

/// What is true in each place.
static TRUE: [u8; BYTES] = {
    let mut all = [0; BYTES];
    let mut place = 0;
    while place < PLACES {
        all[place] = truths(life_at(place));
        place += 1;
    }
    all
};

const IDLE: u8 = 1;
const HAS_BODY: u8 = 2;
const AWAITS_APPLICATION: u8 = 4;
const AWAITS_HYPER: u8 = 8;
const ANSWERED_EARLY: u8 = 16;
const HTTP: u8 = 32;

const fn truths(life: Life) -> u8 {
    let mut truths = 0;
    if life.is_idle() {
        truths |= IDLE;
    }
    if life.has_body() {
        truths |= HAS_BODY;
    }
    if life.awaits_application() {
        truths |= AWAITS_APPLICATION;
    }
    if life.awaits_hyper() {
        truths |= AWAITS_HYPER;
    }
    if life.is_answered_early() {
        truths |= ANSWERED_EARLY;
    }
    if matches!(life, Life::Http(_)) {
        truths |= HTTP;
    }
    truths
}

const fn life_at(place: usize) -> Life {
    match place {
        0 => Life::Resting,
        1 => Life::Upgraded,
        2 => Life::Closing,
        _ => Life::Http(Exchange {
            request: REQUESTS[(place - 3) / (ANSWERS.len() * OUTPUTS.len())],
            answer: ANSWERS[(place - 3) / OUTPUTS.len() % ANSWERS.len()],
            output: OUTPUTS[(place - 3) % OUTPUTS.len()],
        }),
    }
}

impl Life {
    /// This, in a byte.
    pub(crate) const fn place(self) -> Place {
        #[expect(clippy::cast_possible_truncation, reason = "there are 78 places")]
        Place(match self {
            Self::Resting => 0,
            Self::Upgraded => 1,
            Self::Closing => 2,
            Self::Http(Exchange { request, answer, output }) => {
                3 + ((request as usize * ANSWERS.len() + answer as usize) * OUTPUTS.len() + output as usize)
                    as u8
            }
        })
    }
}

impl Event {
    pub(super) const fn number(self) -> usize {
        match self {
            Self::Spoken => 0,
            Self::BytesRead => 1,
            Self::Head { body: false } => 2,
            Self::Head { body: true } => 3,
            Self::BodyEnded => 4,
            Self::BodyGivenUp => 5,
            Self::BodyDrained => 6,
            Self::AnswerBegan => 7,
            Self::AnswerComplete => 8,
            Self::AnswerBroken => 9,
            Self::HyperFlushed => 10,
            Self::OutboxFilled => 11,
            Self::OutboxEmpty => 12,
            Self::Rested => 13,
            Self::Upgraded => 14,
            Self::Ended => 15,
        }
    }
}

impl Place {
    /// What it stands for.
    #[inline]
    pub(crate) fn life(self) -> Life {
        LIVES[usize::from(self.0)]
    }

    /// Where the connection is after this.
    #[inline]
    #[must_use]
    pub(crate) fn step(self, event: Event) -> Self {
        NEXT[event.number()][usize::from(self.0)]
    }

    #[inline]
    fn is(self, truth: u8) -> bool {
        TRUE[usize::from(self.0)] & truth != 0
    }

    /// [`Life::is_idle`].
    #[inline]
    #[must_use]
    pub(crate) fn is_idle(self) -> bool {
        self.is(IDLE)
    }

    /// [`Life::has_body`].
    #[inline]
    #[must_use]
    pub(crate) fn has_body(self) -> bool {
        self.is(HAS_BODY)
    }

    /// [`Life::awaits_application`].
    #[inline]
    #[must_use]
    pub(crate) fn awaits_application(self) -> bool {
        self.is(AWAITS_APPLICATION)
    }

    /// [`Life::awaits_hyper`].
    #[inline]
    #[must_use]
    pub(crate) fn awaits_hyper(self) -> bool {
        self.is(AWAITS_HYPER)
    }

    /// [`Life::is_answered_early`].
    #[inline]
    #[must_use]
    pub(crate) fn is_answered_early(self) -> bool {
        self.is(ANSWERED_EARLY)
    }

    /// HTTP is spoken ([`Life::Http`]).
    #[inline]
    #[must_use]
    pub(crate) fn is_http(self) -> bool {
        self.is(HTTP)
    }
}
