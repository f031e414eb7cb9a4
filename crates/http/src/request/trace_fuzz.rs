//! Any `traceparent`: what is read is what its parts say when it is split at its dashes.

use super::TraceContext;
use crate::fuzzing::assemble_text;

const PARTS: [&str; 14] = [
    "00-",
    "cc-",
    "ff-",
    "0af7651916cd43dd8448eb211c80319c",
    "00000000000000000000000000000000",
    "b7ad6b7169203331",
    "0000000000000000",
    "-",
    "01",
    "-01",
    "0AF7651916CD43DD8448EB211C80319C",
    "\u{e9}",
    " ",
    "-more",
];

#[test]
fn fuzz_traceparent() {
    bolero::check!().with_max_len(8).for_each(|input: &[u8]| {
        let text = assemble_text(input, &PARTS);
        let found = TraceContext::parse(text.as_bytes());
        let found = found.map(|context| (context.ids().0.to_owned(), context.ids().1.to_owned()));
        assert_eq!(found, ids(&text), "{text}");
    });
}

fn ids(text: &str) -> Option<(String, String)> {
    let mut parts = text.split('-');
    let mut part = |length: usize| {
        let is_digit = |digit: char| digit.is_ascii_digit() || ('a'..='f').contains(&digit);
        parts.next().filter(|part| part.len() == length && part.chars().all(is_digit))
    };
    let (version, trace, parent, _) = (part(2)?, part(32)?, part(16)?, part(2)?);
    let has_more = parts.next().is_some();
    let is_id = |id: &str| id.chars().any(|digit| digit != '0');
    let is_valid = version != "ff" && !(version == "00" && has_more) && is_id(trace) && is_id(parent);
    is_valid.then(|| (trace.to_owned(), parent.to_owned()))
}
