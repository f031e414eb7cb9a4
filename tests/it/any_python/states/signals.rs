//! Signals to the master in each state, alone and in pairs.

use super::{Scene, State, state_file};
use nix::sys::signal::Signal;
use std::fs;

const SIGNALS: [Signal; 10] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGHUP,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
    Signal::SIGWINCH,
    Signal::SIGCHLD,
];

fn signals_in(state: State) {
    for signal in SIGNALS {
        let what = format!("{signal} while {state:?}");
        let mut scene = Scene::set(state, &format!("signals-{state:?}"));
        scene.server.signal(signal);
        let stops = matches!(signal, Signal::SIGTERM | Signal::SIGINT | Signal::SIGQUIT);
        let served = !stops
            && signal != Signal::SIGWINCH
            && !matches!(state, State::HungBoot | State::HungReload | State::Draining);
        if served {
            assert!(scene.is_served(&what), "{what}: it ended\n{}", scene.server.log());
        }
        scene.ends(&what);
    }
}

#[test]
fn signals_while_booting() {
    signals_in(State::Booting);
}

#[test]
fn signals_while_a_boot_hangs() {
    signals_in(State::HungBoot);
}

#[test]
fn signals_while_serving() {
    signals_in(State::Serving);
}

#[test]
fn signals_while_reloading() {
    signals_in(State::Reloading);
}

#[test]
fn signals_while_a_reload_hangs() {
    signals_in(State::HungReload);
}

#[test]
fn signals_while_upgrading() {
    signals_in(State::Upgrading);
}

#[test]
fn signals_while_draining() {
    signals_in(State::Draining);
}

/// One signal after the other, or in the same moment.
#[test]
fn pairs_of_signals() {
    use Signal::{SIGHUP, SIGTERM, SIGTTIN, SIGTTOU, SIGUSR2};
    let stops =
        [(SIGTERM, SIGUSR2), (SIGUSR2, SIGTERM), (SIGTERM, SIGHUP), (SIGHUP, SIGTERM), (SIGTERM, SIGTERM)];
    for (first, second) in stops {
        let what = format!("{first}, then {second}");
        let mut scene = Scene::set(State::Serving, "pairs");
        scene.server.signal(first);
        scene.server.signal(second);
        assert_eq!(scene.server.wait_exit().code(), Some(0), "{what}\n{}", scene.server.log());
        scene.ends(&what);
    }
    let others =
        [(SIGHUP, SIGUSR2), (SIGUSR2, SIGHUP), (SIGUSR2, SIGUSR2), (SIGTTIN, SIGHUP), (SIGHUP, SIGTTOU)];
    for (first, second) in others {
        for state in [State::Booting, State::Serving, State::Reloading] {
            let what = format!("{first}, then {second} while {state:?}");
            let mut scene = Scene::set(state, "pairs");
            scene.server.signal(first);
            scene.server.signal(second);
            assert!(scene.is_served(&what), "{what}: it ended\n{}", scene.server.log());
            scene.ends(&what);
        }
    }
}

/// Stopping a worker that is no longer needed does not fail the start.
#[test]
fn workers_stopped_before_anything_served_fail_no_start() {
    for signals in [[Signal::SIGTTIN, Signal::SIGTTOU], [Signal::SIGHUP, Signal::SIGHUP]] {
        let mut scene = Scene::set(State::HungBoot, "nofault");
        for signal in signals {
            scene.server.signal(signal);
            let told = if signal == Signal::SIGHUP { "reloading" } else { "number of workers changed" };
            scene.server.wait_for(told, 1);
            if signal != Signal::SIGTTOU {
                // Another one hangs by now: in its import, as a worker of its own.
                scene.server.wait_until("a second worker forked", || scene.workers() >= 2);
            }
        }
        scene.server.wait_for("worker exited", 1);
        fs::write(state_file("nofault"), "serve").unwrap();
        scene.server.signal(Signal::SIGHUP);
        assert!(scene.is_served("a corrected application"), "{}", scene.server.log());
        scene.ends("after that");
    }
}
