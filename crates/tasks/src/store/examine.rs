//! Looking at a file before anything is started for it: what its header says (<https://www.sqlite.org/fileformat2.html>, 1.3), without a lock and without
//! SQLite, so that it holds nobody up who has the file.

use super::schema::{APPLICATION, FORMAT};
use crate::{OpenError, StoreError};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read},
    path::{Path, PathBuf},
};

const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const FORMAT_AT: usize = 60;
const APPLICATION_AT: usize = 68;

/// Whether a queue could be in this file, as far as can be seen from outside. A file that is not there yet has a directory.
///
/// # Errors
/// When it could not.
pub fn examine(path: &Path) -> Result<(), OpenError> {
    let failed = |source: StoreError| OpenError::File { path: path.to_owned(), source };
    let mut file = match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return in_directory(path).map_err(|error| failed(error.into()));
        }
        opened => opened.map_err(|error| failed(error.into()))?,
    };
    let header = header(&mut file).map_err(|error| failed(error.into()))?;
    let number = |at: usize| {
        i64::from(u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]))
    };
    match header.len() {
        // It is made, and nothing is written yet.
        0 => Ok(()),
        100 if header.starts_with(MAGIC) => match (number(APPLICATION_AT), number(FORMAT_AT)) {
            // A new one has them in its log first.
            (0, _) => Ok(()),
            (APPLICATION, found) if found > FORMAT => {
                Err(OpenError::Newer { path: path.to_owned(), found, known: FORMAT })
            }
            (APPLICATION, _) => Ok(()),
            _ => Err(OpenError::Foreign { path: path.to_owned() }),
        },
        _ => Err(failed(StoreError::Damaged("it does not begin as a database does".into()))),
    }
}

fn header(file: &mut File) -> io::Result<Vec<u8>> {
    let mut header = Vec::new();
    file.take(100).read_to_end(&mut header)?;
    Ok(header)
}

fn in_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|it| !it.as_os_str().is_empty());
    let directory = directory.map_or_else(|| PathBuf::from("."), Path::to_owned);
    match std::fs::metadata(&directory)?.is_dir() {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::NotADirectory, "it is in no directory")),
    }
}
