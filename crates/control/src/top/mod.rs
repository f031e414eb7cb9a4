//! `hostler top`: what a server does, live. It asks for the status once in a second, over the control socket.
//!
//! Files: `reading` a status and what follows from two, `state` what is shown and what the user chose, `keys` what the user presses,
//! `draw` the picture, `queues` its part about tasks, `companions` its part about companions, `words` numbers in few columns.

mod companions;
mod draw;
mod keys;
mod queues;
pub(crate) mod reading;
mod state;
pub(crate) mod words;

pub(crate) use draw::doing;

use crate::{
    client::{Client, Lost},
    connect,
    tasks::{self, Keeper},
};
use hostler_config::ServerChoice;
use hostler_wire::{
    ExitStatus, Failure, TaskStats,
    control::{Command, Reply},
};
use keys::{Key, Keys};
use nix::errno::Errno;
use ratatui::DefaultTerminal;
use reading::Reading;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use state::State;
use std::{
    io,
    mem::ManuallyDrop,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// Between two questions.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long keys may wait.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long a server may take to answer before that is shown.
const SLOW: Duration = Duration::from_secs(3);

/// Shows the server until the user has seen enough. The terminal is as before when this returns.
///
/// # Errors
/// When no server can be asked at first, or the terminal cannot be used.
pub fn top(choice: &ServerChoice, variable: &dyn Fn(&str) -> Option<PathBuf>) -> Result<(), Failure> {
    // Before the screen is taken: an error is to be read.
    let mut source = Source {
        client: Some(connect(choice, variable, None)?),
        asked: None,
        next: Instant::now(),
        keeper: None,
        keeper_after: Instant::now(),
    };
    let ended = Arc::new(AtomicBool::new(false));
    let unusable = |error: io::Error| {
        Failure::new(ExitStatus::Failed, "the terminal cannot be used").because(error.to_string())
    };
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&ended)).map_err(unusable)?;
    }
    let keys = Keys::open().map_err(unusable)?;
    let mut terminal = ManuallyDrop::new(ratatui::try_init().map_err(unusable)?);
    let connect = || connect(choice, variable, Some(PATIENCE));
    let shown = show(&mut terminal, &keys, &mut source, &ended, &connect);
    if ratatui::try_restore().is_ok() {
        // It would complain to a terminal that has hung up.
        drop(ManuallyDrop::into_inner(terminal));
    }
    match shown {
        Err(error) if error.raw_os_error() == Some(Errno::EIO as i32) => Ok(()),
        shown => shown.map_err(unusable),
    }
}

fn show(
    terminal: &mut DefaultTerminal,
    keys: &Keys,
    source: &mut Source,
    ended: &AtomicBool,
    connect: &dyn Fn() -> Result<Client, Failure>,
) -> io::Result<()> {
    let mut state = State::default();
    while !ended.load(Relaxed) {
        source.update(&mut state, connect);
        terminal.draw(|frame| draw::draw(frame, &state))?;
        let Some(pressed) = keys.wait(PATIENCE)? else { return Ok(()) };
        for key in pressed {
            match key {
                Key::Quit => return Ok(()),
                Key::Sort => state.sort_otherwise(),
                Key::Pause => state.pause(),
                Key::Down => state.scroll(true),
                Key::Up => state.scroll(false),
            }
        }
    }
    Ok(())
}

/// Where readings come from.
struct Source {
    client: Option<Client>,
    /// When a question was asked that is not answered yet.
    asked: Option<Instant>,
    next: Instant,
    keeper: Option<Keeper>,
    /// A keeper that does not answer is not asked again before.
    keeper_after: Instant,
}

impl Source {
    /// Asks when it is time, and takes in what has been answered. Never waits for long.
    fn update(&mut self, state: &mut State, connect: &dyn Fn() -> Result<Client, Failure>) {
        let now = Instant::now();
        if self.asked.is_none() && now >= self.next {
            self.next = now + INTERVAL;
            if let Err(why) = self.ask(connect) {
                self.give_up(state, why);
            }
        }
        let (Some(asked), Some(client)) = (self.asked, &mut self.client) else { return };
        match client.receive(Some(Instant::now() + Duration::from_millis(5))) {
            Ok((_, Reply::Done { result, .. })) => {
                self.asked = None;
                match serde_json::from_value::<Reading>(result) {
                    Ok(mut reading) => {
                        reading.tasks = self.ask_keeper(&reading);
                        state.read(reading);
                    }
                    Err(error) => self.give_up(state, format!("the reply is not understood: {error}")),
                }
            }
            Ok((_, Reply::Begun { .. })) => {}
            Ok((_, Reply::Failed(refusal))) => self.give_up(state, refusal.message),
            Err(Lost::TimedOut) if asked.elapsed() < SLOW => {}
            Err(Lost::TimedOut) => {
                state.lose(format!("no answer for {:.0} s", asked.elapsed().as_secs_f64()))
            }
            Err(_) => self.give_up(state, "the server has ended".into()),
        }
    }

    /// How the task queue stands, if its keeper answers soon.
    fn ask_keeper(&mut self, reading: &Reading) -> Option<TaskStats> {
        let file = reading.server.task_queue.as_ref()?;
        if Instant::now() < self.keeper_after {
            return None;
        }
        let mut keeper = self.keeper.take().or_else(|| tasks::reach_now(file, PATIENCE))?;
        keeper.answer_within(Some(Instant::now() + PATIENCE));
        let stats = keeper.stats();
        match stats {
            Ok(stats) => {
                self.keeper = Some(keeper);
                Some(stats)
            }
            Err(_) => {
                self.keeper_after = Instant::now() + SLOW;
                None
            }
        }
    }

    fn ask(&mut self, connect: &dyn Fn() -> Result<Client, Failure>) -> Result<(), String> {
        if self.client.is_none() {
            self.client = Some(connect().map_err(|failure| failure.message)?);
        }
        let sent = self.client.as_mut().map(|client| client.send(&Command::Status));
        self.asked = Some(Instant::now());
        match sent {
            Some(Err(_)) => Err("the server has ended".into()),
            _ => Ok(()),
        }
    }

    /// Tries again with a new connection, maybe to the server that took over.
    fn give_up(&mut self, state: &mut State, why: String) {
        (self.client, self.asked) = (None, None);
        state.lose(why);
    }
}
