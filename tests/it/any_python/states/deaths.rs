//! Processes that are killed or stopped in each state.

use super::{STATES, Scene, State};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Does something to each process but the master, newest first, in each state.
fn to_each_process(name: &str, signal: Signal) {
    for state in STATES {
        let processes = {
            let mut scene = Scene::set(state, name);
            let count = scene.children().len();
            scene.ends("as it is");
            count
        };
        for number in 0..processes {
            let what = format!("{signal} to process {number} while {state:?}");
            let mut scene = Scene::set(state, name);
            let all = scene.children();
            let Some(pid) = all.get(number) else { continue };
            let _ = kill(Pid::from_raw(*pid), signal);
            let hangs = matches!(state, State::HungBoot | State::HungReload | State::Draining);
            if signal == Signal::SIGKILL && !hangs {
                scene.is_served(&what);
            }
            scene.ends(&what);
        }
    }
}

#[test]
fn each_process_is_killed_in_each_state() {
    to_each_process("kills", Signal::SIGKILL);
}

#[test]
fn each_process_is_stopped_in_each_state() {
    to_each_process("stops", Signal::SIGSTOP);
}

#[test]
fn the_master_is_killed_in_each_state() {
    for state in STATES {
        let mut scene = Scene::set(state, "masters");
        scene.server.signal(Signal::SIGKILL);
        scene.server.wait_exit_of_master();
        if state == State::Upgrading {
            assert!(scene.is_served("the successor") || scene.masters().is_empty());
            for pid in scene.masters() {
                let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            }
        }
        scene.server.wait_empty();
    }
}
