//! Functions of `gunicorn.conf.py` that Gunicorn calls.

use crate::row::{Becomes, Row};
use crate::translate::Outcome;
use hostler_settings::{Application, Declaration};

/// Hooks of the master, which runs no Python here.
pub(crate) const LATER_HOOK: Becomes = Becomes::Lost(
    "the master runs no Python; hostler.hooks and the application's lifespan have their own places",
);

pub(crate) const NO_HOOK: Becomes = Becomes::Refused {
    why: "requests are not Python objects before the application is called",
    instead: "do it in a WSGI or ASGI middleware; the access log has durations",
};

const TO: &[&Declaration] = &[Application::hooks()];

/// A hook that workers and the mold call.
pub(crate) const fn hook(name: &'static str) -> Row {
    Row::value(
        names(name),
        crate::convert::converted(TO, about(name), |item, context| match context.file() {
            Some(file) => Outcome::set(Application::hooks(), file).noting(about(&item.name)),
            None => Outcome::no_effect("it is a function of a file"),
        }),
    )
}

/// A slice that lives as long as the table.
const fn names(name: &'static str) -> &'static [&'static str] {
    match name.as_bytes() {
        b"post_fork" => &["post_fork"],
        b"post_worker_init" => &["post_worker_init"],
        b"worker_exit" => &["worker_exit"],
        b"child_exit" => &["child_exit"],
        b"when_ready" => &["when_ready"],
        _ => &["pre_fork"],
    }
}

/// When it is called.
const fn about(name: &str) -> &'static str {
    match name.as_bytes() {
        b"post_fork" => "called in each worker, before the application is loaded",
        b"post_worker_init" => "called in each worker, right before it accepts connections",
        b"worker_exit" => "called in each worker, after it has drained",
        b"child_exit" => "called in the worker itself, after it has drained",
        b"when_ready" => "called once, in the first worker, right before it accepts connections",
        _ => "called in each worker, before post_fork",
    }
}
