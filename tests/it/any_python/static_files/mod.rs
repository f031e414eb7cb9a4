//! Static files: what is found beneath a mount, what is sent of it, and what happens when clients or files change their
//! minds in the middle.

mod adversity;
mod builds;
mod conditions;
mod mounts;
mod settings;
mod x_sendfile;

use hostler_testkit::{Builder, Server};
use std::{fs, path::Path};
use tempfile::TempDir;

/// A directory to serve.
struct Site(TempDir);

impl Site {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    /// With these files: names beneath the directory, and contents.
    fn with(files: &[(&str, &str)]) -> Self {
        let site = Self::new();
        files.iter().for_each(|(name, content)| site.write(name, content));
        site
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file that was last changed long ago, so that its validators are strong.
    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000)).unwrap();
    }
}

/// A server of one worker with this site as /static.
fn serve(site: &Site) -> Builder {
    Server::app("asgi_app:app").option("workers", 1).option("static-path-mount", site.path().display())
}

/// Bytes that differ from place to place.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at as u32).wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect()
}
