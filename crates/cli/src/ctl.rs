//! `hostler ctl …`: asks a running server.

use hostler_config::{CtlOutcome, parse_ctl};
use hostler_wire::ExitStatus;
use std::{
    ffi::OsString,
    io::{self, IsTerminal, Write},
    path::PathBuf,
};

/// Does what is asked for, if it is this command; the exit code. An application called `ctl` is `ctl:app`.
pub(crate) fn run(args: &[OsString]) -> Option<ExitStatus> {
    crate::is_command(args, "ctl").then(|| match parse_ctl(args.iter().skip(1).cloned()) {
        Ok(CtlOutcome::Print(text)) => crate::print(&text),
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

/// Says what has begun, to somebody who looks on.
fn progress(message: &str) {
    let mut out = io::stderr();
    if out.is_terminal() {
        let _ = writeln!(out, "{message} …");
    }
}
