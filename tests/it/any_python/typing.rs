//! The types of the Python package that applications install.

use crate::support::succeeds;

#[test]
fn applications_are_typed() {
    let cache = format!("--cache-dir={}", std::env::temp_dir().join("hostler-mypy").display());
    let text = succeeds(&["-m", "mypy", "--strict", &cache, "typed_app.py"]);
    assert!(text.contains("no issues found"), "{text}");
}
