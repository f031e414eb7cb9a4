//! The man page and shell completions, from the command line as clap knows it.

use crate::command::described;
use clap_complete::aot::Shell as ClapShell;
use hostler_settings::Shell;
use std::io;

/// What stands below the options in the man page.
const AFTER_OPTIONS: [(&str, &str); 6] = [
    (
        "CHECKING A CONFIGURATION",
        "hostler check [OPTIONS] APP tries all that a start needs and starts no server: options, files, certificates, users and \
         addresses, and the import of the application in a process of its own. It prints all problems and what would run, with \
         --json for programs, and exits with 0, or as the start would. Addresses of a hostler that runs are no problem, so that \
         it can precede a reload.",
    ),
    (
        "OTHER SERVERS",
        "hostler as gunicorn|uvicorn|granian|hypercorn ... reads the command line and the environment of that server; --explain \
         behind the name says what becomes of each option. hostler link DIR makes links of their names to hostler. hostler \
         migrate FILE prints a TOML file for a gunicorn.conf.py, a file of Hypercorn's, or an INI file of uWSGI's.",
    ),
    (
        "CONTROL",
        "hostler ctl status|workers|stacks|reload|restart|drain|scale|stop|upgrade|config|log-level controls a running server over its control socket \
         and waits for the outcome; hostler ctl --help describes the commands. hostler top shows what it does, live.",
    ),
    (
        "ENVIRONMENT",
        "Each option can be set by HOSTLER_ and its name in capitals, such as HOSTLER_WORKERS. The command line \
         wins over the environment, and the environment over the file that --config names. Where none of them sets \
         the number of workers or the trusted proxies, WEB_CONCURRENCY and FORWARDED_ALLOW_IPS do.",
    ),
    (
        "SIGNALS",
        "TERM stops gracefully, INT and QUIT at once, HUP reloads, USR1 reopens the log file, USR2 upgrades to a new \
         program, TTIN and TTOU add and remove a worker.",
    ),
    (
        "EXIT STATUS",
        "0 stopped as told; 1 failed; 2 the command line is wrong; 3 a worker could not boot; 4 the application could \
         not be imported; 78 a file, an environment variable or the chosen Python is wrong. Of hostler ctl: 5 no server can be \
         asked; 6 the server is busy; 7 the outcome is not known.",
    ),
];

/// The man page, for `man -l`.
pub(crate) fn manual() -> io::Result<String> {
    let manual = clap_mangen::Man::new(described());
    let mut page = Vec::new();
    manual.render_title(&mut page)?;
    manual.render_name_section(&mut page)?;
    // clap's own has every option.
    page.extend_from_slice(b".SH SYNOPSIS\n\\fBhostler\\fR [\\fIOPTIONS\\fR] \\fIAPP\\fR\n");
    manual.render_description_section(&mut page)?;
    manual.render_options_section(&mut page)?;
    for (heading, text) in AFTER_OPTIONS {
        page.extend_from_slice(format!(".SH \"{heading}\"\n{}\n", text.replace('-', "\\-")).as_bytes());
    }
    manual.render_version_section(&mut page)?;
    text(page)
}

/// Completions for a shell.
pub(crate) fn completions(shell: Shell) -> io::Result<String> {
    let shell = match shell {
        Shell::Bash => ClapShell::Bash,
        Shell::Zsh => ClapShell::Zsh,
        Shell::Fish => ClapShell::Fish,
    };
    let mut script = Vec::new();
    let mut command = described().subcommand(crate::ctl::command()).subcommand(crate::ctl::top());
    clap_complete::aot::generate(shell, &mut command, "hostler", &mut script);
    text(script)
}

fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(io::Error::other)
}
