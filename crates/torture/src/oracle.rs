//! Judges what a client saw: every response whole and right, or the connection ended for a cause on this list.

use crate::{
    ask::Ask,
    client::{End, Record, Response},
    clock::millis,
    plan::{Client, Does, Interface, Reader, Setup, Talk, UNBUFFERED},
    server::{GRACE, HEADER_LIMIT},
    world::{History, Stop},
};

/// Measured times are this inexact, in milliseconds.
const SLACK: u64 = 400;

/// How long idle connections may still be used once their worker alone was told to stop (crate `worker`).
const RESTS_ON: u64 = 500;

/// Why a connection may end before everything was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cause {
    /// The client left, as its script says.
    ClientLeft,
    /// The client broke the rules or its body.
    RulesBroken,
    /// The client was slower than a limit.
    TooSlow,
    /// A response before said that it is the last one.
    SaidClose,
    /// A request's body was not read, so that the beginning of the next request is unknown.
    BodyUnread,
    /// The harness ended its worker.
    WorkerKilled,
    /// Its worker drained for longer than its grace.
    GraceOver,
    /// Its worker alone was told to stop, so that idle connections were closed, and the request was sent as that
    /// happened. (The whole service manager's group gets SIGTERM at a stop, and then no worker takes them over.)
    WorkerStopped,
    /// The server was told to stop before the request was sent.
    Stopping,
    /// The server was told to stop quickly.
    QuickStop,
    /// The server did not run.
    NotRunning,
    /// The server was told to have no workers.
    NoWorkers,
    /// WebSocket clients are told to reconnect when their worker exits.
    Farewell,
    /// A process had no descriptors left.
    NoDescriptors,
}

/// What came of a client.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Everything was answered.
    Good,
    /// Something was not, for this cause.
    Excused(Cause),
    /// Something was not, for no cause.
    Failed(String),
}

/// Judges a client.
pub(crate) fn judge(setup: &Setup, client: &Client, record: &Record, history: &History) -> Verdict {
    if let Some(fault) = &record.fault {
        return Verdict::Failed(fault.clone());
    }
    let case = Case { setup, client, record, history };
    let talk = match &client.does {
        Does::Talk(talk) => Some(talk),
        Does::Streams(_) | Does::WebSocket(_) | Does::Upgrade(_) | Does::Storm(_) | Does::Blocker(_) => None,
    };
    if let Some(verdict) = talk.and_then(|talk| case.limits(talk)) {
        return verdict;
    }
    if let Some(what) = record.held_up.as_ref().filter(|_| !case.was_frozen()) {
        return Verdict::Failed(what.clone());
    }
    if let Some(verdict) = talk.and_then(|talk| case.statuses(talk)) {
        return verdict;
    }
    if matches!(client.does, Does::Streams(_)) {
        return case.streams();
    }
    match (&record.end, talk) {
        (End::Complete, _) => Verdict::Good,
        (End::Scripted, _) => Verdict::Excused(Cause::ClientLeft),
        (_, Some(talk)) if record.responses.len() == talk.asks.len() && record.partial.is_none() => {
            Verdict::Good
        }
        (End::NotMade(_), _) => case.or_failed(case.not_running()),
        (_, Some(talk)) => case.or_failed(case.ended_early(talk)),
        (_, None) => case.or_failed(case.socket_ended()),
    }
}

struct Case<'a> {
    setup: &'a Setup,
    client: &'a Client,
    record: &'a Record,
    history: &'a History,
}

impl Case<'_> {
    fn or_failed(&self, cause: Option<Cause>) -> Verdict {
        cause.map_or_else(|| Verdict::Failed(self.complaint()), Verdict::Excused)
    }

    fn complaint(&self) -> String {
        let record = self.record;
        let partial = record.partial.as_ref().map(|partial| format!(", then {partial}")).unwrap_or_default();
        let place = record.responses.len();
        let asked = match record.asked.get(place).copied().unwrap_or_default() {
            0 => "not sent to its end".into(),
            at => format!("sent by {at} ms"),
        };
        format!(
            "{:?} at {} ms after {place} whole responses{partial}, for no allowed cause (connected at {} ms, the next \
             request was {asked}, last heard of the server at {} ms)",
            record.end, record.ended, record.began, record.heard
        )
    }

    /// Judges responses that should not have been sent.
    fn limits(&self, talk: &Talk) -> Option<Verdict> {
        // Native services have the limits that they are given.
        let limited = self.setup.interface != Interface::Native;
        let large = talk.asks.first().is_some_and(|ask| ask.down >= UNBUFFERED);
        let served = self.record.responses.first().is_some_and(|response| response.status == 200);
        (limited && talk.deaf && large && served).then(|| {
            Verdict::Failed("a response waited for a reader for longer than the server waits".into())
        })
    }

    /// A process was suspended meanwhile.
    fn was_frozen(&self) -> bool {
        let (from, to) = (self.record.began, self.record.ended);
        self.history.frozen.iter().any(|(begin, end)| *begin <= to && from <= end + SLACK)
    }

    /// Judges responses that the application does not send.
    fn statuses(&self, talk: &Talk) -> Option<Verdict> {
        let odd = self
            .record
            .responses
            .iter()
            .enumerate()
            .find(|(_, response)| response.status != 200 || !response.numbered);
        let (place, response) = odd?;
        let broken = talk.breaks_at.is_some_and(|at| at <= place);
        let late = talk.late_from.is_some_and(|at| at <= place);
        let unread = place > 0 && is_early(&talk.asks[place - 1]);
        Some(self.odd_status(place, response, (broken, late, unread)))
    }

    /// Judges the responses of HTTP/2 that the application does not send, and how the connection ended.
    fn streams(&self) -> Verdict {
        let mut responses = self.record.responses.iter().enumerate();
        if let Some((place, odd)) = responses.find(|(_, one)| one.status != 200 || !one.numbered) {
            return self.odd_status(place, odd, (false, false, false));
        }
        let asked = self.record.asked.first().copied().filter(|at| *at > 0);
        match &self.record.end {
            End::Complete => Verdict::Good,
            End::Scripted => Verdict::Excused(Cause::ClientLeft),
            End::NotMade(_) => self.or_failed(self.not_running()),
            End::Closed | End::Broken(_) | End::Farewell(_) | End::Hang => {
                self.or_failed(self.servers_cause(asked))
            }
        }
    }

    /// Judges a response that the application did not send.
    fn odd_status(
        &self,
        place: usize,
        response: &Response,
        (broken, late, unread): (bool, bool, bool),
    ) -> Verdict {
        let stopped = |stop: &Stop| !stop.graceful && stop.at <= response.whole_at + SLACK;
        let cause = match response.status {
            400 if broken => Some(Cause::RulesBroken),
            408 if late => Some(Cause::TooSlow),
            500 if self.was_killed() => Some(Cause::WorkerKilled),
            // The application was cancelled, and had time to say so.
            500 if self.grace_over() => Some(Cause::GraceOver),
            500 if self.history.stops.iter().any(stopped) => Some(Cause::QuickStop),
            500 | 503 if self.had_few_descriptors() => Some(Cause::NoDescriptors),
            _ => None,
        };
        let whole = if unread { " (the body before was not read)" } else { "" };
        let owner = if response.numbered { "" } else { ", is the server's own" };
        let status = response.status;
        cause.map_or_else(
            || {
                Verdict::Failed(format!(
                    "response {place} has status {status}{owner}{whole} for no allowed cause"
                ))
            },
            Verdict::Excused,
        )
    }

    fn had_few_descriptors(&self) -> bool {
        let (from, to) = (self.record.began, self.record.ended);
        self.history.few_descriptors.iter().any(|(begin, end)| *begin <= to && from <= end + SLACK)
    }

    /// Why the connection ended with this request unanswered.
    fn ended_early(&self, talk: &Talk) -> Option<Cause> {
        // Nothing excuses that a client waits without end.
        if self.record.end == End::Hang {
            return None;
        }
        let place = self.record.responses.len();
        let nothing_came = self.record.partial.is_none();
        if nothing_came && self.record.responses.last().is_some_and(|response| response.closes) {
            return Some(Cause::SaidClose);
        }
        if talk.breaks_at.is_some_and(|at| at <= place) {
            return Some(Cause::RulesBroken);
        }
        if talk.deaf {
            return Some(Cause::TooSlow);
        }
        if nothing_came && talk.late_from.is_some_and(|at| at <= place) && self.was_late() {
            return Some(Cause::TooSlow);
        }
        if nothing_came && self.read_for_long(talk, place) {
            return Some(Cause::TooSlow);
        }
        if nothing_came && place > 0 && is_early(&talk.asks[place - 1]) {
            return Some(Cause::BodyUnread);
        }
        let asked = self.record.asked.get(place).copied().filter(|at| *at > 0);
        self.servers_cause(asked)
    }

    fn was_late(&self) -> bool {
        let since = self.record.heard.max(self.record.began);
        self.record.ended + SLACK >= since + self.header_limit()
    }

    /// The kernel had taken a whole response that the client read slowly: it was idle long before it asked again.
    fn read_for_long(&self, talk: &Talk, place: usize) -> bool {
        let before = place.checked_sub(1).and_then(|before| self.record.asked.get(before));
        let long = before.is_some_and(|asked| self.record.ended + SLACK >= asked + self.header_limit());
        long && !matches!(talk.reader, Reader::Fast)
    }

    fn header_limit(&self) -> u64 {
        if self.setup.interface == Interface::Native { 30_000 } else { millis(HEADER_LIMIT) }
    }

    /// Causes that do not depend on what the client did. `asked` is when its request was sent to its end.
    fn servers_cause(&self, asked: Option<u64>) -> Option<Cause> {
        if self.record.end == End::Hang {
            return None;
        }
        if self.was_killed() {
            return Some(Cause::WorkerKilled);
        }
        if let Some(cause) = self.history.stops.iter().find_map(|stop| self.stopped(stop, asked)) {
            return Some(cause);
        }
        if self.grace_over() {
            return Some(Cause::GraceOver);
        }
        if self.worker_told(asked) {
            return Some(Cause::WorkerStopped);
        }
        let (empty_from, empty_to) = self.history.emptied?;
        let within = self.record.ended + SLACK >= empty_from && self.record.began <= empty_to;
        let late = asked.is_none_or(|asked| asked + SLACK >= empty_from) && self.record.partial.is_none();
        (within && late).then_some(Cause::NoWorkers)
    }

    fn was_killed(&self) -> bool {
        let Record { port, began, ended, .. } = *self.record;
        let lost = port.is_some_and(|port| self.history.lost_with(port).is_some());
        lost || self.history.came_to_the_killed(port, began, ended)
    }

    fn worker_told(&self, asked: Option<u64>) -> bool {
        let told = match self.record.port {
            Some(port) => self.history.owner_told(port),
            None => self.history.told.iter().map(|(_, at)| *at).rfind(|at| *at <= self.record.ended),
        };
        // A client that reads late learns of it late.
        let closed = told.map(|told| (told + RESTS_ON).min(self.record.ended));
        let crossed = closed.is_some_and(|closed| asked.is_none_or(|asked| asked + SLACK >= closed));
        crossed && self.record.partial.is_none() && told.is_some_and(|told| told <= self.record.ended + SLACK)
    }

    fn stopped(&self, stop: &Stop, asked: Option<u64>) -> Option<Cause> {
        if self.record.ended + SLACK < stop.at || self.record.began > stop.serves_again {
            return None;
        }
        if !stop.graceful {
            return Some(Cause::QuickStop);
        }
        if asked.is_none_or(|asked| asked + SLACK >= stop.at) && self.record.partial.is_none() {
            return Some(Cause::Stopping);
        }
        (self.record.ended + SLACK >= stop.at + millis(GRACE)).then_some(Cause::GraceOver)
    }

    /// Its worker exited no sooner than it may when it was told to drain.
    fn grace_over(&self) -> bool {
        let gone = match self.record.port {
            Some(port) => self.history.owner_gone(port),
            None => self.history.gone.iter().map(|(_, at)| *at).rfind(|at| *at <= self.record.ended + SLACK),
        };
        // A client that reads late learns of it late.
        gone.is_some_and(|gone| {
            let mut since = self.history.drains.iter().copied().chain(self.retired());
            since.any(|drain| gone + SLACK >= drain + millis(GRACE))
        })
    }

    /// Workers that answered as many requests as they may drain at any time.
    fn retired(&self) -> Option<u64> {
        self.setup.max_requests.map(|_| 0)
    }

    fn not_running(&self) -> Option<Cause> {
        let (began, ended) = (self.record.began, self.record.ended);
        let stopped = self.history.stops.iter().any(|stop| stop.at <= ended && began <= stop.serves_again);
        stopped.then_some(Cause::NotRunning)
    }

    /// Why a WebSocket or a storm ended.
    fn socket_ended(&self) -> Option<Cause> {
        let history = self.history;
        match self.record.end {
            End::Farewell(1001 | 1012) => {
                let drains =
                    !history.drains.is_empty() || !history.stops.is_empty() || self.retired().is_some();
                let cause = drains.then_some(Cause::Farewell);
                cause.or_else(|| self.was_killed().then_some(Cause::WorkerKilled))
            }
            _ => self.servers_cause(Some(self.record.began)).or_else(|| {
                let stopping = history.stops.iter().any(|stop| self.record.ended + SLACK >= stop.at);
                (self.client.manner == "websocket" && stopping).then_some(Cause::Stopping)
            }),
        }
    }
}

/// The response may come before the body was read, and so end the connection.
fn is_early(ask: &Ask) -> bool {
    ask.early && ask.up > 0
}
