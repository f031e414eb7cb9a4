//! A round for leaks of memory, which are too small to show among the large bodies of other rounds: the same few clients
//! again and again, on one worker, whose memory must stop growing.

use crate::{
    Environment,
    ask::{Ask, Method},
    audit,
    client::{self, Addresses},
    clock::Clock,
    plan::{Client, Does, Interface, Reader, Setup, Socket, Step, Talk},
    proc::{self, Role},
    round::{self, Failure, Outcome},
    server::Server,
};
use anyhow::Result;
use nix::sys::signal::Signal;
use std::thread;

/// Waves of clients until allocators and caches have what they keep.
const WARM_UP: usize = 6;
/// Memory is looked at after each of so many batches.
const BATCHES: usize = 5;
const WAVES_OF_A_BATCH: usize = 4;
/// A leak has the worker grow by this much, in KiB, in every batch. What is kept for later grows in some.
const GROWS: u64 = 64;

/// Clients of a wave.
const CLIENTS: usize = 40;

const HANDSHAKE: &str = "GET /ws HTTP/1.1\r\nhost: torture\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
                         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Plays it. The line says how the worker's memory went.
pub(crate) fn play(interface: Interface, environment: &Environment) -> Result<(String, Outcome)> {
    let dir = tempfile::tempdir()?;
    let setup = Setup {
        interface,
        workers: 1,
        per_worker_queues: false,
        preload: false,
        gathers_pipelines: false,
        max_requests: None,
        full_disk: false,
        talkative: false,
    };
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
    let grows = sizes.windows(2).all(|pair| pair[1] >= pair[0] + GROWS);
    grows.then(|| format!("a worker's memory grows with each batch of clients: {sizes:?} KiB"))
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
                let unix = speaks_websocket(interface) && place % 8 > 4;
                let client = Client { id: place, begins: 0, unix, manner: "leak", does };
                scope.spawn(move || client::run(&client, addresses, clock));
            }
        });
    }
}

fn speaks_websocket(interface: Interface) -> bool {
    matches!(interface, Interface::Asgi | Interface::Rsgi)
}

/// What a client does: well, or leaves in the middle of something.
fn script(interface: Interface, place: usize, number: u64) -> Does {
    let ways = if speaks_websocket(interface) { 8 } else { 4 };
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
            (ask.method, ask.up) = (Method::Post, 100_000);
            leaves(ask, vec![Step::Head(0), Step::Body(0, 0, 20_000), Step::Reset], Reader::Fast)
        }
        3 => {
            (ask.down, ask.pieces) = (500_000, 10);
            leaves(ask, vec![Step::Head(0), Step::AwaitBytes(1_000), Step::Reset], Reader::Fast)
        }
        4 => {
            let leaves = place % 16 == 4;
            return Does::WebSocket(Socket {
                number,
                messages: vec![100, 5_000],
                at_once: false,
                pause: 0,
                leaves,
            });
        }
        // A handshake behind a response that is not read, on a Unix socket, of which the kernel takes some 200 KB: for
        // some lengths a part of the response and all of the 101 wait in the server.
        _ => {
            ask.down = 200_000 + 12_000 * place;
            let steps = vec![Step::Head(0), Step::Raw(HANDSHAKE), Step::Pause(300), Step::Reset];
            leaves(ask, steps, Reader::Late(10_000))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::leak;

    #[test]
    fn only_growth_in_every_batch_is_a_leak() {
        assert!(leak(&[20_000, 20_100, 20_200, 20_300]).is_some());
        assert!(leak(&[20_000, 25_000, 25_000, 25_100]).is_none());
        assert!(leak(&[20_000, 19_000, 20_000, 21_000]).is_none());
    }
}
