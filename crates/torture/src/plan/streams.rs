//! Draws what a client of HTTP/2 asks for, and how it treats its streams.

use super::{Does, Manner, Stream, Streams, talks::Author};
use crate::{ask::Method, dice::Dice};

/// The longest body that a client reads or sends slowly.
const SLOW: usize = 400_000;

impl Author {
    /// A client of HTTP/2.
    pub(super) fn streams(&mut self, dice: &mut Dice) -> (&'static str, Does) {
        let count = dice.within(1..=16);
        let streams = (0..count).map(|_| self.stream(dice)).collect();
        let script = Streams {
            streams,
            at_once: usize::try_from(dice.within(1..=8)).unwrap_or(1),
            rest: if dice.chance(40) { dice.within(1..=1300) } else { 0 },
            window: dice.weighted(&[(2, 65_535), (1, 16_384), (1, 1 << 20)]),
            leaves: dice.chance(8),
        };
        ("streams", Does::Streams(script))
    }

    fn stream(&mut self, dice: &mut Dice) -> Stream {
        if dice.chance(6) {
            let most = 12_000_000;
            return Stream { ask: self.file(dice, most), manner: Manner::Plain };
        }
        let file = dice.chance(20);
        let mut ask = if file { self.file(dice, SLOW) } else { self.ask(dice) };
        // A connection is for all of its streams.
        ask.last = false;
        ask.padding = ask.padding.min(10_000);
        ask.early = !file && ask.method == Method::Post && dice.chance(15);
        let post = ask.method == Method::Post;
        let manner = match dice.within(0..=19) {
            0..=1 => Manner::Reads(dice.size(150_000..=4_000_000)),
            2..=3 if post => Manner::Sends(ask.up / 8 + 1, dice.within(1..=200)),
            4 if post && ask.up > 1 && dice.chance(40) => Manner::Stalls,
            5..=6 => Manner::Resets(dice.within(0..=300)),
            _ => Manner::Plain,
        };
        Stream { ask, manner }
    }
}
