//! A client's address as text, without the machinery of `std::fmt` for the usual ones.

use crate::line::first;
use std::{
    io::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Parts of an IPv4 address, each with the dot behind it.
const PARTS: [[u8; 4]; 256] = {
    let mut parts = [[0; 4]; 256];
    let mut part = 0;
    while part < 256 {
        let digits = [b'0' + (part / 100) as u8, b'0' + (part / 10 % 10) as u8, b'0' + (part % 10) as u8];
        parts[part] = match part {
            100.. => [digits[0], digits[1], digits[2], b'.'],
            10.. => [digits[1], digits[2], b'.', 0],
            _ => [digits[2], b'.', 0, 0],
        };
        part += 1;
    }
    parts
};

/// Appends an address without its port.
#[inline]
pub(crate) fn write(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            let (text, length) = v4(address);
            first(out, &text, length);
        }
        IpAddr::V6(address) => v6(out, address),
    }
}

/// An address of version 4, and how long it is.
#[inline]
pub(crate) fn short(address: IpAddr) -> Option<([u8; 16], usize)> {
    match address {
        IpAddr::V4(address) => Some(v4(address)),
        IpAddr::V6(_) => None,
    }
}

#[inline]
fn v4(address: Ipv4Addr) -> ([u8; 16], usize) {
    let (mut text, mut end) = ([0; 16], 0);
    for part in address.octets() {
        if let Some(place) = text[end..].first_chunk_mut::<4>() {
            *place = PARTS[usize::from(part)];
        }
        end += 2 + usize::from(part >= 10) + usize::from(part >= 100);
    }
    // Without the last dot.
    (text, end - 1)
}

fn v6(out: &mut Vec<u8>, address: Ipv6Addr) {
    // Writing to memory does not fail.
    let _ = write!(out, "{address}");
}

#[cfg(test)]
mod tests {
    use super::write;
    use proptest::prelude::*;
    use std::net::IpAddr;

    proptest! {
        #[test]
        fn addresses_are_written_as_elsewhere(address in any::<IpAddr>()) {
            let mut out = Vec::new();
            write(&mut out, address);
            prop_assert_eq!(String::from_utf8(out).unwrap(), address.to_string());
        }
    }
}
