//! Where Gunicorn listens, and whose its Unix sockets are.

use crate::{
    convert::{by_itself, socket_mode},
    item::{Context, Item},
    translate::{Outcome, Setting},
};
use hostler_settings::{Declaration, Listen, Process};

/// Gunicorn's spellings of an address: `unix:///path`, `tcp://host:port`, nothing at all.
fn address(text: &str) -> String {
    let text = text.trim();
    match (text.strip_prefix("unix:"), text.strip_prefix("tcp://")) {
        (Some(path), _) => format!("unix:{}", path.strip_prefix("//").unwrap_or(path)),
        (None, Some(address)) => address.to_ascii_lowercase(),
        (None, None) if text.is_empty() => "0.0.0.0:8000".into(),
        (None, None) => text.to_owned(),
    }
}

pub(crate) fn bind(item: &Item, context: &Context<'_>) -> Outcome {
    if has_passed_sockets(context) {
        return Outcome::no_effect(
            "sockets that systemd passes (LISTEN_FDS) take precedence, as in Gunicorn",
        );
    }
    let texts = item.values.iter().map(|value| address(value)).collect();
    Outcome::Sets(vec![Setting { option: Listen::bind(), texts }], None)
}

/// Whether systemd passed sockets; variables that were meant for another process are not handed in.
fn has_passed_sockets(context: &Context<'_>) -> bool {
    context.variable("LISTEN_FDS").and_then(|count| count.parse::<u32>().ok()).is_some_and(|count| count > 0)
}

fn has_unix_socket(context: &Context<'_>) -> bool {
    context.item("--bind").is_some_and(|item| item.values.iter().any(|value| value.starts_with("unix:")))
}

pub(crate) fn user(item: &Item, context: &Context<'_>) -> Outcome {
    owner(item, context, Process::user(), Listen::uds_owner())
}

pub(crate) fn group(item: &Item, context: &Context<'_>) -> Outcome {
    owner(item, context, Process::group(), Listen::uds_group())
}

fn owner(
    item: &Item,
    context: &Context<'_>,
    process: &'static Declaration,
    socket: &'static Declaration,
) -> Outcome {
    let mut settings = vec![Setting::one(process, item.value())];
    if has_unix_socket(context) {
        settings.push(Setting::one(socket, item.value()));
    }
    Outcome::Sets(settings, None)
}

/// Gunicorn reads `022` and `0o22` as octal, `0x12` as hexadecimal, `18` as decimal; the mask is for its Unix sockets alone.
pub(crate) fn umask(item: &Item, context: &Context<'_>) -> Outcome {
    let text = item.value().trim();
    let mask = match (text.strip_prefix("0x"), text.strip_prefix("0o"), text.strip_prefix('0')) {
        (Some(digits), ..) => u32::from_str_radix(digits, 16),
        (_, Some(digits), _) => u32::from_str_radix(digits, 8),
        (_, _, Some(digits)) if !digits.is_empty() => u32::from_str_radix(digits, 8),
        _ => text.parse(),
    };
    match mask {
        Ok(_) if !has_unix_socket(context) => {
            Outcome::no_effect("it is for Unix sockets, of which there are none")
        }
        Ok(mask) => Outcome::set(Listen::uds_permissions(), socket_mode(mask)),
        Err(_) => Outcome::refused("it is no number", "write it in octal, as 007"),
    }
}

/// What Gunicorn does where nothing is said.
pub(crate) fn defaults(context: &Context<'_>) -> Vec<(Setting, &'static str)> {
    let mut all = Vec::new();
    let port = context.variable("PORT").filter(|_| !has_passed_sockets(context));
    if let (None, Some(port)) = (context.item("--bind"), port) {
        all.push((Setting::one(Listen::bind(), format!("0.0.0.0:{port}")), "PORT is set"));
    }
    if has_unix_socket(context) && context.item("--umask").is_none() {
        all.push(by_itself(Listen::uds_permissions(), "0777", "everyone may connect to its Unix sockets"));
    }
    all
}
