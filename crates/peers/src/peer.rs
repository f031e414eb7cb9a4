//! The peers, and how one is asked for.

use crate::{
    grammar::Grammar,
    granian, gunicorn, hypercorn,
    item::Context,
    row::Row,
    translate::{Outcome, Setting, application},
    uvicorn, uwsgi,
};
use std::{ffi::OsString, path::Path};

/// A server whose command lines are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Granian 2.8, and options of older ones.
    Granian,
    /// Gunicorn 27.0.
    Gunicorn,
    /// Uvicorn 0.54.
    Uvicorn,
    /// Hypercorn 0.18.
    Hypercorn,
    /// uWSGI 2.0, whose files are migrated, and whose command lines are not read.
    Uwsgi,
}

impl Peer {
    /// Those whose command lines are read.
    pub const ALL: [Self; 4] = [Self::Granian, Self::Gunicorn, Self::Uvicorn, Self::Hypercorn];

    /// Its command.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Granian => "granian",
            Self::Gunicorn => "gunicorn",
            Self::Uvicorn => "uvicorn",
            Self::Hypercorn => "hypercorn",
            Self::Uwsgi => "uwsgi",
        }
    }

    /// Its name in sentences.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Granian => "Granian",
            Self::Gunicorn => "Gunicorn",
            Self::Uvicorn => "Uvicorn",
            Self::Hypercorn => "Hypercorn",
            Self::Uwsgi => "uWSGI",
        }
    }

    /// The peer of this command.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|peer| peer.name() == name)
    }

    /// What there is to know of it beside its options.
    pub(crate) const fn about(self) -> &'static str {
        match self {
            Self::Granian => {
                "Version 2.8, and options of older ones. Its names and meanings are hostler's own: most options are the same. Variables \
                 are `GRANIAN_…`. By itself: RSGI, one worker, headers of proxies are left to the application, TLS 1.3, WSGI \
                 applications on several threads, headers with underscores are passed on to asynchronous applications."
            }
            Self::Gunicorn => {
                "Version 27. `GUNICORN_CMD_ARGS`, `WEB_CONCURRENCY`, `PORT` and `FORWARDED_ALLOW_IPS` are read, and `gunicorn.conf.py`, \
                 `-c FILE` and `-c python:MODULE`: the file is executed by the application's Python, in a process of its own; its settings \
                 stand below under their names where the command line has none. Hooks of workers are called with objects that have \
                 `pid`, `age`, `log` and `cfg` alone. By itself: WSGI (`module` is `module:application`), X-Forwarded-Proto of trusted \
                 proxies, Unix sockets for everyone. `--timeout` bounds a request on workers with one thread."
            }
            Self::Uvicorn => {
                "Version 0.54. Variables are `UVICORN_…`, `WEB_CONCURRENCY` and `FORWARDED_ALLOW_IPS`. By itself: ASGI, an access log in \
                 its form unless `--log-level` is above info, compressed WebSocket messages, \
                 X-Forwarded-For and X-Forwarded-Proto of trusted proxies, Unix sockets for everyone, headers with underscores are passed on. \
                 A worker that has reached `--limit-max-requests` is replaced, also if it is the only one."
            }
            Self::Uwsgi => include_str!("uwsgi.md").trim_ascii_end(),
            Self::Hypercorn => {
                "Version 0.18. `-c FILE` (TOML), `-c file:FILE` and `-c python:MODULE` are read; settings that the command line does not have \
                 stand below under their names. By itself: ASGI or WSGI, one worker, headers of proxies are left to the application, compressed WebSocket \
                 messages, headers with underscores are passed on."
            }
        }
    }

    /// Its options.
    #[must_use]
    pub fn rows(self) -> &'static [Row] {
        match self {
            Self::Granian => granian::ROWS,
            Self::Gunicorn => gunicorn::ROWS,
            Self::Uvicorn => uvicorn::ROWS,
            Self::Hypercorn => hypercorn::ROWS,
            Self::Uwsgi => uwsgi::ROWS,
        }
    }

    /// What stands in front of the names of its options in the environment, if they can be there.
    #[must_use]
    pub const fn prefix(self) -> Option<&'static str> {
        match self {
            Self::Granian => Some("GRANIAN_"),
            Self::Uvicorn => Some("UVICORN_"),
            Self::Gunicorn | Self::Hypercorn | Self::Uwsgi => None,
        }
    }

    /// How its command lines are read.
    pub(crate) const fn grammar(self) -> Grammar {
        match self {
            Self::Granian | Self::Uvicorn => Grammar::Click,
            Self::Gunicorn | Self::Hypercorn | Self::Uwsgi => Grammar::Argparse,
        }
    }

    /// The file of settings that is read if it is there and no other is named.
    pub(crate) const fn default_file(self) -> Option<&'static str> {
        match self {
            Self::Gunicorn => Some("gunicorn.conf.py"),
            Self::Granian | Self::Uvicorn | Self::Hypercorn | Self::Uwsgi => None,
        }
    }

    /// Settings of its files whose names are not those of their options.
    pub(crate) const fn setting_names(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Gunicorn => gunicorn::SETTING_NAMES,
            Self::Hypercorn => hypercorn::SETTING_NAMES,
            Self::Granian | Self::Uvicorn | Self::Uwsgi => &[],
        }
    }

    /// The variable that names the application.
    pub(crate) const fn target_variable(self) -> Option<&'static str> {
        match self {
            Self::Granian | Self::Gunicorn | Self::Hypercorn | Self::Uwsgi => None,
            Self::Uvicorn => Some("UVICORN_APP"),
        }
    }

    /// What it makes of the application's name.
    pub(crate) fn target(self, text: &str) -> Outcome {
        match self {
            Self::Granian => application(text, "app"),
            Self::Gunicorn | Self::Uwsgi => gunicorn::target(text),
            Self::Uvicorn => application(text, ""),
            Self::Hypercorn => hypercorn::target(text),
        }
    }

    /// What it does where nothing is said, and hostler does not: each with the reason.
    pub(crate) fn defaults(self, context: &Context<'_>) -> Vec<(Setting, &'static str)> {
        match self {
            Self::Granian => granian::defaults(context),
            Self::Gunicorn => gunicorn::defaults(context),
            Self::Uvicorn => uvicorn::defaults(context),
            Self::Hypercorn => hypercorn::defaults(context),
            Self::Uwsgi => uwsgi::defaults(context),
        }
    }
}

/// A command line of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Whose.
    pub peer: Peer,
    /// Its arguments, without the program's name.
    pub args: Vec<OsString>,
}

/// Whether a command line is a peer's: `hostler as gunicorn …`, or the program is called by its name. `Some(Err(…))` is what
/// stands behind `as` and is none.
#[must_use]
pub fn asked(args: &[OsString]) -> Option<Result<Asked, String>> {
    let program = args.first().and_then(|program| Path::new(program).file_name()?.to_str());
    let rest = |from: usize| args.get(from..).unwrap_or_default().to_vec();
    if let Some(peer) = program.and_then(Peer::from_name) {
        return Some(Ok(Asked { peer, args: rest(1) }));
    }
    if args.get(1).is_none_or(|word| word != "as") {
        return None;
    }
    let name = args.get(2).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Some(Peer::from_name(&name).map(|peer| Asked { peer, args: rest(3) }).ok_or(name))
}
