//! A format in text, as Python's `%` reads it: `%(name)s` with flags, width and precision.

use crate::{
    NAMED,
    atom::{Atom, Kind},
    form::Spec,
    format::{Format, Piece},
    json,
};
use std::fmt;

/// Why a text is no format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormatError {
    /// What is wrong with it.
    pub cause: String,
    /// What to do.
    pub hint: &'static str,
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

impl std::error::Error for FormatError {}

const SYNTAX: &str = "write `%(name)s` for a value and `%%` for a percent sign";
const NAMES: &str = "the names are those of Gunicorn and Granian; docs/ACCESS_LOG.md lists them";
const CREDENTIALS: &str = "Authorization, Proxy-Authorization, Cookie and Set-Cookie are not logged; `%(u)s` is the user of Basic authentication";
const CONSTANT: &str = "the formats with a name are common, combined, granian and json, in small letters; any other text \
    needs values, such as `%(r)s`";
const CONVERSIONS: &str = "a value ends in `s`, a number may end in `d` or `f`: `%(status)d`, `%(dt_ms).3f`";

impl Format {
    /// Compiles `json`, the name of a format, or a format in text.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        if text == "json" {
            return Ok(Self::of(json::pieces()));
        }
        let named = NAMED.iter().find(|(name, _)| *name == text).map(|(_, format)| *format);
        let pieces = pieces(named.unwrap_or(text))?;
        if !pieces.iter().any(|piece| matches!(piece, Piece::Atom(..))) {
            let cause = format!("`{text}` has no value: all lines would be the same");
            return Err(FormatError { cause, hint: CONSTANT });
        }
        Ok(Self::of(pieces))
    }
}

fn pieces(text: &str) -> Result<Vec<Piece>, FormatError> {
    if text.contains(char::is_control) {
        let cause = "it contains a control character, such as a line feed".into();
        return Err(FormatError { cause, hint: "a request is one line; leave it out" });
    }
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        push_literal(&mut pieces, &rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            push_literal(&mut pieces, "%");
            rest = after;
        } else {
            let (piece, after) = conversion(rest)?;
            pieces.push(piece);
            rest = after;
        }
    }
    push_literal(&mut pieces, rest);
    Ok(pieces)
}

fn push_literal(pieces: &mut Vec<Piece>, text: &str) {
    if !text.is_empty() {
        pieces.push(Piece::Literal(text.as_bytes().into()));
    }
}

/// What follows a percent sign.
fn conversion(text: &str) -> Result<(Piece, &str), FormatError> {
    let shown: String = text.chars().take(20).collect();
    let broken = || FormatError { cause: format!("`%{shown}` is no value"), hint: SYNTAX };
    let (name, rest) = text.strip_prefix('(').and_then(|text| text.split_once(')')).ok_or_else(broken)?;
    let unknown = || FormatError { cause: format!("there is no value `{name}`"), hint: NAMES };
    let atom = Atom::from_name(name).ok_or_else(unknown)?;
    if atom.is_credential() {
        let cause = format!("`{name}` would write credentials to the log");
        return Err(FormatError { cause, hint: CREDENTIALS });
    }
    let (mut spec, rest) = spec(rest).ok_or_else(broken)?;
    let kind = rest.chars().next().ok_or_else(broken)?;
    let misfit =
        || FormatError { cause: format!("`%({name}){kind}`: `{kind}` does not suit it"), hint: CONVERSIONS };
    match kind {
        's' => {}
        'd' | 'i' if atom.kind() == Kind::Number => spec.whole = true,
        'f' if atom.kind() == Kind::Number => spec.precision = spec.precision.or(Some(6)),
        _ => return Err(misfit()),
    }
    if kind == 's' && spec.precision.is_some() {
        return Err(misfit());
    }
    Ok((Piece::text(atom, spec), &rest[kind.len_utf8()..]))
}

/// Flags, width and precision; `None` if a number is too large.
fn spec(text: &str) -> Option<(Spec, &str)> {
    let mut spec = Spec::default();
    let flags = text.len() - text.trim_start_matches(['-', '0', '+', ' ', '#']).len();
    spec.left = text[..flags].contains('-');
    spec.zeros = text[..flags].contains('0') && !spec.left;
    let (width, rest) = number(&text[flags..]);
    spec.width = if width.is_empty() { 0 } else { width.parse::<u8>().ok()? };
    let Some(after) = rest.strip_prefix('.') else { return Some((spec, rest)) };
    let (precision, rest) = number(after);
    spec.precision = Some(if precision.is_empty() { 0 } else { precision.parse::<u8>().ok()? });
    Some((spec, rest))
}

fn number(text: &str) -> (&str, &str) {
    text.split_at(text.len() - text.trim_start_matches(|digit: char| digit.is_ascii_digit()).len())
}

#[cfg(test)]
mod tests {
    use crate::{Format, NAMED};

    fn refusal(text: &str) -> String {
        Format::parse(text).err().map(|error| error.cause).unwrap_or_default()
    }

    #[test]
    fn what_is_no_format_is_refused_in_the_users_terms() {
        assert_eq!(refusal("%(nope)s"), "there is no value `nope`");
        assert_eq!(refusal("%(h)d"), "`%(h)d`: `d` does not suit it");
        assert_eq!(refusal("%(status)x"), "`%(status)x`: `x` does not suit it");
        assert_eq!(refusal("100%"), "`%` is no value");
        assert_eq!(refusal("%h"), "`%h` is no value");
        assert_eq!(refusal("%(h"), "`%(h` is no value");
        assert_eq!(refusal("%(h)"), "`%(h)` is no value");
        assert!(refusal("a\nb").contains("control character"));
    }

    #[test]
    fn credentials_are_not_logged_by_any_name() {
        for name in [
            "{Authorization}i",
            "{HTTP_AUTHORIZATION}e",
            "{http_cookie}e",
            "header{cookie}",
            "{Proxy-Authorization}i",
            "{Set-Cookie}o",
        ] {
            let refused = format!("`{name}` would write credentials to the log");
            assert_eq!(refusal(&format!("%({name})s")), refused);
        }
    }

    #[test]
    fn a_text_without_a_value_is_refused() {
        for text in ["JSON", "Combined", "", "100%%"] {
            assert_eq!(refusal(text), format!("`{text}` has no value: all lines would be the same"));
        }
    }

    #[test]
    fn names_and_all_atoms_of_gunicorn_and_granian_are_taken() {
        for (name, _) in NAMED {
            assert_eq!(refusal(name), "");
        }
        for name in "h l u t r s m U q H b B f a T D M L p".split(' ') {
            assert_eq!(refusal(&format!("%({name})s")), "");
        }
        for name in "addr time dt_ms status path query_string method scheme protocol".split(' ') {
            assert_eq!(refusal(&format!("%({name})s")), "");
        }
        assert_eq!(refusal("%({x-a}i)s %({Content-Type}o)s %({HTTP_X_A}e)s %({REMOTE_PORT}e)s %%"), "");
        assert_eq!(refusal("%({remote_addr}e)s %({Http_X}e)s %({WSGI.url_scheme}e)s %(port)d"), "");
        assert_eq!(refusal("json"), "");
    }
}
