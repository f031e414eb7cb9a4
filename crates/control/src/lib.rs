//! The client of the control socket: `hostler ctl` and `hostler top`. It asks a server, waits for the outcome, and prints it.
//!
//! Files: `find` which server is meant, `client` the conversation, `print` an outcome for people, `companions` its part about companions, `top` a live picture,
//! `tasks` the conversation with the keeper of a task queue.
//!
//! Not here: what a command does (the master's `control`), and its command line (`hostler_config::ctl`).

#![forbid(unsafe_code)]

mod client;
mod companions;
mod find;
mod print;
mod tasks;
mod top;

pub use tasks::ask as ask_tasks;
pub use top::top;

use client::{Client, Lost};
use hostler_config::{Ctl, ServerChoice};
use hostler_wire::{
    ExitStatus, Failure,
    control::{Refusal, RefusalKind, Reply},
};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

/// What is printed, and the exit code.
#[derive(Debug)]
pub struct Told {
    /// For standard output.
    pub text: String,
    /// Why it was not done, for standard error.
    pub failure: Option<Failure>,
    /// The exit code.
    pub status: ExitStatus,
}

/// Asks a server. `variable` reads the environment, `progress` is told what has begun.
///
/// # Errors
/// When no server, or more than one, can be asked; or when the outcome is not known.
pub fn ask(
    ctl: &Ctl,
    variable: &dyn Fn(&str) -> Option<PathBuf>,
    progress: &mut dyn FnMut(&str),
) -> Result<Told, Failure> {
    let until = ctl.timeout.map(|timeout| Instant::now() + timeout);
    let mut client = connect(&ctl.server, variable, ctl.timeout)?;
    client.send(&ctl.command).map_err(|lost| unknown(lost, ctl.timeout))?;
    loop {
        let (line, reply) = client.receive(until).map_err(|lost| unknown(lost, ctl.timeout))?;
        match reply {
            Reply::Begun { message } if ctl.json => drop(message),
            Reply::Begun { message } => progress(&message),
            Reply::Done { message, result } => {
                client.wait_for_end(&ctl.command, until);
                let text = if ctl.json { line } else { print::text(&ctl.command, &message, &result) };
                return Ok(Told { text, failure: None, status: ExitStatus::Clean });
            }
            Reply::Failed(refusal) => {
                let failure = of_refusal(refusal);
                let status = failure.status;
                let (text, failure) = if ctl.json { (line, None) } else { (String::new(), Some(failure)) };
                return Ok(Told { text, failure, status });
            }
        }
    }
}

fn connect(
    choice: &ServerChoice,
    variable: &dyn Fn(&str) -> Option<PathBuf>,
    timeout: Option<Duration>,
) -> Result<Client, Failure> {
    find::server(choice, variable, timeout).map(Client::new)
}

fn of_refusal(refusal: Refusal) -> Failure {
    let Refusal { kind, message, cause, hint } = refusal;
    let status = match kind {
        RefusalKind::Invalid => ExitStatus::Usage,
        RefusalKind::Denied | RefusalKind::Busy => ExitStatus::Refused,
        RefusalKind::Failed => ExitStatus::Failed,
    };
    Failure { status, message, cause, hint }
}

fn unknown(lost: Lost, timeout: Option<Duration>) -> Failure {
    let failure = |message: &str| Failure::new(ExitStatus::Unknown, message);
    match lost {
        Lost::TimedOut => {
            let limit = timeout.unwrap_or_default().as_secs_f64();
            failure("the outcome is not known")
                .because(format!("the server had not answered after {limit} s (--timeout)"))
                .hint("what has begun goes on; the server's log tells how it ends")
        }
        Lost::Closed => failure("the outcome is not known")
            .because("the server closed the connection without an answer")
            .hint("was it killed? its log may tell more"),
        Lost::Failed(error) => failure("the outcome is not known")
            .because(format!("the connection to the server failed: {error}")),
        Lost::NotUnderstood(error) => failure("the server's reply is not understood")
            .because(error)
            .hint("use the `hostler ctl` of the server's own version"),
    }
}
