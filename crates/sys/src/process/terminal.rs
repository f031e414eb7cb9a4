//! The terminal of standard input: what a program that asks there has set, and may leave behind when it is killed.

use nix::{
    sys::termios::{SetArg, Termios, tcgetattr, tcsetattr},
    unistd::{getpgrp, tcgetpgrp},
};
use std::io;

/// The settings of the terminal.
#[derive(Debug)]
pub struct Terminal(Termios);

impl Terminal {
    /// Those of standard input; `None` if it is no terminal.
    #[must_use]
    pub fn of_input() -> Option<Self> {
        tcgetattr(io::stdin()).ok().map(Self)
    }

    /// Sets them again, if they have changed and this process is in the foreground: otherwise they are another program's.
    pub fn restore(&self) {
        let ours = tcgetpgrp(io::stdin()).is_ok_and(|group| group == getpgrp());
        if ours && tcgetattr(io::stdin()).is_ok_and(|now| now != self.0) {
            // The terminal may be gone.
            let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, &self.0);
        }
    }
}
