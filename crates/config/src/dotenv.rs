//! Environment files: `KEY=VALUE` lines, comments, `export`, quotes.

/// Reads an environment file; the error names the line.
///
/// # Errors
/// For a line that is neither empty nor a comment nor an assignment.
pub fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut variables = Vec::new();
    // Some editors begin a file with it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let assignment = line.split_once('=').map(|(key, value)| (key.trim(), unquote(value.trim())));
        match assignment {
            Some((key, Some(value))) if is_name(key) => variables.push((key.to_owned(), value)),
            _ => return Err(format!("line {} is not of the form KEY=VALUE: {line}", number + 1)),
        }
    }
    Ok(variables)
}

fn is_name(key: &str) -> bool {
    !key.is_empty()
        && !key.starts_with(|c: char| c.is_ascii_digit())
        && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// `None` for an unfinished quote.
fn unquote(value: &str) -> Option<String> {
    if let Some(rest) = value.strip_prefix('\'') {
        return rest.split_once('\'').map(|(inner, _)| inner.to_owned());
    }
    let Some(rest) = value.strip_prefix('"') else {
        let end = value.find(" #").unwrap_or(value.len());
        return Some(value[..end].trim_end().to_owned());
    };
    let (mut inner, mut chars) = (String::new(), rest.chars());
    loop {
        match chars.next()? {
            '"' => return Some(inner),
            '\\' => inner.push(match chars.next()? {
                'n' => '\n',
                't' => '\t',
                other => other,
            }),
            other => inner.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn quotes_comments_and_export() {
        let text = "# c\nA=1\nexport B = two words # c\nC='a#b'\nD=\"x\\ny\"\nE=\n";
        let pairs = parse(text).unwrap();
        let values: Vec<&str> = pairs.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, ["1", "two words", "a#b", "x\ny", ""]);
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_a_name() {
        assert_eq!(parse("\u{feff}A=1").unwrap(), [("A".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn a_line_that_is_no_assignment_is_named() {
        assert!(parse("A=1\nnonsense").unwrap_err().contains("line 2"));
        assert!(parse("1A=1").is_err());
        assert!(parse("A=\"open").is_err());
    }
}
