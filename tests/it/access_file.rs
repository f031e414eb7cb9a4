//! The access log in a file, as tests read it.

use hostler_testkit::{Builder, Server, directory};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A server with one worker and an access log in a file.
pub(crate) fn logging(name: &str, builder: Builder, format: &str) -> (Builder, PathBuf) {
    let file = directory(name).join("access");
    let builder = builder.option("workers", 1).option("access-logfile", file.display());
    (builder.option("access-log-fmt", format), file)
}

pub(crate) fn text(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

/// The lines, once there are so many.
pub(crate) fn lines(server: &Server, file: &Path, count: usize) -> Vec<String> {
    server.wait_until(&format!("{count} lines in {}", text(file)), || text(file).lines().count() >= count);
    let lines: Vec<String> = text(file).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), count, "{lines:#?}");
    lines
}

/// Lines in the format `json`.
pub(crate) fn objects(server: &Server, file: &Path, count: usize) -> Vec<Value> {
    lines(server, file, count).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}
