//! Draws what a client says on an HTTP connection, and how it listens.

use super::{Does, Interface, Reader, Step, Talk};
use crate::{
    ask::{Ask, Method, Part},
    dice::Dice,
    edge,
};

/// A response of this length is more than all buffers between the server and a client take.
pub(crate) const UNBUFFERED: usize = 8 << 20;

/// Draws talks; each request gets a number of its own.
pub(super) struct Author {
    numbers: u64,
    interface: Interface,
}

type Draw = fn(&mut Author, &mut Dice) -> Talk;

impl Author {
    pub(super) fn new(interface: Interface) -> Self {
        Self { numbers: 0, interface }
    }

    pub(super) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// A client of some manner.
    pub(super) fn talk(&mut self, dice: &mut Dice) -> (&'static str, Does) {
        let manners: [(u64, (&'static str, Draw)); 16] = [
            (20, ("polite", Self::polite)),
            (10, ("slow reader", Self::slow_reader)),
            (6, ("late reader", Self::late_reader)),
            (6, ("reader that stops", Self::stopping_reader)),
            (12, ("pipeline", Self::pipeline)),
            (6, ("long pipeline", Self::long_pipeline)),
            (8, ("slow sender", Self::slow_sender)),
            (2, ("too slow sender", Self::too_slow)),
            (2, ("long rest", Self::long_rest)),
            (2, ("body that stalls", Self::stalled_body)),
            (2, ("deaf reader", Self::deaf_reader)),
            (8, ("leaver", Self::leaver)),
            (6, ("half-closer", Self::half_closer)),
            (6, ("rule breaker", Self::rule_breaker)),
            (8, ("early response", Self::early)),
            (5, ("expects 100", Self::expects)),
        ];
        let (name, draw) = dice.weighted(&manners);
        (name, Does::Talk(draw(self, dice)))
    }

    /// A response of up to 50 MB.
    pub(super) fn huge(&mut self, dice: &mut Dice) -> (&'static str, Does) {
        let mut ask = Ask::new(self.number(), dice.size(16 << 20..=50 << 20));
        ask.pieces = 200;
        ask.declared = dice.chance(50);
        ("huge response", Does::Talk(Talk::simple(vec![ask], Reader::Fast)))
    }

    /// A request of any usual kind.
    pub(super) fn ask(&mut self, dice: &mut Dice) -> Ask {
        let mut ask = Ask::new(self.number(), dice.size(1..=200_000));
        ask.declared = dice.chance(60);
        ask.pieces = if dice.chance(40) { usize::try_from(dice.within(2..=12)).unwrap_or(2) } else { 0 };
        let longest = if self.interface == Interface::Wsgi { 20 } else { 150 };
        if dice.chance(15) {
            ask.wait = dice.within(1..=longest);
        }
        if dice.chance(4) {
            ask.block = dice.within(1..=100);
        }
        if dice.chance(10) && ask.pieces > 0 {
            ask.slow = dice.within(1..=longest / 4);
        }
        if dice.chance(6) {
            ask.background = dice.within(1..=longest * 3);
        }
        if dice.chance(10) {
            ask.padding = dice.size(100..=60_000);
        }
        match dice.within(0..=9) {
            0 => ask.method = Method::Head,
            1..=3 => {
                ask.method = Method::Post;
                ask.up = if dice.chance(10) { 0 } else { dice.size(1..=300_000) };
                ask.chunked = dice.chance(50);
                ask.slow_read = if dice.chance(20) { dice.within(1..=20) } else { 0 };
            }
            _ => {}
        }
        ask
    }

    fn asks(&mut self, dice: &mut Dice, most: u64) -> Vec<Ask> {
        (0..dice.within(1..=most)).map(|_| self.any(dice)).collect()
    }

    /// A request of any usual kind, or for a static file.
    fn any(&mut self, dice: &mut Dice) -> Ask {
        if dice.chance(20) { self.file(dice, 300_000) } else { self.ask(dice) }
    }

    /// A request for a static file of up to so many bytes, or for a part of one.
    pub(super) fn file(&mut self, dice: &mut Dice, most: usize) -> Ask {
        let fitting = edge::FILES.iter().filter(|size| **size <= most).count();
        let file = usize::try_from(dice.within(0..=fitting as u64 - 1)).unwrap_or_default();
        let size = edge::FILES[file];
        let ranges = size > 0 && dice.chance(40);
        let from = ranges.then(|| usize::try_from(dice.within(0..=size as u64 - 1)).unwrap_or_default());
        let down = from.map_or(size, |from| dice.size(1..=size - from));
        let mut ask = Ask::file(self.number(), Part { file, from }, down);
        ask.method = if !ranges && dice.chance(15) { Method::Head } else { Method::Get };
        ask
    }

    /// A response of about so many bytes, perhaps a file.
    fn large(&mut self, dice: &mut Dice, down: usize) -> Ask {
        if dice.chance(30) {
            let largest = edge::FILES.len() - 1;
            let file = (0..largest).find(|file| edge::FILES[*file] >= down).unwrap_or(largest);
            let part = Part { file, from: None };
            return Ask::file(self.number(), part, edge::FILES[file]);
        }
        let mut ask = Ask::new(self.number(), down);
        ask.declared = dice.chance(50);
        ask
    }

    fn polite(&mut self, dice: &mut Dice) -> Talk {
        let mut asks = self.asks(dice, 8);
        if let Some(ask) = asks.last_mut() {
            ask.last = dice.chance(30);
        }
        let mut talk = Talk::simple(asks, Reader::Fast);
        talk.steps = talk.steps.into_iter().flat_map(|step| rest(dice, step)).collect();
        talk
    }

    fn slow_reader(&mut self, dice: &mut Dice) -> Talk {
        let rate = dice.size(50_000..=4_000_000);
        let most = rate / 1000 * usize::try_from(dice.within(300..=3500)).unwrap_or(300);
        let mut ask = Ask::new(self.number(), most);
        ask.declared = dice.chance(50);
        ask.pieces = usize::try_from(dice.within(0..=20)).unwrap_or_default();
        let mut asks = vec![ask];
        if dice.chance(40) {
            asks.push(Ask::new(self.number(), dice.size(1..=10_000)));
        }
        Talk::simple(asks, Reader::Slow(rate))
    }

    fn late_reader(&mut self, dice: &mut Dice) -> Talk {
        let down = dice.size(10_000..=8_000_000);
        let ask = self.large(dice, down);
        Talk::simple(vec![ask], Reader::Late(dice.within(200..=3000)))
    }

    fn stopping_reader(&mut self, dice: &mut Dice) -> Talk {
        let down = dice.size(100_000..=8_000_000);
        let mut ask = self.large(dice, down);
        ask.pieces = usize::try_from(dice.within(0..=30)).unwrap_or_default();
        Talk::simple(vec![ask], Reader::Stops(dice.size(1..=down), dice.within(200..=3000)))
    }

    /// Some requests at once, and perhaps a half of another whose remainder follows.
    fn pipeline(&mut self, dice: &mut Dice) -> Talk {
        let asks = self.asks(dice, 6);
        let mut steps = Vec::new();
        for place in 0..asks.len() {
            steps.extend(whole(&asks, place));
        }
        let mut talk = Talk::new(asks, steps, draw_reader(dice));
        if dice.chance(50) {
            let half = self.any(dice);
            let (place, head) = (talk.asks.len(), half.head().len());
            let cut = dice.size(1..=head - 1);
            talk.asks.push(half);
            talk.steps.push(Step::HeadPart(place, 0, cut));
            talk.steps.push(Step::Pause(dice.within(0..=1000)));
            talk.steps.push(Step::HeadPart(place, cut, head));
            talk.steps.extend(body(&talk.asks, place));
        }
        talk
    }

    /// Many small requests at once whose responses are read later.
    fn long_pipeline(&mut self, dice: &mut Dice) -> Talk {
        let count = dice.size(50..=2_000);
        let longest = 2_000_000 / count;
        let asks: Vec<Ask> =
            (0..count).map(|_| Ask::new(self.number(), dice.size(1..=longest.min(3_000)))).collect();
        let steps = (0..count).map(Step::Head).collect();
        Talk::new(asks, steps, Reader::Late(dice.within(0..=2500)))
    }

    fn slow_sender(&mut self, dice: &mut Dice) -> Talk {
        let mut ask = self.ask(dice);
        ask.padding = 0;
        (ask.method, ask.up, ask.slow_read) = (Method::Post, dice.size(1..=100_000), 0);
        let mut talk = Talk::new(vec![ask], Vec::new(), Reader::Fast);
        let (head, up) = (talk.asks[0].head().len(), talk.asks[0].up);
        let parts = dice.within(2..=12);
        talk.steps.push(Step::Pace(head / 6 + 1, dice.within(1..=120)));
        talk.steps.push(Step::Head(0));
        talk.steps
            .push(Step::Pace(up / usize::try_from(parts).unwrap_or(2) + 1, dice.within(1..=2400 / parts)));
        talk.steps.extend(body(&talk.asks, 0));
        talk
    }

    /// A head that takes longer than the server waits.
    fn too_slow(&mut self, dice: &mut Dice) -> Talk {
        let ask = Ask::new(self.number(), 10);
        let head = ask.head().len();
        let mut talk = Talk::new(vec![ask], Vec::new(), Reader::Fast);
        let middle = dice.size(1..=head - 1);
        talk.steps = vec![Step::HeadPart(0, 0, middle), Step::Pause(7_000), Step::HeadPart(0, middle, head)];
        talk.late_from = Some(0);
        talk
    }

    /// A body of which nothing comes for longer than the server waits.
    fn stalled_body(&mut self, dice: &mut Dice) -> Talk {
        let mut ask = self.ask(dice);
        (ask.method, ask.up) = (Method::Post, dice.size(2..=100_000));
        let (up, middle) = (ask.up, dice.size(1..=ask.up - 1));
        let mut talk = Talk::new(vec![ask], Vec::new(), Reader::Fast);
        talk.steps =
            vec![Step::Head(0), Step::Body(0, 0, middle), Step::Pause(8_000), Step::Body(0, middle, up)];
        talk.late_from = Some(0);
        talk
    }

    /// Idle after a response, with the next request begun when it goes on.
    pub(super) fn rester(&mut self, dice: &mut Dice) -> Talk {
        let (first, mut second) = (Ask::new(self.number(), 100), Ask::new(self.number(), 1_000));
        second.padding = if dice.chance(40) { dice.size(9_000..=40_000) } else { 0 };
        let head = second.head().len();
        let cut = usize::try_from(dice.within(head as u64 / 2..=head as u64 - 1)).unwrap_or(1);
        let mut talk = Talk::new(vec![first, second], Vec::new(), Reader::Fast);
        talk.steps = vec![Step::Head(0), Step::Await(1)];
        talk.steps.push(Step::Pause(dice.within(0..=600)));
        talk.steps.push(Step::HeadPart(1, 0, cut));
        talk.steps.push(Step::Pause(dice.within(600..=1_800)));
        talk.steps.extend([Step::HeadPart(1, cut, head), Step::Await(2)]);
        talk
    }

    /// Reads nothing for longer than the server waits.
    fn deaf_reader(&mut self, dice: &mut Dice) -> Talk {
        let small = if dice.chance(50) { 1_000 } else { UNBUFFERED };
        let down = dice.size(small..=12_000_000);
        let ask = self.large(dice, down);
        let mut talk = Talk::simple(vec![ask], Reader::Late(12_000));
        talk.deaf = true;
        talk
    }

    /// A pause between requests that is longer than the server keeps connections.
    fn long_rest(&mut self, dice: &mut Dice) -> Talk {
        let asks = vec![self.any(dice), self.any(dice)];
        let mut steps = whole(&asks, 0);
        steps.extend([Step::Await(1), Step::Pause(dice.within(6_000..=8_000))]);
        steps.extend(whole(&asks, 1));
        let mut talk = Talk::new(asks, steps, Reader::Fast);
        talk.late_from = Some(1);
        talk
    }

    /// Leaves somewhere: in the head, in the body, before the response, within it.
    fn leaver(&mut self, dice: &mut Dice) -> Talk {
        let mut ask = self.ask(dice);
        let (head, up) = (ask.head().len(), ask.up);
        let mut steps = match dice.within(0..=3) {
            0 => vec![Step::HeadPart(0, 0, dice.size(1..=head - 1))],
            1 if up > 1 => vec![Step::Head(0), Step::Body(0, 0, dice.size(1..=up - 1))],
            2 => {
                ask.down = dice.size(10_000..=4_000_000);
                vec![Step::AwaitBytes(dice.size(1..=5_000))]
            }
            _ => Vec::new(),
        };
        if matches!(steps.first(), None | Some(Step::AwaitBytes(_))) {
            steps.splice(0..0, whole(&[ask.clone()], 0));
        }
        if dice.chance(60) {
            steps.push(Step::Pause(dice.within(1..=1500)));
        }
        steps.push(if dice.chance(50) { Step::Close } else { Step::Reset });
        Talk::new(vec![ask], steps, Reader::Fast)
    }

    /// Says that it sends no more: after its request, or within the body.
    fn half_closer(&mut self, dice: &mut Dice) -> Talk {
        let ask = self.any(dice);
        let up = ask.up;
        let mut talk = Talk::new(vec![ask], Vec::new(), Reader::Fast);
        if up > 1 && dice.chance(50) {
            talk.steps = vec![Step::Head(0), Step::Body(0, 0, dice.size(1..=up - 1))];
            talk.breaks_at = Some(0);
        } else {
            talk.steps = whole(&talk.asks, 0);
        }
        talk.steps.push(Step::HalfClose);
        talk
    }

    fn rule_breaker(&mut self, dice: &mut Dice) -> Talk {
        let mut ask = self.ask(dice);
        (ask.method, ask.chunked, ask.up) = (Method::Post, true, dice.size(2..=50_000));
        let middle = dice.size(1..=ask.up - 1);
        let good = self.any(dice);
        let mut talk = Talk::new(vec![good, ask], Vec::new(), Reader::Fast);
        talk.steps = whole(&talk.asks, 0);
        talk.steps.push(Step::Await(1));
        talk.steps.extend(match dice.within(0..=2) {
            0 => vec![Step::Head(1), Step::Body(1, 0, middle), Step::Raw("zz\r\nno chunk\r\n")],
            1 => vec![Step::Head(1), Step::Raw("ffffffffffffffffff1\r\n")],
            _ => vec![Step::Raw("GET /t HTTP/1.1\r\nhost : x\r\n\r\n")],
        });
        talk.breaks_at = Some(1);
        talk
    }

    /// The response comes before the body was read; another request follows.
    fn early(&mut self, dice: &mut Dice) -> Talk {
        let mut ask = self.ask(dice);
        (ask.method, ask.early, ask.up) = (Method::Post, true, dice.size(1..=3_000_000));
        let (up, next) = (ask.up, self.any(dice));
        // How the server handles the remainder must not truncate what it has not sent to a client that reads late.
        let late = dice.chance(50);
        let reader = if late { Reader::Late(dice.within(200..=1_500)) } else { Reader::Fast };
        ask.down = if late { dice.size(60_000..=1_500_000) } else { ask.down };
        let mut talk = Talk::new(vec![ask, next], Vec::new(), reader);
        let begin = dice.size(1..=up);
        talk.steps = vec![Step::Head(0), Step::Body(0, 0, begin)];
        if begin < up {
            let waits = dice.chance(50);
            talk.steps.push(if waits { Step::Await(1) } else { Step::Pause(dice.within(1..=800)) });
            // Bodies are read before a WSGI application is called: a client that waits for the response first waits without end.
            let whole_first = matches!(self.interface, Interface::Wsgi | Interface::WsgiThreads);
            talk.late_from = (waits && whole_first).then_some(0);
            talk.steps.push(Step::Body(0, begin, up));
        }
        talk.steps.push(Step::Await(1));
        talk.steps.extend(whole(&talk.asks, 1));
        talk
    }

    fn expects(&mut self, dice: &mut Dice) -> Talk {
        let mut ask = self.ask(dice);
        (ask.method, ask.expects, ask.up) = (Method::Post, true, dice.size(1..=200_000));
        let mut talk = Talk::new(vec![ask], vec![Step::Head(0)], Reader::Fast);
        if dice.chance(70) {
            talk.steps.push(Step::AwaitContinue(1_000));
        }
        talk.steps.extend(body(&talk.asks, 0));
        talk
    }
}

impl Talk {
    fn new(asks: Vec<Ask>, steps: Vec<Step>, reader: Reader) -> Self {
        Self { asks, steps, reader, breaks_at: None, late_from: None, deaf: false }
    }

    /// One request after the other.
    pub(crate) fn simple(asks: Vec<Ask>, reader: Reader) -> Self {
        let mut steps = Vec::new();
        for place in 0..asks.len() {
            steps.extend(whole(&asks, place));
            steps.push(Step::Await(place + 1));
        }
        Self::new(asks, steps, reader)
    }
}

fn whole(asks: &[Ask], place: usize) -> Vec<Step> {
    let mut steps = vec![Step::Head(place)];
    steps.extend(body(asks, place));
    steps
}

/// The body's steps; large ones in parts.
fn body(asks: &[Ask], place: usize) -> Vec<Step> {
    let ask = &asks[place];
    if ask.method != Method::Post {
        return Vec::new();
    }
    if ask.up == 0 {
        return vec![Step::Body(place, 0, 0)];
    }
    (0..ask.up).step_by(50_000).map(|at| Step::Body(place, at, ask.up.min(at + 50_000))).collect()
}

/// Is idle after a response now and then.
fn rest(dice: &mut Dice, step: Step) -> Vec<Step> {
    let rests = matches!(step, Step::Await(_)) && dice.chance(40);
    let pause = rests.then(|| Step::Pause(dice.within(1..=1300)));
    [Some(step), pause].into_iter().flatten().collect()
}

fn draw_reader(dice: &mut Dice) -> Reader {
    match dice.within(0..=2) {
        0 => Reader::Late(dice.within(1..=2000)),
        1 => Reader::Slow(dice.size(300_000..=4_000_000)),
        _ => Reader::Fast,
    }
}
