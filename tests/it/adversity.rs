//! docs/ADVERSITY.md names tests; they exist.

use hostler_testkit::root;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The functions of a source file.
fn functions(file: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(file).expect("it is a source file");
    let names = text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next());
    names.map(str::to_owned).collect()
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("it is a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Names like `module::test` in a document.
fn named(text: &str) -> BTreeSet<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    let is_path = |name: &&str| {
        name.contains("::")
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:".contains(c))
    };
    quoted.filter(is_path).map(str::to_owned).collect()
}

#[test]
fn every_test_that_the_table_of_adversities_names_exists() {
    let table = fs::read_to_string(root().join("docs/ADVERSITY.md")).expect("the table exists");
    let mut units = Vec::new();
    sources(&root().join("crates"), &mut units);
    let units: BTreeSet<String> = units.iter().flat_map(|file| functions(file)).collect();
    let names = named(&table);
    assert!(names.len() > 50, "the table names tests: {names:?}");
    let missing: Vec<&String> = names
        .iter()
        .filter(|name| {
            let (module, test) = name.rsplit_once("::").expect("it is a path");
            let file = root().join(format!("tests/it/{module}.rs"));
            let known = if file.exists() { functions(&file) } else { units.clone() };
            !known.contains(test)
        })
        .collect();
    assert!(missing.is_empty(), "docs/ADVERSITY.md names tests that do not exist: {missing:#?}");
}
