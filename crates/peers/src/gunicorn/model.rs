//! Gunicorn's worker classes: which interface they serve, and on how many threads.

use crate::{
    item::{Context, Item},
    translate::{Outcome, Setting, same},
};
use hostler_settings::{Application, Limits, Runtime, Wsgi};

/// Threads in place of greenlets.
const GREENLETS: &str = "64";

/// How a worker class serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Model {
    /// WSGI, a request at a time; on threads, if there are several.
    Sync,
    /// WSGI on threads.
    Threads,
    /// WSGI on greenlets: gevent, eventlet.
    Greenlets,
    /// Gunicorn's own ASGI worker.
    Asgi,
    /// Uvicorn's worker.
    Uvicorn,
}

impl Model {
    /// The worker class that was chosen.
    pub(crate) fn of(context: &Context<'_>) -> Result<Self, (String, &'static str)> {
        Self::named(context.value("--worker-class").unwrap_or("sync"))
    }

    /// `gthread`, `egg:gunicorn#gevent`, `gunicorn.workers.gthread.ThreadWorker`, `uvicorn.workers.UvicornWorker`.
    fn named(name: &str) -> Result<Self, (String, &'static str)> {
        let name = name.trim();
        let short = name.strip_prefix("egg:gunicorn#").unwrap_or(name);
        Ok(match short {
            "sync" | "gunicorn.workers.sync.SyncWorker" => Self::Sync,
            "gthread" | "gunicorn.workers.gthread.ThreadWorker" => Self::Threads,
            "gevent" | "gevent_wsgi" | "gevent_pywsgi" | "eventlet" => Self::Greenlets,
            "asgi" | "gunicorn.workers.gasgi.ASGIWorker" => Self::Asgi,
            _ if short.starts_with("gunicorn.workers.ggevent.") => Self::Greenlets,
            _ if short.starts_with("gunicorn.workers.geventlet.") => Self::Greenlets,
            _ if short.contains("meinheld") => Self::Sync,
            _ if short.starts_with("uvicorn.workers.") || short.starts_with("uvicorn_worker.") => {
                Self::Uvicorn
            }
            _ if short.starts_with("quart.worker.") => Self::Asgi,
            _ => return Err(refusal(name)),
        })
    }

    /// The interface, with what `--asgi-lifespan` says.
    pub(crate) fn interface(self, context: &Context<'_>) -> &'static str {
        let without = context.value("--asgi-lifespan").is_some_and(|value| value.eq_ignore_ascii_case("off"));
        match self {
            Self::Sync | Self::Threads | Self::Greenlets => "wsgi",
            Self::Asgi if without => "asginl",
            Self::Asgi | Self::Uvicorn => "asgi",
        }
    }

    fn is_wsgi(self) -> bool {
        matches!(self, Self::Sync | Self::Threads | Self::Greenlets)
    }
}

fn refusal(name: &str) -> (String, &'static str) {
    let why = format!("hostler cannot run workers of the class `{name}`");
    let instead = if name.contains("aiohttp") {
        "applications of aiohttp are none of ASGI: keep Gunicorn or aiohttp's own server for them"
    } else if name.contains("tornado") {
        "applications of Tornado are none of WSGI or ASGI: keep its server; for a WSGI application use gthread"
    } else if name.contains("geventwebsocket") {
        "WebSockets on greenlets are not served: use an ASGI application (python-socketio has socketio.ASGIApp), or gthread without them"
    } else if name.contains("sanic") {
        "use asgi: Sanic's applications are ASGI applications"
    } else {
        "if the class is derived from Uvicorn's, use asgi and give what it sets as options; for WSGI use sync or gthread"
    };
    (why, instead)
}

pub(crate) fn worker_class(item: &Item, context: &Context<'_>) -> Outcome {
    let model = match Model::named(item.value()) {
        Ok(model) => model,
        Err((why, instead)) => return Outcome::refused(why, instead),
    };
    let interface = Setting::one(Application::interface(), model.interface(context));
    if model == Model::Greenlets {
        let settings = vec![interface, Setting::one(Wsgi::blocking_threads(), GREENLETS)];
        return Outcome::Sets(settings, Some("requests run on threads, not on greenlets".into()));
    }
    let note = (model == Model::Uvicorn).then(|| "served by hostler itself, without Uvicorn".to_owned());
    Outcome::Sets(vec![interface], note)
}

pub(crate) fn threads(item: &Item, context: &Context<'_>) -> Outcome {
    match Model::of(context) {
        Ok(Model::Greenlets) => Outcome::no_effect("workers of gevent have greenlets"),
        Ok(model) if model.is_wsgi() => same(item, Wsgi::blocking_threads()),
        Ok(_) => Outcome::no_effect("ASGI applications have one thread, and the pools that they make"),
        Err(_) => Outcome::no_effect("it belongs to a worker class that is refused"),
    }
}

pub(crate) fn worker_connections(item: &Item, context: &Context<'_>) -> Outcome {
    match Model::of(context) {
        Ok(Model::Sync) if context.number("--threads").unwrap_or(1) < 2 => {
            Outcome::no_effect("sync workers ignore it")
        }
        Ok(Model::Uvicorn) => Outcome::no_effect("Uvicorn's worker ignores it"),
        _ => same(item, Limits::connections()),
    }
}

pub(crate) fn asgi_loop(item: &Item, context: &Context<'_>) -> Outcome {
    match Model::of(context) {
        Ok(Model::Asgi) => same(item, Runtime::event_loop()),
        _ => Outcome::no_effect("it is for -k asgi"),
    }
}

pub(crate) fn asgi_lifespan(_: &Item, context: &Context<'_>) -> Outcome {
    match Model::of(context) {
        Ok(model @ Model::Asgi) => Outcome::set(Application::interface(), model.interface(context)),
        _ => Outcome::no_effect("it is for -k asgi"),
    }
}
