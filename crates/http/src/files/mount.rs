//! A mount: a route, its directory, and what its responses have in common.

use super::{path, store::Store};
use hostler_settings::{HeaderLine, Immutable, StaticMount};
use hostler_sys::beneath::Links;
use http::{HeaderName, HeaderValue, header::CONTENT_TYPE};
use std::{io, path::Path};

/// What clients may cache for a year, and need not ask for again meanwhile (RFC 8246).
const FOR_EVER: &str = "max-age=31536000, immutable";

/// Files that are served beneath a route.
pub(super) struct Mount {
    /// Decoded, without slashes around it; empty for all paths.
    pub(super) route: String,
    pub(super) store: Store,
    /// The application gets what has no file.
    pub(super) falls_through: bool,
    /// Of every response with a file, but for `Content-Type`.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// The type of every file, instead of that which its name tells.
    pub(super) content_type: Option<HeaderValue>,
    expires: Option<HeaderValue>,
    immutable: Immutable,
}

/// How names become files.
pub(super) struct Naming {
    pub(super) index: Option<String>,
    pub(super) fallback: Option<String>,
    pub(super) clean_urls: bool,
    pub(super) hidden: bool,
    pub(super) precompressed: bool,
    pub(super) links: Links,
}

impl Mount {
    /// # Errors
    /// The kernel's, if the directory cannot be entered; they name it.
    pub(super) fn new(settings: &StaticMount) -> io::Result<Self> {
        let links = if settings.follow_links.unwrap_or(false) { Links::Anywhere } else { Links::Within };
        let naming = Naming {
            index: settings.index.clone(),
            fallback: settings.fallback.clone(),
            clean_urls: settings.clean_urls.unwrap_or(false),
            hidden: settings.hidden,
            precompressed: settings.precompressed.unwrap_or(true),
            links,
        };
        check(&settings.path)?;
        let headers = settings.headers.iter().filter_map(header);
        let (types, headers): (Vec<_>, Vec<_>) = headers.partition(|(name, _)| *name == CONTENT_TYPE);
        let seconds = settings.expires.map_or(0, |expires| expires.as_secs());
        Ok(Self {
            route: settings.route.trim_matches('/').to_owned(),
            store: Store::new(settings.path.clone(), naming),
            falls_through: settings.falls_through(),
            headers,
            content_type: types.into_iter().next_back().map(|(_, value)| value),
            expires: (seconds > 0)
                .then(|| HeaderValue::from_str(&format!("max-age={seconds}")).ok())
                .flatten(),
            immutable: settings.immutable.unwrap_or(Immutable::Auto),
        })
    }

    /// The value of `Cache-Control` for a file.
    pub(super) fn cache_control(&self, name: &str) -> Option<HeaderValue> {
        let never_changes = match self.immutable {
            Immutable::Auto => super::hashed::is_hashed(name),
            Immutable::Always => true,
            Immutable::Never => false,
        };
        if never_changes { Some(HeaderValue::from_static(FOR_EVER)) } else { self.expires.clone() }
    }

    /// Whether a path that names no file looks as if it were beneath the route.
    pub(super) fn has_prefix_of(&self, raw: &str) -> bool {
        raw.strip_prefix('/').is_some_and(|raw| path::beneath(raw, &self.route).is_some())
    }
}

fn header(line: &HeaderLine) -> Option<(HeaderName, HeaderValue)> {
    Some((HeaderName::from_bytes(line.name.as_bytes()).ok()?, HeaderValue::from_str(&line.value).ok()?))
}

/// Whether this process may open files beneath the directory.
pub(super) fn check(directory: &Path) -> io::Result<()> {
    hostler_sys::beneath::check(directory).map_err(|error| {
        let text = format!("cannot enter the directory `{}` of static files: {error}", directory.display());
        io::Error::new(error.kind(), text)
    })
}
