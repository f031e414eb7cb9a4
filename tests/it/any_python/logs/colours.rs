//! Colours: on a terminal, as the conventions of terminal programs have it, and never in JSON.

use super::app;
use hostler_testkit::{directory, open_terminal};
use nix::sys::signal::Signal;
use std::{fs::File, io::Read, thread};

const ESCAPE: &str = "\u{1b}[";

/// What a server writes to a terminal, or to a pipe.
fn written(name: &str, on_terminal: bool, options: &[(&str, &str)], variables: &[(&str, &str)]) -> String {
    let dir = directory(name);
    let (mut builder, _) = app(&dir);
    for (option, value) in options {
        builder = builder.option(option, value);
    }
    builder = builder.env("TERM", "xterm");
    for (variable, value) in variables {
        builder = builder.env(variable, value);
    }
    if !on_terminal {
        let mut server = builder.launch();
        server.wait_for("serving", 1);
        server.signal(Signal::SIGTERM);
        server.wait_exit();
        return server.log();
    }
    let pid_file = dir.join("pid");
    builder = builder.option("pid-file", pid_file.display());
    let terminal = open_terminal();
    let mut reader = File::from(terminal.master);
    #[expect(clippy::disallowed_methods, reason = "this process forks nothing by itself")]
    let text = thread::spawn(move || {
        let (mut text, mut block) = (Vec::new(), vec![0; 4096]);
        // A terminal that nobody has open any more is an error to read.
        while let Ok(count @ 1..) = reader.read(&mut block) {
            text.extend_from_slice(&block[..count]);
        }
        String::from_utf8_lossy(&text).into_owned()
    });
    let mut server =
        builder.wrapped(&["sh", "-c", "exec \"$@\" 2>&3 3>&-", "sh"]).descriptor(terminal.slave).launch();
    // It is written when all workers serve.
    server.wait_for_file(&pid_file);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait_exit_of_master().code(), Some(0));
    server.wait_empty();
    text.join().unwrap()
}

#[test]
fn a_terminal_has_colours_and_a_pipe_has_none() {
    let text = written("colour-terminal", true, &[], &[]);
    assert!(text.contains("\u{1b}[32m INFO\u{1b}[0m serving"), "{text}");
    let text = written("colour-pipe", false, &[], &[]);
    assert!(text.contains("INFO serving") && !text.contains(ESCAPE), "{text}");
}

#[test]
fn the_environment_and_the_option_decide() {
    for (name, on_terminal, options, variables, coloured) in [
        ("colour-no", true, &[][..], &[("NO_COLOR", "1")][..], false),
        ("colour-dumb", true, &[], &[("TERM", "dumb")], false),
        ("colour-force", false, &[], &[("FORCE_COLOR", "1")], true),
        ("colour-clicolor", false, &[], &[("CLICOLOR_FORCE", "1")], true),
        ("colour-never", true, &[("log-color", "never")], &[("FORCE_COLOR", "1")], false),
        ("colour-always", false, &[("log-color", "always")], &[("NO_COLOR", "1")], true),
        ("colour-json", true, &[("log-format", "json"), ("log-color", "always")], &[], false),
    ] {
        let text = written(name, on_terminal, options, variables);
        assert!(text.contains("serving"), "{name}: {text}");
        assert_eq!(text.contains(ESCAPE), coloured, "{name}: {text}");
    }
}
