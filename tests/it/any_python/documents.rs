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
