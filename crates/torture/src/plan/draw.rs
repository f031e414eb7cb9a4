//! Draws a plan from a seed.

use super::{
    Blocker, Client, Does, Event, Interface, Plan, Setup, Socket, Upgrade, Way, misfortune, talks::Author,
};
use crate::{
    ask::{Ask, Method},
    dice::Dice,
};

/// How long clients and events may begin, in milliseconds.
const LENGTH: u64 = 4_000;
/// How many clients a round has.
const CLIENTS: usize = 70;
/// How many more have idle connections at a reload.
const CROWD: usize = 40;

/// The plan of this seed, the same every time.
pub(crate) fn draw(seed: u64, interface: Interface) -> Plan {
    let mut dice = Dice::new(seed);
    let setup = draw_setup(&mut dice, interface);
    let mut events = misfortune::draw(&mut dice, &setup, LENGTH);
    let mut author = Author::new(interface);
    let mut clients: Vec<Client> =
        (0..CLIENTS).map(|id| draw_client(&mut dice, &mut author, id, &setup)).collect();
    if dice.chance(50) {
        clients.extend(draw_crowd(&mut dice, &mut author, &mut events, &setup));
        events.sort_by_key(|event| event.at);
    }
    Plan { seed, setup, clients, events }
}

/// Connections that are idle, or have begun a request, while the workers that are to take them over have few descriptors.
fn draw_crowd(dice: &mut Dice, author: &mut Author, events: &mut Vec<Event>, setup: &Setup) -> Vec<Client> {
    let at = dice.within(1_000..=LENGTH);
    misfortune::crowded_reload(dice, at, events);
    let crowd = CLIENTS..CLIENTS + CROWD;
    let draw = |id| {
        let begins = at - dice.within(600..=900);
        let way = draw_way(dice, setup);
        let does = Does::Talk(author.rester(dice));
        Client { id, begins, way, manner: "rester", does }
    };
    crowd.map(draw).collect()
}

fn draw_setup(dice: &mut Dice, interface: Interface) -> Setup {
    let python = interface != Interface::Native;
    Setup {
        interface,
        workers: usize::try_from(dice.within(1..=3)).unwrap_or(2),
        per_worker_queues: python && dice.chance(25),
        preload: python && dice.chance(25),
        gathers_pipelines: python && dice.chance(25),
        max_requests: (python && dice.chance(30)).then(|| dice.within(40..=400)),
        full_disk: python && dice.chance(10),
        talkative: python && dice.chance(25),
        only_tls: !python && dice.chance(50),
        tasks: false,
        companions: false,
    }
}

/// A native service has one listener, with TLS or without.
fn draw_way(dice: &mut Dice, setup: &Setup) -> Way {
    match (setup.interface, setup.only_tls) {
        (Interface::Native, true) => Way::Tls,
        (Interface::Native, false) => Way::Tcp,
        _ => dice.weighted(&[(5, Way::Tcp), (2, Way::Unix), (3, Way::Tls)]),
    }
}

fn draw_client(dice: &mut Dice, author: &mut Author, id: usize, setup: &Setup) -> Client {
    let begins = dice.within(0..=LENGTH);
    let mut way = draw_way(dice, setup);
    let native = setup.interface == Interface::Native && !setup.only_tls;
    let speaks_websocket = matches!(setup.interface, Interface::Asgi | Interface::Rsgi);
    // The first ones are there to be sure of them.
    let (manner, does) = match id {
        0 => ("storm", Does::Storm(1_000)),
        1 if dice.chance(40) => author.huge(dice),
        2 if !setup.only_tls && dice.chance(60) => ("blocker", Does::Blocker(draw_blocker(author))),
        _ if speaks_websocket && dice.chance(8) => ("websocket", Does::WebSocket(draw_socket(dice, author))),
        _ if native && dice.chance(15) => ("upgrade", Does::Upgrade(draw_upgrade(dice, author))),
        _ if dice.chance(30) => author.streams(dice),
        _ => author.talk(dice),
    };
    // These speak to the server without TLS.
    if way == Way::Tls && matches!(does, Does::WebSocket(_) | Does::Blocker(_)) {
        way = Way::Tcp;
    }
    Client { id, begins, way, manner, does }
}

fn draw_blocker(author: &mut Author) -> Blocker {
    let connections = 9;
    let number = author.number();
    // One request to attribute the connection, one to be observed, and one that blocks first.
    (0..2 * connections).for_each(|_| {
        author.number();
    });
    Blocker { number, connections, block: 900 }
}

fn draw_socket(dice: &mut Dice, author: &mut Author) -> Socket {
    let at_once = dice.chance(50);
    let longest = if at_once { 4_000 } else { 300_000 };
    let count = dice.within(1..=12);
    Socket {
        number: author.number(),
        messages: (0..count).map(|_| dice.size(1..=longest)).collect(),
        at_once,
        pause: dice.within(0..=300),
        leaves: dice.chance(25),
    }
}

fn draw_upgrade(dice: &mut Dice, author: &mut Author) -> Upgrade {
    let count = dice.within(1..=10);
    let pieces: Vec<usize> = (0..count).map(|_| dice.size(1..=100_000)).collect();
    let content = dice.chance(50);
    let up = if content { dice.size(1..=300_000) } else { 0 };
    let ask = Ask {
        method: if content { Method::Post } else { Method::Get },
        up,
        chunked: dice.chance(50),
        early: dice.chance(70),
        echoed: pieces.iter().sum(),
        ..Ask::new(author.number(), dice.size(0..=2_000_000))
    };
    Upgrade {
        ask,
        pieces,
        pause: dice.within(0..=100),
        rate: dice.chance(40).then(|| dice.within(100_000..=1_000_000)),
        leaves: dice.chance(20),
    }
}
