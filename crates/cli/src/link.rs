//! `hostler link DIR`: symbolic links by which hostler has the names of the servers whose command lines it reads.

use hostler_peers::Peer;
use hostler_wire::{ExitStatus, Failure};
use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

/// The directory, if links are asked for. An application called `link` is `link:app`.
pub(crate) fn asked(args: &[OsString]) -> Option<Option<&Path>> {
    crate::is_command(args, "link").then(|| args.get(2).map(Path::new))
}

/// Makes the links; none if one of them would take the place of another file.
pub(crate) fn make(directory: Option<&Path>) -> Result<String, Failure> {
    let directory = directory.ok_or_else(|| {
        Failure::new(ExitStatus::Usage, "`hostler link` needs a directory")
            .hint("name one that is on PATH, such as ~/.local/bin or the virtual environment's bin")
    })?;
    let program = std::env::current_exe().map_err(|error| failed(directory, &error))?;
    let links = Peer::ALL.map(|peer| directory.join(peer.name()));
    for link in &links {
        refuse_foreign(link, &program)?;
    }
    let mut made = String::new();
    for link in &links {
        replace(link, &program).map_err(|error| failed(link, &error))?;
        made.push_str(&format!("{} -> {}\n", link.display(), program.display()));
    }
    Ok(made)
}

/// A link of an older hostler may be replaced, anything else may not.
fn refuse_foreign(link: &Path, program: &Path) -> Result<(), Failure> {
    let there = match fs::symlink_metadata(link) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(link, &error)),
    };
    let target = there.is_symlink().then(|| fs::read_link(link).ok()).flatten();
    match target.filter(|target| target.file_name() == program.file_name()) {
        Some(_) => Ok(()),
        None => Err(Failure::new(ExitStatus::Failed, format!("`{}` is there already", link.display()))
            .because("it is not a link to hostler, and is not replaced; no link was made")
            .hint("uninstall that server, remove the file, or name another directory")),
    }
}

fn replace(link: &Path, program: &Path) -> io::Result<()> {
    let mut name = link.as_os_str().to_owned();
    name.push(".hostler-new");
    let new = PathBuf::from(name);
    let _ = fs::remove_file(&new);
    symlink(program, &new)?;
    fs::rename(&new, link).inspect_err(|_| drop(fs::remove_file(&new)))
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::new(ExitStatus::Failed, format!("cannot make a link at `{}`", path.display()))
        .because(error.to_string())
        .hint("name a directory that is there, and that you may write to")
}
