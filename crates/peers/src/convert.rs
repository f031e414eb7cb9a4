//! Rules that several peers share.

use crate::{
    item::{Context, Item},
    row::Becomes,
    translate::{Outcome, Setting, same},
};
use hostler_settings::{Declaration, Http, Listen, Supervision, Tls, WebSocket};

/// The least queue that the kernel is asked for.
const LEAST_BACKLOG: u64 = 128;
/// The least read buffer.
const LEAST_BUFFER: u64 = 8192;

/// A row's fate that is computed.
pub(crate) const fn converted(
    to: &'static [&'static Declaration],
    how: &'static str,
    by: fn(&Item, &Context<'_>) -> Outcome,
) -> Becomes {
    Becomes::Converted { to, how, by }
}

pub(crate) const HOST: Becomes = converted(
    &[Listen::host()],
    "the same, unless a socket is named by its path or number",
    |item, context| beside_sockets(item, context, Listen::host()),
);

pub(crate) const PORT: Becomes = converted(
    &[Listen::port()],
    "the same, unless a socket is named by its path or number",
    |item, context| beside_sockets(item, context, Listen::port()),
);

/// Host and port have no effect where another socket is named, and contradict it in hostler.
fn beside_sockets(item: &Item, context: &Context<'_>, option: &'static Declaration) -> Outcome {
    match ["--fd", "--uds"].into_iter().find(|name| context.item(name).is_some()) {
        Some(other) => Outcome::no_effect(format!("{other} says where to listen")),
        None => same(item, option),
    }
}

pub(crate) const BACKLOG: Becomes =
    converted(&[Listen::backlog()], "the same, but at least 128", |item, _| {
        match item.value().trim().parse::<u64>() {
            Ok(number) if number < LEAST_BACKLOG => {
                Outcome::set(Listen::backlog(), LEAST_BACKLOG.to_string())
                    .noting("a shorter queue loses clients in bursts")
            }
            _ => same(item, Listen::backlog()),
        }
    });

/// A limit of requests to which peers add up to the jitter, and from which hostler takes it off.
pub(crate) fn max_requests(item: &Item, context: &Context<'_>, jitter: &str) -> Outcome {
    let option = Supervision::max_requests();
    match (item.value().trim().parse::<u64>(), context.number(jitter)) {
        (Ok(0), _) => Outcome::no_effect("0 is no limit"),
        (Ok(most), Some(jitter)) if jitter > 0 => {
            Outcome::set(option, most.saturating_add(jitter).to_string())
                .noting(format!("{jitter} of jitter is added to it there, and taken off here"))
        }
        _ => same(item, option),
    }
}

/// The jitter of a limit of requests.
pub(crate) fn jitter(item: &Item, context: &Context<'_>, most: &str) -> Outcome {
    match context.number(most) {
        Some(0) | None => Outcome::no_effect(format!("it varies {most}, which is not set")),
        Some(_) => same(item, Supervision::max_requests_jitter()),
    }
}

pub(crate) const HEAD_SIZE: Becomes =
    converted(&[Http::max_buffer()], "the same, but at least 8192", |item, _| {
        match item.value().trim().parse::<u64>() {
            Ok(bytes) if bytes < LEAST_BUFFER => Outcome::set(Http::max_buffer(), LEAST_BUFFER.to_string())
                .noting("the least buffer for a request's head"),
            _ => same(item, Http::max_buffer()),
        }
    });

/// Whether client certificates are asked for: Python's `ssl.CERT_NONE`, `CERT_OPTIONAL` and `CERT_REQUIRED`.
pub(crate) fn cert_reqs(item: &Item, _: &Context<'_>) -> Outcome {
    match item.value().trim() {
        "0" | "CERT_NONE" => Outcome::no_effect("no certificates of clients are asked for without it either"),
        "1" | "CERT_OPTIONAL" => Outcome::set(Tls::client_verify(), "false"),
        "2" | "CERT_REQUIRED" => Outcome::set(Tls::client_verify(), "true"),
        other => Outcome::refused(
            format!("`{other}` is none of 0 (none), 1 (optional) and 2 (required)"),
            "use one of these",
        ),
    }
}

/// The authorities of client certificates, which peers ask for only with one of these.
pub(crate) fn ca_certs(item: &Item, context: &Context<'_>, modes: &[&str]) -> Outcome {
    let asked = modes.iter().find_map(|name| context.value(name)).unwrap_or("0");
    match asked.trim() {
        "0" | "CERT_NONE" => {
            Outcome::no_effect(format!("no client is asked for a certificate without {}", modes[0]))
        }
        _ => same(item, Tls::ca()),
    }
}

/// `ssl.PROTOCOL_…` as a number or a name.
pub(crate) fn ssl_version(item: &Item, _: &Context<'_>) -> Outcome {
    let name = item.value().trim().trim_start_matches("PROTOCOL_").to_ascii_uppercase();
    match name.as_str() {
        "2" | "17" | "TLS" | "TLS_SERVER" | "SSLV23" => {
            Outcome::no_effect("TLS 1.2 and 1.3 are served; --ssl-protocol-min of hostler chooses")
        }
        "5" | "TLSV1_2" | "TLSV1.2" => {
            Outcome::set(Tls::protocol_min(), "tls1.2").noting("1.3 is served as well")
        }
        _ => Outcome::refused(
            "this version of TLS is not safe, and is not served",
            "leave it out: TLS 1.2 and 1.3 are served",
        ),
    }
}

/// OpenSSL's list of ciphers.
pub(crate) fn ciphers(item: &Item, _: &Context<'_>) -> Outcome {
    match item.value().trim() {
        "TLSv1" | "TLSv1.2" | "DEFAULT" | "" | "ECDHE+AESGCM" => Outcome::no_effect(
            "it is a default; only ciphers with forward secrecy and authentication are offered",
        ),
        _ => Outcome::refused(
            "hostler offers rustls' ciphers, which all have forward secrecy and authentication, and no choice of them",
            "leave the option out",
        ),
    }
}

/// `LEVEL` in any case, and with Uvicorn's `trace`.
pub(crate) fn log_level(item: &Item, _: &Context<'_>) -> Outcome {
    let option = hostler_settings::Log::level();
    match item.value().trim().to_ascii_lowercase().as_str() {
        "trace" => Outcome::set(option, "debug").noting("the most that is logged"),
        level => Outcome::set(option, level),
    }
}

/// A file for the log, `-` for standard error.
pub(crate) fn log_file(item: &Item, _: &Context<'_>) -> Outcome {
    match item.value() {
        "-" | "/dev/stderr" => Outcome::no_effect("the log is written to standard error anyway"),
        _ => same(item, hostler_settings::Log::file()),
    }
}

pub(crate) const PING_INTERVAL: Becomes = Becomes::Same(WebSocket::ping_interval());

/// What a peer does by itself.
pub(crate) fn by_itself(
    option: &'static Declaration,
    text: &str,
    reason: &'static str,
) -> (Setting, &'static str) {
    (Setting::one(option, text), reason)
}

/// The mode of a Unix socket that is made under a mask.
pub(crate) fn socket_mode(mask: u32) -> String {
    format!("{:04o}", 0o777 & !mask)
}
