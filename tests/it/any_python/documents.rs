//! Documents name tests; they exist.

use hostler_testkit::root;
use std::{collections::BTreeSet, fs, path::Path};

/// A function of a source file: the parts of the file's path, and its name.
struct Function {
    path: Vec<String>,
    name: String,
}

fn functions(dir: &Path, found: &mut Vec<Function>) {
    for path in fs::read_dir(dir).expect("it is a directory").flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            functions(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("it is a source file");
            let parts: Vec<String> =
                path.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
            let names = text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next());
            found.extend(names.map(|name| Function { path: parts.clone(), name: name.to_owned() }));
        }
    }
}

/// Names like `module::test` in a document; `*` and `…` stand for anything.
fn named(text: &str) -> BTreeSet<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    let is_path = |name: &&str| {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:*…".contains(c);
        name.contains("::") && name.chars().all(allowed)
    };
    quoted.filter(is_path).map(str::to_owned).collect()
}

/// Whether the parts of a pattern are in a name, in their order.
fn is_like(name: &str, pattern: &str) -> bool {
    let mut rest = name;
    let parts: Vec<&str> = pattern.split(['*', '…']).collect();
    let found = parts.iter().all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    });
    found && name.starts_with(parts[0]) && name.ends_with(parts[parts.len() - 1])
}

/// `a::b::test` is the function `test` in a file whose path has `a` and `b` in this order; `a::b` may be the file itself.
fn is_known(name: &str, functions: &[Function]) -> bool {
    let parts: Vec<&str> = name
        .split("::")
        .map(|part| part.trim_start_matches("hostler_"))
        .filter(|part| *part != "tests")
        .collect();
    let (last, modules) = parts.split_last().expect("it has a part");
    functions.iter().any(|function| {
        let mut path = function.path.iter();
        modules.iter().all(|module| path.any(|part| part == module))
            && (is_like(&function.name, last) || path.any(|part| part == last))
    })
}

fn names_tests_that_exist(document: &str, text: &str) {
    let mut all = Vec::new();
    functions(&root().join("tests/it"), &mut all);
    functions(&root().join("crates"), &mut all);
    let names = named(text);
    assert!(names.len() > 10, "{document} names tests: {names:?}");
    let missing: Vec<&String> = names.iter().filter(|name| !is_known(name, &all)).collect();
    assert!(missing.is_empty(), "{document} names tests that do not exist: {missing:#?}");
}

#[test]
fn tests_that_the_adversity_tables_name_exist() {
    let text = fs::read_to_string(root().join("docs/ADVERSITY.md")).unwrap();
    names_tests_that_exist("docs/ADVERSITY.md", &text);
}

#[test]
fn tests_that_guard_invariants_exist() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let invariants = text.split("## Invariants").nth(1).and_then(|rest| rest.split("\n## ").next());
    names_tests_that_exist("ARCHITECTURE.md", invariants.unwrap());
}

/// The text between a macro's parentheses, which begins here.
fn arguments(text: &str) -> &str {
    let (mut depth, mut in_text, mut escaped) = (1, false, false);
    let end = text.find(|c| {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_text => escaped = true,
            '"' => in_text = !in_text,
            '(' | '[' | '{' if !in_text => depth += 1,
            ')' | ']' | '}' if !in_text => depth -= 1,
            _ => {}
        }
        depth == 0
    });
    &text[..end.expect("it is closed")]
}

/// The message of an event: the last text that is not within an argument. What stands for a value becomes `…`.
fn message(arguments: &str) -> Option<String> {
    let (mut depth, mut start, mut escaped, mut found) = (0, None, false, None);
    for (at, c) in arguments.char_indices() {
        match (c, start) {
            _ if escaped => escaped = false,
            ('\\', Some(_)) => escaped = true,
            ('"', None) => start = Some(at + 1),
            ('"', Some(from)) => {
                found = if depth == 0 { Some(&arguments[from..at]) } else { found };
                start = None;
            }
            ('(' | '[' | '{', None) => depth += 1,
            (')' | ']' | '}', None) => depth -= 1,
            _ => {}
        }
    }
    let mut text = String::new();
    for (number, part) in found?.split('{').enumerate() {
        let rest = if number == 0 { part } else { part.split_once('}').map_or(part, |(_, rest)| rest) };
        text.push_str(if number == 0 { "" } else { "…" });
        text.push_str(rest);
    }
    Some(text)
}

/// Events of level info and above in the sources of the server. `hostler check` prints, and logs nothing.
fn events(dir: &Path, found: &mut BTreeSet<String>) {
    for path in fs::read_dir(dir).expect("it is a directory").flatten().map(|entry| entry.path()) {
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        if path.is_dir() && !["tests", "testkit", "torture", "xtask", "bench", "check"].contains(&&*name) {
            events(&path, found);
        } else if name.ends_with(".rs") && !name.contains("tests") {
            let text = fs::read_to_string(&path).expect("it is a source file");
            let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
            for macro_name in ["info!(", "warn!(", "error!("] {
                let text = text.replace("compile_error!(", "");
                let found_here = text.split(macro_name).skip(1).filter_map(|rest| message(arguments(rest)));
                found.extend(found_here.filter(|message| message.chars().any(char::is_alphabetic)));
            }
        }
    }
}

#[test]
fn each_event_of_the_log_has_a_row() {
    let mut all = BTreeSet::new();
    events(&root().join("crates"), &mut all);
    assert!(all.len() > 80, "{all:#?}");
    let text = fs::read_to_string(root().join("docs/LOG_EVENTS.md")).unwrap();
    let first_cells =
        text.lines().filter(|line| line.starts_with("| `")).filter_map(|line| line.split(" | ").next());
    let rows: BTreeSet<&str> = first_cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    // Some events have backticks themselves, or several lines.
    let plain = text.replace('`', "");
    let has_row = |event: &String| {
        let event = event.replace("\\n", "…");
        plain.contains(&event.replace('`', ""))
            || rows.iter().any(|row| is_like(row, &event) || is_like(&event, row))
    };
    let missing: Vec<&String> = all.iter().filter(|event| !has_row(event)).collect();
    assert!(missing.is_empty(), "docs/LOG_EVENTS.md has no rows for {missing:#?}");
}
