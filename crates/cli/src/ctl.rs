//! `hostler ctl …` and `hostler top`: ask a running server.

use hostler_config::{CtlOutcome, TopOutcome, parse_ctl, parse_top};
use hostler_wire::{ExitStatus, Failure};
use std::{
    ffi::OsString,
    io::{self, IsTerminal, Write},
    path::PathBuf,
};

/// Does what is asked for, if it is this command; the exit code. An application called `ctl` is `ctl:app`.
pub(crate) fn run(args: &[OsString]) -> Option<ExitStatus> {
    crate::is_command(args, "ctl").then(|| match parse_ctl(args.iter().skip(1).cloned()) {
        Ok(CtlOutcome::Print(text)) => crate::print(&text),
        Ok(CtlOutcome::AskTasks(ctl)) => {
            let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
            match hostler_control::ask_tasks(&ctl, &variable, &crate::tasks::start_keeper) {
                Ok(text) => crate::print(&text),
                Err(failure) => crate::report(&failure),
            }
        }
        Ok(CtlOutcome::Ask(ctl)) => {
            let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
            match hostler_control::ask(&ctl, &variable, &mut progress) {
                Ok(told) => {
                    let printed = crate::print(&told.text);
                    told.failure.as_ref().map(crate::report);
                    if told.status == ExitStatus::Clean { printed } else { told.status }
                }
                Err(failure) => crate::report(&failure),
            }
        }
        Err(failure) => crate::report(&failure),
    })
}

/// Shows what is asked for, if it is `hostler top`; the exit code.
pub(crate) fn top(args: &[OsString]) -> Option<ExitStatus> {
    crate::is_command(args, "top").then(|| match parse_top(args.iter().skip(1).cloned()) {
        Ok(TopOutcome::Print(text)) => crate::print(&text),
        Ok(TopOutcome::Show(_)) if !io::stdout().is_terminal() => {
            let failure = Failure::new(ExitStatus::Usage, "`hostler top` needs a terminal");
            crate::report(&failure.hint("`hostler ctl status --json` tells the same to programs"))
        }
        Ok(TopOutcome::Show(server)) => {
            let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
            match hostler_control::top(&server, &variable) {
                Ok(()) => ExitStatus::Clean,
                Err(failure) => crate::report(&failure),
            }
        }
        Err(failure) => crate::report(&failure),
    })
}

/// Says what has begun, to somebody who looks on.
fn progress(message: &str) {
    let mut out = io::stderr();
    if out.is_terminal() {
        let _ = writeln!(out, "{message} …");
    }
}
