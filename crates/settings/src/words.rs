//! Words of a shell: split as POSIX shells do (Python's `shlex.split`), and quoted so that they are read again.

/// Splits a line into words.
///
/// # Errors
/// For a quotation that does not end.
pub fn split(line: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut chars) = (Vec::new(), None::<String>, line.chars());
    while let Some(char) = chars.next() {
        match char {
            '\'' => {
                let quoted = quotation(&mut chars, '\'')?;
                word.get_or_insert_default().push_str(&quoted);
            }
            '"' => {
                let quoted = quotation(&mut chars, '"')?;
                word.get_or_insert_default().push_str(&quoted);
            }
            '\\' => {
                let escaped = chars.next().ok_or("it ends with a backslash")?;
                word.get_or_insert_default().push(escaped);
            }
            char if char.is_ascii_whitespace() => words.extend(word.take()),
            char => word.get_or_insert_default().push(char),
        }
    }
    words.extend(word);
    Ok(words)
}

/// The rest of a quotation. A backslash escapes in double quotes only, and there only itself and the quote.
fn quotation(chars: &mut std::str::Chars<'_>, end: char) -> Result<String, String> {
    let mut text = String::new();
    while let Some(char) = chars.next() {
        match char {
            char if char == end => return Ok(text),
            '\\' if end == '"' => match chars.next() {
                Some(escaped @ ('"' | '\\')) => text.push(escaped),
                Some(other) => text.extend(['\\', other]),
                None => break,
            },
            char => text.push(char),
        }
    }
    Err(format!("a quotation with {end} does not end"))
}

/// A word as a shell reads it.
#[must_use]
pub fn quoted(word: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "@%+=:,./-_".contains(char);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::{quoted, split};

    #[test]
    fn lines_are_split_as_by_a_shell() {
        let words = |line: &str| split(line).unwrap();
        assert_eq!(words("-b :8000  --name 'my app'"), ["-b", ":8000", "--name", "my app"]);
        assert_eq!(
            words(r#"--access-logformat "%(h)s \"%(r)s\"" a\ b"#),
            ["--access-logformat", r#"%(h)s "%(r)s""#, "a b"]
        );
        assert_eq!(words(r#"'' "\n" a'b'"c""#), ["", r"\n", "abc"]);
        assert_eq!(words(" \n\t"), Vec::<String>::new());
        for wrong in ["'a", "\"a", "a\\"] {
            assert!(split(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_quoted_is_one_word_again() {
        for word in ["a b", "", "it's", "a\"b\\c", "$HOME", "*", "--x=1", "main:create_app()"] {
            assert_eq!(split(&quoted(word)).unwrap(), [word], "{word}");
        }
        assert_eq!(quoted("0.0.0.0:80"), "0.0.0.0:80");
    }
}
