//! Draws what happens to the server.

use super::{Act, Event, Setup, Target};
use crate::dice::Dice;
use nix::sys::signal::Signal::{
    self, SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SIGWINCH,
};

/// Signals that a worker or a mold must not mind.
const IGNORED: [Signal; 5] = [SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU, SIGWINCH];

#[derive(Clone, Copy)]
enum Kind {
    Reload,
    Upgrade,
    UpgradeDies,
    UpgradeStopped,
    MastersOther,
    WorkerStops,
    WorkerIgnores,
    KillWorker,
    Mold,
    Freeze,
    Descriptors,
    Restart,
    NoWorkers,
    Log,
    Certificate,
}

/// Events within so many milliseconds.
pub(super) fn draw(dice: &mut Dice, setup: &Setup, length: u64) -> Vec<Event> {
    let mut events = Vec::new();
    let count = dice.within(2..=10);
    let mut restarts = 0;
    while (events.len() as u64) < count {
        let at = dice.within(200..=length);
        let kind = dice.weighted(&[
            (6, Kind::Reload),
            (2, Kind::Upgrade),
            (1, Kind::UpgradeDies),
            (2, Kind::UpgradeStopped),
            (3, Kind::MastersOther),
            (4, Kind::WorkerStops),
            (3, Kind::WorkerIgnores),
            (4, Kind::KillWorker),
            (3, Kind::Mold),
            (4, Kind::Freeze),
            (3, Kind::Descriptors),
            (2, Kind::Restart),
            (1, Kind::NoWorkers),
            (2, Kind::Log),
            (3, Kind::Certificate),
        ]);
        if matches!(kind, Kind::Restart | Kind::NoWorkers | Kind::UpgradeStopped | Kind::UpgradeDies) {
            restarts += 1;
            if restarts > 1 {
                continue;
            }
        }
        draw_one(dice, setup, kind, at, &mut events);
    }
    events.sort_by_key(|event| event.at);
    events
}

fn draw_one(dice: &mut Dice, setup: &Setup, kind: Kind, at: u64, events: &mut Vec<Event>) {
    let worker = Target::Worker(usize::try_from(dice.within(0..=7)).unwrap_or_default());
    let anybody =
        dice.weighted(&[(1, Target::Master), (1, Target::Mold), (1, Target::Successor), (3, worker)]);
    let mut push = |at, act| events.push(Event { at, act });
    match kind {
        Kind::Reload => push(at, Act::Signal(Target::Master, SIGHUP)),
        Kind::Upgrade => push(at, Act::Signal(Target::Master, SIGUSR2)),
        Kind::UpgradeDies => push(at, Act::UpgradeDies),
        Kind::UpgradeStopped => {
            push(at, Act::Signal(Target::Master, SIGUSR2));
            push(at + dice.within(10..=400), Act::Restart(SIGTERM));
        }
        Kind::MastersOther => {
            push(at, Act::Signal(Target::Master, dice.weighted(&[(1, SIGUSR1), (2, SIGTTIN), (2, SIGTTOU)])))
        }
        Kind::WorkerStops => {
            push(at, Act::Signal(worker, dice.weighted(&[(3, SIGTERM), (1, SIGINT), (1, SIGQUIT)])))
        }
        Kind::WorkerIgnores => {
            let index = usize::try_from(dice.within(0..=4)).unwrap_or_default();
            let whom = dice.weighted(&[(3, worker), (1, Target::Mold)]);
            push(at, Act::Signal(whom, IGNORED[index]));
        }
        Kind::KillWorker => push(at, Act::Signal(worker, SIGKILL)),
        Kind::Mold => {
            let signal = dice.weighted(&[(2, SIGKILL), (1, SIGTERM), (1, SIGHUP), (1, SIGQUIT)]);
            push(at, Act::Signal(Target::Mold, signal));
        }
        Kind::Freeze => push(at, Act::Freeze(anybody, dice.within(50..=1200))),
        Kind::Descriptors => {
            push(at, Act::FewDescriptors(anybody, dice.within(0..=3), dice.within(200..=1200)))
        }
        Kind::Restart => push(at, Act::Restart(dice.weighted(&[(4, SIGTERM), (1, SIGINT), (1, SIGQUIT)]))),
        Kind::NoWorkers => {
            push(at, Act::Signal(Target::Master, SIGWINCH));
            push(at + dice.within(100..=600), Act::Signal(Target::Master, SIGHUP));
        }
        Kind::Certificate => {
            let bad = Act::BadCertificate(dice.within(200..=2000));
            push(at, if dice.chance(70) { Act::Renewal } else { bad });
        }
        Kind::Log if setup.full_disk => {}
        Kind::Log => {
            let stuck = Act::LogStuck(dice.within(300..=1500));
            push(at, if dice.chance(50) { stuck } else { Act::LogDead });
        }
    }
}

/// A reload while neither the workers that leave nor those that come have descriptors left.
pub(super) fn crowded_reload(dice: &mut Dice, at: u64, events: &mut Vec<Event>) {
    let mut push = |at, act| events.push(Event { at, act });
    if dice.chance(70) {
        (0..3).for_each(|number| push(at, Act::FewDescriptors(Target::Worker(number), 0, 700)));
    }
    if dice.chance(70) {
        // New processes inherit it.
        push(at, Act::FewDescriptors(Target::Master, dice.within(8..=14), 900));
    }
    push(at + 60, Act::Signal(Target::Master, SIGHUP));
}
