//! The cases of `tests/strictness`, whose README says how they are written.

use hostler_testkit::root;
use std::fs;

/// A connection's requests, and what becomes of them.
#[derive(Debug, Default)]
pub(super) struct Case {
    /// File and name.
    pub(super) name: String,
    /// What is sent.
    pub(super) bytes: Vec<u8>,
    pub(super) responses: Vec<Response>,
    /// The connection ends after them.
    pub(super) ends: bool,
}

/// A response that is expected.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    /// What the application saw, if it was called.
    pub(super) seen: Vec<u8>,
}

/// All cases.
pub(super) fn cases() -> Vec<Case> {
    let mut files: Vec<_> =
        fs::read_dir(root().join("tests/strictness")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    let mut all = Vec::new();
    for file in files {
        let subject = file.file_stem().unwrap().to_string_lossy().into_owned();
        parse(&fs::read_to_string(&file).unwrap(), &subject, &mut all);
    }
    all
}

fn parse(text: &str, subject: &str, all: &mut Vec<Case>) {
    let first = all.len();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(sent) = line.strip_prefix('>') {
            let sent = sent.strip_prefix(' ').unwrap_or(sent);
            let case = all.last_mut().expect("a case has a name first");
            match sent.strip_suffix('\\') {
                Some(sent) => case.bytes.extend(unescape(sent)),
                None => case.bytes.extend([unescape(sent), b"\r\n".to_vec()].concat()),
            }
        } else if let Some(outcome) = line.strip_prefix("< ") {
            all.last_mut().expect("a case has a name first").expect(outcome);
        } else {
            all.push(Case { name: format!("{subject}: {line}"), ..Case::default() });
        }
    }
    assert!(all[first..].iter().all(|case| !case.responses.is_empty()), "{subject}: a case has an outcome");
}

impl Case {
    fn expect(&mut self, outcome: &str) {
        if outcome == "end" {
            self.ends = true;
            return;
        }
        let (status, seen) = outcome.split_once(' ').unwrap_or((outcome, ""));
        let status = status.parse().expect("a status");
        self.ends |= status != 200;
        self.responses.push(Response { status, seen: unescape(seen) });
    }
}

/// Bytes as they are written in a case.
fn unescape(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text);
    while let Some((plain, escaped)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        let (unescaped, length) = match escaped.as_bytes().first() {
            Some(b'r') => (b"\r".to_vec(), 1),
            Some(b'n') => (b"\n".to_vec(), 1),
            Some(b't') => (b"\t".to_vec(), 1),
            Some(b'0') => (b"\0".to_vec(), 1),
            Some(b'\\') => (b"\\".to_vec(), 1),
            Some(b'x') => (vec![u8::from_str_radix(&escaped[1..3], 16).expect("two digits")], 3),
            Some(b'{') => {
                let end = escaped.find('}').expect("a closing brace");
                let (times, what) = escaped[1..end].split_once('*').expect("TIMES*WHAT");
                (unescape(what).repeat(times.parse().expect("a number")), end + 1)
            }
            _ => panic!("what is escaped in {text:?}?"),
        };
        bytes.extend(unescaped);
        rest = &escaped[length..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}
