use super::{BodyLength, Framing, Refusal, RequestLimits};
use proptest::prelude::*;

const HEAD: &[u8] = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";

impl Framing {
    fn given(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.read(bytes, &RequestLimits::default())
    }

    fn any_head(&mut self, length: BodyLength) -> Result<(), Refusal> {
        self.head(length, &RequestLimits::default())
    }
}

/// Reads a head and this chunked body, cut at one place.
fn chunked(body: &[u8], cut: usize) -> Result<(), Refusal> {
    let all = [HEAD, body].concat();
    let cut = HEAD.len() + cut.min(body.len());
    let mut framing = Framing::default();
    framing.given(&all[..cut])?;
    framing.any_head(BodyLength::Chunked)?;
    framing.given(&all[cut..])
}

#[test]
fn chunks_are_framed_strictly() {
    for good in [
        "5\r\nhello\r\n0\r\n\r\n",
        "005;a=b\r\nhello\r\n0\r\nx: y\r\n\r\n",
        "5 ;a=\"b c\"\r\nhello\r\n0\r\n\r\n",
        "5;a;b = c ; d=\"\\\"\"\r\nhello\r\n0;z\r\n\r\n",
    ] {
        (0..good.len()).for_each(|cut| assert_eq!(chunked(good.as_bytes(), cut), Ok(()), "{good:?}"));
    }
    for bad in [
        "5 \r\nhello\r\n0\r\n\r\n",
        "5\t\r\nhello",
        " 5\r\nhello",
        "+5\r\nhello",
        "0x5\r\nhello",
        "5\nhello",
        "5\r\nhelloX\r\n",
        "5\r\nhello\n0",
        "5;a\nb\r\n",
        "5;\r\nhello",
        "5;a=\r\nhello",
        "5;=b\r\nhello",
        "5;a b\r\nhello",
        "5;a=\"b\r\nhello",
        "5;a \r\nhello",
        "00000000000000005\r\nhello",
        "\r\nhello",
        "FFFFFFFFFFFFFFFFF\r\n",
        "0\r\n\n",
        "0\r\nx: y\n\nGET / HTTP/1.1\r\n",
    ] {
        (0..bad.len()).for_each(|cut| assert!(chunked(bad.as_bytes(), cut).is_err(), "{bad:?} cut at {cut}"));
    }
}

#[test]
fn a_fragment_and_two_lengths_are_malformed() {
    let head = |head: &str, length| {
        let mut framing = Framing::default();
        framing.given(head.as_bytes()).unwrap();
        framing.any_head(length)
    };
    assert!(head("GET /a#b HTTP/1.1\r\nhost: a\r\n\r\n", BodyLength::Known(0)).is_err());
    assert!(head("GET /a HTTP/1.1\r\nreferer: /a#b\r\n\r\n", BodyLength::Known(0)).is_ok());
    let both = "POST / HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n";
    assert!(head(both, BodyLength::Chunked).is_err());
    assert!(head(both, BodyLength::Known(5)).is_ok());
    let twice = "POST / HTTP/1.1\r\ncontent-length: 5\r\nContent-Length: 5\r\n\r\n";
    assert!(head(twice, BodyLength::Known(5)).is_err());
    let nothing_twice = "POST / HTTP/1.1\r\ncontent-length: 0\r\nContent-Length: 0\r\n\r\n";
    for next in ["", "GET /\u{e9} HTTP/1.1\r\n"] {
        let heads = format!("{nothing_twice}{next}");
        assert!(head(&heads, BodyLength::Known(0)).is_ok(), "the same whatever has arrived behind it");
    }
}

#[test]
fn what_hyper_hides_is_found_whatever_is_before_it() {
    let plain = "GET /x?y=z HTTP/1.1\r\nhost: a\r\n\r\n";
    let odd = [
        "GET /#b HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET /a HTTP/1.1\nhost: a\r\n\r\n",
        "GET /a HTTP/1.1\r\nhost: a\n\r\n",
        "GET /a HTTP/1.1\r\nhost: a\r\n\n",
        "GET /\u{e9} HTTP/1.1\r\nhost: a\r\n\r\n",
    ];
    for before in 0..3 {
        for lines in 0..20 {
            for (head, fine) in odd.map(|head| (head, false)).into_iter().chain([(plain, true)]) {
                let all = [&plain.repeat(before), &"\r\n".repeat(lines), head].concat();
                let mut framing = Framing::default();
                framing.given(all.as_bytes()).unwrap();
                (0..before).for_each(|_| framing.any_head(BodyLength::Known(0)).unwrap());
                assert_eq!(framing.any_head(BodyLength::Known(0)).is_ok(), fine, "{all:?}");
            }
        }
    }
}

#[test]
fn bytes_beyond_ascii_may_stand_in_headers() {
    let mut framing = Framing::default();
    framing.given("GET /a HTTP/1.1\r\nhost: a\r\nx-name: \u{e9}#\r\n\r\n".as_bytes()).unwrap();
    framing.any_head(BodyLength::Known(0)).unwrap();
}

#[test]
fn a_chunked_body_is_limited_while_it_arrives() {
    let limits = RequestLimits { body: 10, ..RequestLimits::default() };
    let status = |body: &str| {
        let mut framing = Framing::default();
        framing.read(HEAD, &limits)?;
        framing.head(BodyLength::Chunked, &limits)?;
        framing.read(body.as_bytes(), &limits)
    };
    assert_eq!(status("5\r\nhello\r\n5\r\nhello\r\n0\r\n\r\n"), Ok(()));
    for body in ["b\r\n", "5\r\nhello\r\n6\r\n", "FFFFFFFFFFFFFFFF\r\n"] {
        assert_eq!(status(body).unwrap_err().status.as_u16(), 413, "{body:?}");
    }
}

proptest! {
    /// However the bytes are cut, a malformed chunk after any requests is found, and nothing else is.
    #[test]
    fn requests_are_told_apart(
        kinds in prop::collection::vec((0u8..4, 0usize..40), 0..8),
        cuts in prop::collection::vec(1usize..50, 1..60),
        broken: bool,
    ) {
        let mut all: Vec<(Vec<u8>, Vec<u8>, BodyLength)> = kinds.iter().map(|(kind, size)| {
            let body = vec![b'\n'; *size];
            match kind {
                0 => (b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![], BodyLength::Known(0)),
                1 => (b"\r\nGET / HTTP/1.1\r\nx: \xe9#\r\n\r\n".to_vec(), vec![], BodyLength::Known(0)),
                2 => (b"POST / HTTP/1.1\r\n\r\n".to_vec(), body, BodyLength::Known(*size as u64)),
                _ => (HEAD.to_vec(), [format!("{:x}\r\n", size + 1).as_bytes(), &body, b"x\r\n0\r\n\r\n"].concat(), BodyLength::Chunked),
            }
        }).collect();
        let end: &[u8] = if broken { b"1 \r\nx\r\n0\r\n\r\n" } else { b"1\r\nx\r\n0\r\n\r\n" };
        all.push((HEAD.to_vec(), end.to_vec(), BodyLength::Chunked));
        let bytes: Vec<u8> = all.iter().flat_map(|(head, body, _)| [&head[..], body].concat()).collect();
        // hyper reports a head when it has all of it, and no head before the body of the last one is read.
        let (mut framing, mut given, mut result) = (Framing::default(), 0, Ok(()));
        let (mut heads, mut position) = (all.iter(), 0);
        let mut next = heads.next();
        let mut cuts = cuts.iter().cycle();
        while given < bytes.len() && result.is_ok() {
            let until = (given + cuts.next().copied().unwrap_or(1)).min(bytes.len());
            result = framing.given(&bytes[given..until]);
            given = until;
            while let Some((head, body, length)) = next
                && result.is_ok()
                && given >= position + head.len()
            {
                result = framing.any_head(*length);
                position += head.len() + body.len();
                next = heads.next();
            }
        }
        prop_assert_eq!(result.is_err(), broken);
    }
}
