//! An address as proxies write it: RFC 7239 §6, and what stands in X-Forwarded-For.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The address in `192.0.2.1`, `192.0.2.1:80`, `[2001:db8::1]`, `[2001:db8::1]:80` and `2001:db8::1`; its port is 0 if
/// there is none, or if it is obfuscated (`_name`). `None` for `unknown`, obfuscated names and anything else.
pub(super) fn address(text: &str) -> Option<SocketAddr> {
    let (address, rest) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (address, rest) = bracketed.split_once(']')?;
            (IpAddr::V6(address.parse::<Ipv6Addr>().ok()?), rest)
        }
        None => match text.parse::<IpAddr>() {
            Ok(address) => (address, ""),
            Err(_) => {
                let at = text.find(':')?;
                (IpAddr::V4(text[..at].parse().ok()?), &text[at..])
            }
        },
    };
    let port = if rest.is_empty() { 0 } else { port(rest.strip_prefix(':')?)? };
    Some(SocketAddr::new(address.to_canonical(), port))
}

/// A port; 0 for an obfuscated one.
fn port(text: &str) -> Option<u16> {
    match text.strip_prefix('_') {
        Some(name) if !name.is_empty() && name.bytes().all(is_of_name) => Some(0),
        Some(_) => None,
        None if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        None => None,
    }
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._-".contains(&byte)
}

/// A number as ports are written in X-Forwarded-Port.
pub(super) fn port_number(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port > 0)
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn addresses_are_read_with_and_without_port_and_brackets() {
        for (text, address, port) in [
            ("192.0.2.1", "192.0.2.1", 0),
            ("192.0.2.1:80", "192.0.2.1", 80),
            ("192.0.2.1:_http", "192.0.2.1", 0),
            ("2001:db8::1", "2001:db8::1", 0),
            ("[2001:db8::1]", "2001:db8::1", 0),
            ("[2001:db8::1]:443", "2001:db8::1", 443),
            ("::ffff:192.0.2.1", "192.0.2.1", 0),
        ] {
            let expected = std::net::SocketAddr::new(address.parse().unwrap(), port);
            assert_eq!(super::address(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn whatever_is_no_address_is_none() {
        for text in [
            "",
            "unknown",
            "_hidden",
            "_",
            "localhost",
            "192.0.2",
            "192.0.2.1:",
            "192.0.2.1:x",
            "192.0.2.1:70000",
            "192.0.2.1:+80",
            "192.0.2.1:_",
            "192.0.2.1:_a b",
            "[192.0.2.1]",
            "[::1",
            "::1]",
            "[::1]80",
            "[::1]:",
            "192.0.2.1 80",
            "fe80::1%eth0",
            "1.2.3.4.5",
            "é",
        ] {
            assert_eq!(address(text), None, "{text}");
        }
    }
}
