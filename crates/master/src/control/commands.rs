//! What each command does.

use super::{
    clients::ClientId,
    target::Target,
    waiting::{Awaited, Notice, Outcome, Waiting, reply, workers_in_words},
};
use crate::{control::Control, reread::Begun, run::Master};
use hostler_arbiter::Event;
use hostler_sys::logging;
use hostler_wire::{
    ExitStatus, Failure, Generation, GroupId,
    control::{Command, ConfigEntry, LevelChoice, Refusal, Reply, parse_control_request},
};
use serde_json::{Value, json};
use std::collections::VecDeque;
use tracing::{debug, info};

/// As many workers as `--workers` takes.
const MOST_WORKERS: u16 = 1024;

const NOT_RELOADED: &str = "not reloaded: the running workers keep serving";
const NO_OPTIONS: &str = "a native service has no options that could be told";

/// What is to be waited for after a reload has begun.
fn awaited(begun: Begun) -> Awaited {
    match begun {
        Begun::Reading => Awaited::Reading,
        Begun::Generation(generation) => Awaited::Reload(generation),
    }
}

/// What a reload would change.
fn changes(running: &[ConfigEntry], found: &[ConfigEntry]) -> (String, Value) {
    let changed: Vec<_> = found
        .iter()
        .filter_map(|new| {
            let old = running.iter().find(|old| old.option == new.option)?;
            (old.value != new.value).then(|| json!({"option": new.option, "running": old, "found": new}))
        })
        .collect();
    (format!("{} options would change", changed.len()), json!({ "changes": changed }))
}

/// What a command comes to at first.
pub(super) enum Answer {
    /// All of it is known.
    Now(Outcome),
    /// The client waits.
    Later(Awaited, String),
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self::Now(Err(refusal))
    }
}

impl Master {
    /// Takes commands; the status to exit with, once there is one.
    pub(crate) fn receive_commands(&mut self) -> Option<ExitStatus> {
        let listener = self.control.socket.as_ref().map(|(listener, _)| listener);
        for (client, line) in self.control.clients.receive(listener) {
            let mut events = VecDeque::new();
            let answer = match parse_control_request(&line) {
                Ok(command) => self.command(client, command, &mut events),
                Err(refusal) => refusal.into(),
            };
            match answer {
                Answer::Now(outcome) => self.control.clients.send(client, &reply(outcome)),
                Answer::Later(awaited, message) => {
                    self.control.clients.send(client, &Reply::Begun { message });
                    self.control.waiting.push(Waiting::new(client, awaited));
                }
            }
            if let Some(status) = self.dispatch_all(&mut events) {
                return Some(status);
            }
        }
        None
    }

    /// Answers clients whose outcome is known; what is to be done then.
    pub(crate) fn answer_clients(&mut self) -> VecDeque<Event> {
        let mut events = VecDeque::new();
        let notices = std::mem::take(&mut self.control.notices);
        if self.control.waiting.is_empty() {
            return events;
        }
        let waiting = std::mem::take(&mut self.control.waiting);
        for mut one in waiting {
            let outcome = one.look(&notices, &self.arbiter);
            match outcome {
                Some(outcome) => {
                    // What has not begun does not begin.
                    match (&outcome, &one.awaited) {
                        (Err(_), Awaited::Replaced { workers, .. }) => {
                            events.extend(workers.iter().map(|(id, _)| Event::Keep(*id)));
                        }
                        (Err(_), Awaited::Restarted { before, .. }) => {
                            events.extend(before.iter().copied().map(Event::Keep));
                        }
                        _ => {}
                    }
                    self.control.clients.send(one.client, &reply(outcome));
                }
                None if self.control.clients.peer(one.client).is_none() => {}
                None => self.control.waiting.push(one),
            }
        }
        self.begin_next_reload(&mut events);
        events
    }

    /// Those who asked for a reload while another was under way share the next one.
    fn begin_next_reload(&mut self, events: &mut VecDeque<Event>) {
        let waits = |one: &Waiting| matches!(one.awaited, Awaited::NextReload);
        if self.is_reloading() || !self.control.waiting.iter().any(waits) {
            return;
        }
        let begun = self.reload("control", events).map(awaited);
        self.go_on(waits, begun);
    }

    /// The configuration was read for a reload, which has begun, or has failed.
    pub(crate) fn reload_read(&mut self, begun: &Result<Generation, Failure>) {
        self.go_on(|one| matches!(one.awaited, Awaited::Reading), begun.clone().map(Awaited::Reload));
    }

    /// Has those who wait for a reload wait for this.
    fn go_on(&mut self, whose: impl Fn(&Waiting) -> bool, begun: Result<Awaited, Failure>) {
        let Control { waiting, clients, .. } = &mut self.control;
        match begun {
            Ok(awaited) => {
                for one in waiting.iter_mut().filter(|one| whose(one)) {
                    one.awaited = awaited.clone();
                }
            }
            Err(failure) => {
                let outcome = reply(Err(Refusal::of(NOT_RELOADED, failure)));
                for one in waiting.extract_if(.., |one| whose(one)) {
                    clients.send(one.client, &outcome);
                }
            }
        }
    }

    /// The configuration was read for clients who ask what a reload would change.
    pub(crate) fn tell_changes(&mut self, pid: i32, found: Result<Vec<ConfigEntry>, Failure>) {
        let outcome = match found {
            Ok(found) => Ok(changes(&self.plan.spec.listing, &found)),
            Err(failure) => Err(Refusal::of("a reload would fail", failure)),
        };
        let outcome = reply(outcome);
        let asked = |one: &mut Waiting| matches!(one.awaited, Awaited::Changes(reader) if reader == pid);
        for one in self.control.waiting.extract_if(.., asked) {
            self.control.clients.send(one.client, &outcome);
        }
    }

    /// The last words to clients, when the server has ended.
    pub(crate) fn take_leave(&mut self, status: ExitStatus) {
        self.control.leave();
        for one in std::mem::take(&mut self.control.waiting) {
            self.control.clients.send(one.client, &reply(one.last(status)));
        }
    }

    fn command(&mut self, client: ClientId, command: Command, events: &mut VecDeque<Event>) -> Answer {
        if !command.only_tells() {
            let peer = self.control.clients.peer(client);
            let (pid, user) = (peer.map(|peer| peer.pid), peer.map(|peer| peer.user));
            info!(command = command.name(), client_pid = pid, client_user = user, "control command");
        }
        if let Some(refusal) = self.is_busy_for(&command) {
            return refusal.into();
        }
        match command {
            Command::Status => Answer::Now(self.tell_status(false)),
            Command::Workers => Answer::Now(self.tell_status(true)),
            Command::Stacks { worker, name } => match self.ask_for_all_stacks(worker, name.as_deref()) {
                Ok(awaited) => Answer::Later(awaited, "the workers are asked".into()),
                Err(refusal) => refusal.into(),
            },
            Command::Reload => self.command_reload(events),
            Command::Restart { worker, name } => match self.target(worker, name.as_deref()) {
                Ok(target) => self.command_restart(target, events),
                Err(refusal) => refusal.into(),
            },
            Command::Drain { worker, name } => match self.target(worker, name.as_deref()) {
                Ok(Target::Worker(slot)) => self.command_replace(Some(slot), true, events),
                Ok(Target::Workers) => Refusal::invalid("drain needs the number of a worker").into(),
                Ok(Target::Companion { .. }) => Refusal::invalid("companions are not drained")
                    .hint("`hostler ctl restart` restarts a companion, and waits until it is ready")
                    .into(),
                Err(refusal) => refusal.into(),
            },
            Command::Scale { workers } => self.command_scale(workers, events),
            Command::Stop { quickly } => self.command_stop(quickly, events),
            Command::Upgrade => self.command_upgrade(events),
            Command::Config { changes: false } => Answer::Now(self.command_config()),
            Command::Config { changes: true } => self.command_changes(),
            Command::LogLevel { level } => Answer::Now(self.command_log_level(level)),
        }
    }

    /// What is under way that excludes this command.
    fn is_busy_for(&self, command: &Command) -> Option<Refusal> {
        let changes_workers =
            matches!(command, Command::Restart { .. } | Command::Drain { .. } | Command::Scale { .. });
        if command.only_tells() || matches!(command, Command::Stop { .. } | Command::LogLevel { .. }) {
            return None;
        }
        let not = |what: &str| Some(Refusal::busy(format!("{} was not begun: {what}", command.name())));
        if self.arbiter.is_replaced() {
            return not("another server has taken over (an upgrade)");
        }
        if self.arbiter.is_stopping() {
            return not("the server is stopping");
        }
        if self.arbiter.is_upgrading() {
            return not("an upgrade is under way").map(|refusal| refusal.hint("wait for its end"));
        }
        match self.reload_under_way().filter(|_| changes_workers) {
            Some(reload) => not(&reload).map(|refusal| refusal.hint("wait for its end")),
            None => None,
        }
    }

    fn reload_under_way(&self) -> Option<String> {
        let generation = match self.arbiter.is_reloading() {
            true => format!(", to generation {}", self.last_generation),
            false => String::new(),
        };
        self.is_reloading().then(|| format!("a reload is under way{generation}"))
    }

    fn command_reload(&mut self, events: &mut VecDeque<Event>) -> Answer {
        if let Some(reload) = self.reload_under_way() {
            return Answer::Later(Awaited::NextReload, format!("{reload}: another follows it"));
        }
        match self.reload("control", events) {
            Ok(begun) => Answer::Later(awaited(begun), "a new generation is brought up".into()),
            Err(failure) => Refusal::of(NOT_RELOADED, failure).into(),
        }
    }

    fn command_scale(&mut self, workers: u16, events: &mut VecDeque<Event>) -> Answer {
        if workers > MOST_WORKERS {
            return Refusal::invalid(format!("there can be no more than {MOST_WORKERS} workers")).into();
        }
        let before = self.arbiter.slots(GroupId::HTTP);
        info!(control = "scale", from = before, to = workers, "number of workers changed");
        self.user_scales(workers, events);
        Answer::Later(Awaited::Scaled(workers), format!("from {} to {}", workers_in_words(before), workers))
    }

    fn command_stop(&mut self, quickly: bool, events: &mut VecDeque<Event>) -> Answer {
        // A second order of the same kind would be the more urgent one.
        self.stop_begins(None);
        if quickly {
            events.push_back(Event::StopQuickly);
        } else if !self.arbiter.is_stopping() || self.arbiter.is_replaced() {
            events.push_back(Event::StopGracefully);
        }
        Answer::Later(Awaited::Stop, "the server stops".into())
    }

    fn command_upgrade(&mut self, events: &mut VecDeque<Event>) -> Answer {
        match self.upgrade(events) {
            Ok(pid) => Answer::Later(Awaited::Upgrade, format!("the new server was started (process {pid})")),
            Err(cause) => Refusal::failed("not upgraded: this server keeps serving").because(cause).into(),
        }
    }

    fn command_config(&self) -> Outcome {
        let running = &self.plan.spec.listing;
        if running.is_empty() {
            return Err(Refusal::failed(NO_OPTIONS));
        }
        Ok((format!("{} options", running.len()), json!({ "options": &running[..] })))
    }

    fn command_changes(&mut self) -> Answer {
        if self.plan.reread.is_none() {
            return Refusal::failed(NO_OPTIONS).into();
        }
        match self.read_to_compare() {
            Ok(pid) => Answer::Later(Awaited::Changes(pid), "the configuration is read".into()),
            Err(error) => {
                Refusal::failed("the configuration could not be read").because(error.to_string()).into()
            }
        }
    }

    fn command_log_level(&mut self, choice: Option<LevelChoice>) -> Outcome {
        if !logging::is_on() {
            return Err(Refusal::failed("nothing is logged").because("the server was started with --no-log"));
        }
        let configured = self.plan.spec.settings.options.log.level;
        if let Some(choice) = choice {
            self.control.level = choice.level();
            self.log_as_now();
            self.tell_programs();
            debug!(level = self.log_now().level.name(), "log level changed");
        }
        let level = self.log_now().level;
        let result = json!({"level": level.name(), "configured": configured.name()});
        let until = ", until the server is started anew or upgraded, or reloaded with another --log-level";
        let until = if level == configured { "" } else { until };
        Ok((format!("the level is {}{until}", level.name()), result))
    }

    /// Tells clients that wait of something.
    pub(crate) fn notice(&mut self, notice: Notice) {
        self.control.notice(notice);
    }
}
