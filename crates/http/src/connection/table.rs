//! [`ConnState`] in one byte. Transitions, and the questions that are asked for each request, are computed at compile
//! time and looked up.

use super::state::{ConnState, Event, HttpState, OutputState, RequestState, ResponseState, StreamsState};

/// An index into [`STATES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StateId(pub(super) u8);

const REQUESTS: [RequestState; 5] = [
    RequestState::AwaitingHead,
    RequestState::ReadingHead,
    RequestState::Body,
    RequestState::Ended,
    RequestState::Abandoned,
];
const RESPONSES: [ResponseState; 5] = [
    ResponseState::None,
    ResponseState::Pending,
    ResponseState::Sending,
    ResponseState::Complete,
    ResponseState::Failed,
];
const OUTPUTS: [OutputState; 3] = [OutputState::Written, OutputState::InOutbox, OutputState::InHyper];
pub(super) const EVENTS: [Event; 18] = [
    Event::Attached,
    Event::BytesRead,
    Event::Head { body: false },
    Event::Head { body: true },
    Event::BodyEnded,
    Event::BodyAbandoned,
    Event::BodyDrained,
    Event::ResponseStarted,
    Event::ResponseComplete,
    Event::ResponseFailed,
    Event::HyperFlushed,
    Event::OutboxFilled,
    Event::OutboxEmpty,
    Event::Parked,
    Event::Upgraded,
    Event::Ended,
    Event::StreamsAttached,
    Event::StreamsEnded,
];
/// With an entry for each value of a byte a look-up needs no bounds check.
const ALL_BYTES: usize = 256;
/// Before those of HTTP: the others, then those of HTTP/2.
const FIRST_STREAMS: usize = 3;
const FIRST_HTTP: usize = FIRST_STREAMS + 2 * OUTPUTS.len();
const STATE_COUNT: usize = FIRST_HTTP + REQUESTS.len() * RESPONSES.len() * OUTPUTS.len();

/// Every state a connection can be in.
pub(super) static STATES: [ConnState; STATE_COUNT] = {
    let mut states = [ConnState::Parked; STATE_COUNT];
    let mut id = 0;
    while id < STATE_COUNT {
        states[id] = state_at(id);
        id += 1;
    }
    states
};

/// The state after each event, by event and state.
static NEXT: [[StateId; ALL_BYTES]; EVENTS.len()] = {
    let mut next = [[StateId(0); ALL_BYTES]; EVENTS.len()];
    let mut event = 0;
    while event < EVENTS.len() {
        let mut id = 0;
        while id < STATE_COUNT {
            next[event][id] = state_at(id).step(EVENTS[event]).id();
            id += 1;
        }
        event += 1;
    }
    next
};

/// What holds in each state.
static FACTS: [u8; ALL_BYTES] = {
    let mut all = [0; ALL_BYTES];
    let mut id = 0;
    while id < STATE_COUNT {
        all[id] = facts(state_at(id));
        id += 1;
    }
    all
};

const IDLE: u8 = 1;
const HAS_BODY: u8 = 2;
const AWAITS_APPLICATION: u8 = 4;
const AWAITS_HYPER: u8 = 8;
const RESPONDED_EARLY: u8 = 16;
const HTTP: u8 = 32;
const MAY_REFUSE: u8 = 64;

const fn facts(state: ConnState) -> u8 {
    let mut facts = 0;
    if state.is_idle() {
        facts |= IDLE;
    }
    if state.has_body() {
        facts |= HAS_BODY;
    }
    if state.awaits_application() {
        facts |= AWAITS_APPLICATION;
    }
    if state.awaits_hyper() {
        facts |= AWAITS_HYPER;
    }
    if state.is_responded_early() {
        facts |= RESPONDED_EARLY;
    }
    if matches!(state, ConnState::Http(_)) {
        facts |= HTTP;
    }
    if state.may_refuse() {
        facts |= MAY_REFUSE;
    }
    facts
}

const fn state_at(id: usize) -> ConnState {
    match id {
        0 => ConnState::Parked,
        1 => ConnState::Upgraded,
        2 => ConnState::Closing,
        FIRST_STREAMS..FIRST_HTTP => ConnState::Streams(StreamsState {
            open: (id - FIRST_STREAMS) / OUTPUTS.len() == 1,
            output: OUTPUTS[(id - FIRST_STREAMS) % OUTPUTS.len()],
        }),
        _ => ConnState::Http(HttpState {
            request: REQUESTS[(id - FIRST_HTTP) / (RESPONSES.len() * OUTPUTS.len())],
            response: RESPONSES[(id - FIRST_HTTP) / OUTPUTS.len() % RESPONSES.len()],
            output: OUTPUTS[(id - FIRST_HTTP) % OUTPUTS.len()],
        }),
    }
}

impl ConnState {
    /// This state in one byte.
    pub(crate) const fn id(self) -> StateId {
        #[expect(clippy::cast_possible_truncation, reason = "there are 84 states")]
        StateId(match self {
            Self::Parked => 0,
            Self::Upgraded => 1,
            Self::Closing => 2,
            Self::Streams(StreamsState { open, output }) => {
                (FIRST_STREAMS + open as usize * OUTPUTS.len() + output as usize) as u8
            }
            Self::Http(HttpState { request, response, output }) => {
                FIRST_HTTP as u8
                    + ((request as usize * RESPONSES.len() + response as usize) * OUTPUTS.len()
                        + output as usize) as u8
            }
        })
    }
}

impl Event {
    pub(super) const fn number(self) -> usize {
        match self {
            Self::Attached => 0,
            Self::BytesRead => 1,
            Self::Head { body: false } => 2,
            Self::Head { body: true } => 3,
            Self::BodyEnded => 4,
            Self::BodyAbandoned => 5,
            Self::BodyDrained => 6,
            Self::ResponseStarted => 7,
            Self::ResponseComplete => 8,
            Self::ResponseFailed => 9,
            Self::HyperFlushed => 10,
            Self::OutboxFilled => 11,
            Self::OutboxEmpty => 12,
            Self::Parked => 13,
            Self::Upgraded => 14,
            Self::Ended => 15,
            Self::StreamsAttached => 16,
            Self::StreamsEnded => 17,
        }
    }
}

impl StateId {
    /// The state in full.
    #[inline]
    pub(crate) fn state(self) -> ConnState {
        STATES[usize::from(self.0)]
    }

    /// The state after this event.
    #[inline]
    #[must_use]
    pub(crate) fn step(self, event: Event) -> Self {
        NEXT[event.number()][usize::from(self.0)]
    }

    #[inline]
    fn is(self, fact: u8) -> bool {
        FACTS[usize::from(self.0)] & fact != 0
    }

    /// [`ConnState::is_idle`].
    #[inline]
    #[must_use]
    pub(crate) fn is_idle(self) -> bool {
        self.is(IDLE)
    }

    /// [`ConnState::has_body`].
    #[inline]
    #[must_use]
    pub(crate) fn has_body(self) -> bool {
        self.is(HAS_BODY)
    }

    /// [`ConnState::awaits_application`].
    #[inline]
    #[must_use]
    pub(crate) fn awaits_application(self) -> bool {
        self.is(AWAITS_APPLICATION)
    }

    /// [`ConnState::awaits_hyper`].
    #[inline]
    #[must_use]
    pub(crate) fn awaits_hyper(self) -> bool {
        self.is(AWAITS_HYPER)
    }

    /// [`ConnState::is_responded_early`].
    #[inline]
    #[must_use]
    pub(crate) fn is_responded_early(self) -> bool {
        self.is(RESPONDED_EARLY)
    }

    /// [`ConnState::may_refuse`].
    #[inline]
    #[must_use]
    pub(crate) fn may_refuse(self) -> bool {
        self.is(MAY_REFUSE)
    }

    /// The connection is in hyper ([`ConnState::Http`]).
    #[inline]
    #[must_use]
    pub(crate) fn is_http(self) -> bool {
        self.is(HTTP)
    }
}
