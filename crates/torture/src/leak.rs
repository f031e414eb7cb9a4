//! A round for leaks of memory, which are too small to show among the large bodies of other rounds: the same few clients
//! again and again, on one worker, whose memory must stop growing.

use crate::{
    Environment,
    ask::{Ask, Method},
    audit,
    client::{self, Addresses},
    clock::Clock,
    plan::{Client, Does, Interface, Manner, Reader, Setup, Socket, Step, Stream, Streams, Talk, Way},
    proc::{self, Role},
    round::{self, Failure, Outcome},
    server::Server,
};
use anyhow::Result;
use nix::sys::signal::Signal;
use std::thread;

/// Waves of clients until allocators and caches have what they keep.
const WARM_UP: usize = 20;
/// Memory is looked at after each of so many batches.
const BATCHES: usize = 5;
const WAVES_OF_A_BATCH: usize = 20;
/// A leak has the worker grow by this much in all, in KiB: some 400 bytes for each client.
const LEAK_KIB: u64 = 2 << 10;
/// And in several batches by this much, in KiB, for allocators grow in steps of up to 2 MiB.
const STEP_KIB: u64 = 128;

/// Clients of a wave.
const CLIENTS: usize = 48;

const HANDSHAKE: &str = "GET /ws HTTP/1.1\r\nhost: torture\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
                         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Plays it. The line says how the worker's memory went.
pub(crate) fn play(interface: Interface, environment: &Environment) -> Result<(String, Outcome)> {
    let dir = tempfile::tempdir()?;
    let setup = Setup::plain(interface);
    let server = Server::start(&setup, environment, dir.path(), round::name())?;
    let clock = Clock::start();
    waves(interface, &server.addresses, 0..WARM_UP, clock);
    let before = audit::inventory(&server);
    let mut sizes = vec![memory(&server)];
    let mut left = Vec::new();
    for batch in 1..=BATCHES {
        let first = WARM_UP + batch * WAVES_OF_A_BATCH;
        waves(interface, &server.addresses, first..first + WAVES_OF_A_BATCH, clock);
        left.extend(audit::settle(&server, &before));
        sizes.push(memory(&server));
    }
    let mut outcome = Outcome { millis: clock.now(), ..Outcome::default() };
    let what = left.into_iter().map(|what| format!("left over: {what}"));
    let what = what.chain(leak(&sizes)).chain(server.stop(Signal::SIGTERM));
    outcome.failures.extend(what.map(|what| Failure { client: None, what }));
    outcome.log = server.log.tail(20);
    let line = format!("leaks, {}: a worker had {sizes:?} KiB", interface.name());
    Ok((line, outcome))
}

fn leak(sizes: &[u64]) -> Option<String> {
    let steps = sizes.windows(2).filter(|pair| pair[1] >= pair[0] + STEP_KIB).count();
    let last = *sizes.last()?;
    let grown = last.saturating_sub(*sizes.first()?);
    // Threads that warm up grow at first, and less and less.
    let grown_lately = last.saturating_sub(*sizes.get(sizes.len() / 2 - 1)?);
    (steps >= 2 && grown >= LEAK_KIB && grown_lately >= LEAK_KIB / 2)
        .then(|| format!("a worker's memory grows from batch to batch of the same clients: {sizes:?} KiB"))
}

fn memory(server: &Server) -> u64 {
    server.with_role(Role::Worker).iter().map(|worker| proc::belongings(*worker).memory).sum()
}

fn waves(interface: Interface, addresses: &Addresses, numbers: std::ops::Range<usize>, clock: Clock) {
    for wave in numbers {
        thread::scope(|scope| {
            for place in 0..CLIENTS {
                let number = (wave * CLIENTS + place) as u64;
                let does = script(interface, place, number);
                let way = way(interface, place, &does);
                let client = Client { id: place, begins: 0, way, manner: "leak", does };
                scope.spawn(move || client::run(&client, addresses, clock));
            }
        });
    }
}

/// A third of those that can are over TLS.
fn way(interface: Interface, place: usize, does: &Does) -> Way {
    let can = interface != Interface::Native && !matches!(does, Does::WebSocket(_));
    if can && place % 3 == 1 { Way::Tls } else { Way::Tcp }
}

/// What a client does: well, or leaves in the middle of something.
fn script(interface: Interface, place: usize, number: u64) -> Does {
    let speaks_websocket = matches!(interface, Interface::Asgi | Interface::Rsgi);
    let ways = if speaks_websocket { 7 } else { 5 };
    let mut ask = Ask::new(number, 3_000);
    let leaves = |ask: Ask, steps: Vec<Step>, reader| {
        let mut talk = Talk::simple(vec![ask], reader);
        talk.steps = steps;
        talk
    };
    Does::Talk(match place % ways {
        0 => Talk::simple(vec![ask], Reader::Fast),
        1 => {
            (ask.method, ask.up, ask.chunked) = (Method::Post, 5_000, place.is_multiple_of(2));
            Talk::simple(vec![ask], Reader::Fast)
        }
        2 => {
            (ask.method, ask.up) = (Method::Post, 40_000);
            leaves(ask, vec![Step::Head(0), Step::Body(0, 0, 20_000), Step::Reset], Reader::Fast)
        }
        3 => {
            (ask.down, ask.pieces) = (100_000, 10);
            leaves(ask, vec![Step::Head(0), Step::AwaitBytes(1_000), Step::Reset], Reader::Fast)
        }
        4 => return streams(number),
        5 => {
            let leaves = place.is_multiple_of(5);
            let messages = vec![100, 5_000];
            return Does::WebSocket(Socket { number, messages, at_once: false, pause: 0, leaves });
        }
        _ => leaves(ask, vec![Step::Raw(HANDSHAKE), Step::Reset], Reader::Fast),
    })
}

/// Streams of HTTP/2, one of which is reset.
fn streams(number: u64) -> Does {
    let plain = Stream { ask: Ask::new(number, 3_000), manner: Manner::Plain };
    let mut ask = Ask::new(number, 100_000);
    (ask.pieces, ask.slow) = (10, 1);
    let streams = vec![plain.clone(), Stream { ask, manner: Manner::Resets(3) }, plain];
    Does::Streams(Streams { streams, at_once: 2, rest: 0, window: 65_535, leaves: false })
}

#[cfg(test)]
mod tests {
    use super::leak;

    #[test]
    fn growth_in_several_batches_is_a_leak() {
        assert!(leak(&[19_896, 19_956, 21_996, 22_004, 24_052, 24_056]).is_some());
        assert!(leak(&[19_348, 19_340, 20_764, 21_292, 23_224, 23_660]).is_some());
        assert!(leak(&[20_000, 20_000, 22_500, 22_500, 22_500, 22_400]).is_none());
        assert!(leak(&[25_620, 25_992, 25_960, 25_944, 26_524, 26_540]).is_none());
        assert!(leak(&[23_216, 24_316, 25_044, 25_376, 25_396, 25_568]).is_none());
    }
}
