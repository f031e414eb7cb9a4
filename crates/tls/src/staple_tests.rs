//! OCSP responses, made here byte by byte.

use super::{BASIC, Said, Validity, said, significant, status};
use std::time::{Duration, SystemTime};
use x509_cert::der::DateTime;

fn der(tag: u8, content: &[&[u8]]) -> Vec<u8> {
    let content = content.concat();
    let length = content.len();
    let head = match u8::try_from(length) {
        Ok(short @ 0..=127) => vec![tag, short],
        Ok(byte) => vec![tag, 0x81, byte],
        Err(_) => vec![tag, 0x82, u8::try_from(length >> 8).unwrap(), u8::try_from(length & 0xff).unwrap()],
    };
    [head, content].concat()
}

fn time(text: &str) -> Vec<u8> {
    der(0x18, &[text.as_bytes()])
}

/// What is said of one certificate: `validity` is the tag.
fn single(serial: &[u8], validity: u8, this: &str, next: Option<&str>) -> Vec<u8> {
    let hash = der(4, &[&[7; 20]]);
    let algorithm = der(0x30, &[&der(6, &[&[0x2b, 0x0e, 3, 2, 0x1a]])]);
    let certificate = der(0x30, &[&algorithm, &hash, &hash, &der(2, &[serial])]);
    let validity = if validity == 0xa1 { der(0xa1, &[&time("20260101000000Z")]) } else { vec![validity, 0] };
    let next = next.map(|next| der(0xa0, &[&time(next)])).unwrap_or_default();
    let extensions = der(0xa1, &[&der(0x30, &[])]);
    der(0x30, &[&certificate, &validity, &time(this), &next, &extensions])
}

fn response(version: bool, kind: &[u8], singles: &[Vec<u8>]) -> Vec<u8> {
    let version = if version { der(0xa0, &[&[2, 1, 0]]) } else { Vec::new() };
    let responder = der(0xa2, &[&der(4, &[&[9; 20]])]);
    let singles: Vec<&[u8]> = singles.iter().map(Vec::as_slice).collect();
    let data = der(0x30, &[&version, &responder, &time("20260101000000Z"), &der(0x30, &singles)]);
    let basic = der(0x30, &[&data, &der(0x30, &[&der(6, &[&[0x2a]])]), &der(3, &[&[0, 1]])]);
    let typed = der(0x30, &[&der(6, &[kind]), &der(4, &[&basic])]);
    der(0x30, &[&[0x0a, 1, 0], &der(0xa0, &[&typed])])
}

fn day(day: u8) -> DateTime {
    DateTime::new(2026, 1, day, 0, 0, 0).unwrap()
}

#[test]
fn the_status_of_a_response() {
    assert_eq!(status(&[0x30, 3, 0x0a, 1, 0]), Some(0));
    assert_eq!(status(&[0x30, 3, 0x0a, 1, 3]), Some(3));
    for wrong in [&b""[..], b"-----BEGIN", &[0x30, 0], &[0x30, 9, 0x0a, 1, 0]] {
        assert_eq!(status(wrong), None, "{wrong:?}");
    }
}

#[test]
fn what_is_said_of_each_certificate() {
    let singles = [
        single(&[0, 0xab], 0x80, "20260101000000Z", Some("20260108000000Z")),
        single(&[5], 0xa1, "20260101000000Z", None),
        single(&[6], 0x82, "20260101000000Z", None),
    ];
    let expected =
        [(0xab, Validity::Good, Some(day(8))), (5, Validity::Revoked, None), (6, Validity::Unknown, None)]
            .map(|(serial, validity, next_update)| Said {
                serial: vec![serial],
                validity,
                this_update: day(1),
                next_update,
            });
    for version in [false, true] {
        assert_eq!(said(&response(version, BASIC, &singles)).unwrap(), expected);
    }
}

#[test]
fn what_cannot_be_parsed_is_refused_and_never_panics() {
    let whole = response(true, BASIC, &[single(&[5], 0x80, "20260101000000Z", Some("20260108000000Z"))]);
    assert!(said(&whole).is_some());
    assert_eq!(said(&response(true, &[0x2a], &[single(&[5], 0x80, "20260101000000Z", None)])), None);
    assert_eq!(said(&response(true, BASIC, &[])), None);
    assert_eq!(said(&response(true, BASIC, &[single(&[5], 0x80, "yesterday", None)])), None);
    assert_eq!(said(&[0x30, 3, 0x0a, 1, 0]), None);
    for end in 0..whole.len() {
        assert_eq!(said(&whole[..end]), None, "{end}");
    }
    for at in 0..whole.len() {
        for byte in [0, 1, 0x30, 0x7f, 0x80, 0x84, 0xff] {
            let mut changed = whole.clone();
            changed[at] = byte;
            let _ = (status(&changed), said(&changed));
        }
    }
}

#[test]
fn what_is_worth_a_warning() {
    let at = |day: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600 + (day - 1) * 86_400);
    let good =
        Said { serial: vec![5], validity: Validity::Good, this_update: day(2), next_update: Some(day(8)) };
    assert_eq!(good.warning(at(5)), None);
    assert!(good.warning(at(9)).unwrap().starts_with("expired at 2026-01-08T00:00:00Z: "));
    assert!(good.warning(at(1)).unwrap().starts_with("is not valid before 2026-01-02T00:00:00Z: "));
    assert_eq!(Said { next_update: None, ..good.clone() }.warning(at(300)), None);
    let of = |validity| Said { validity, ..good.clone() }.warning(at(9)).unwrap();
    assert!(of(Validity::Revoked).contains("is revoked"));
    assert!(of(Validity::Unknown).contains("does not know"));
    assert_eq!((significant(&[0, 0, 1, 0]), significant(&[0])), (&[1, 0][..], &[][..]));
}
