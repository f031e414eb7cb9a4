//! Which Python runs the application, and which of our extensions fits it.

use hostler_sys::{identity, process::output_within};
use hostler_wire::{ExitStatus, Failure, Identity};
use serde::Deserialize;
use std::{
    env, fs,
    io::{ErrorKind, Read},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// Has an interpreter describe itself, as JSON.
const PROBE: &str = "import json, sys, sysconfig; print(json.dumps({\
    'executable': sys.executable, 'major': sys.version_info[0], 'minor': sys.version_info[1], \
    'version': sys.version.split()[0], 'implementation': sys.implementation.name, \
    'free_threaded': bool(sysconfig.get_config_var('Py_GIL_DISABLED'))}))";
/// `python -m hostler` and `hostler.run` say here which Python they are.
const LAUNCHED_BY: &str = "HOSTLER_LAUNCHED_BY";
/// Stands in every extension, before the Python it was built for and the version of hostler.
const MARKER: &[u8] = b"hostler-extension-for:";
/// How long an interpreter may take to describe itself.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);
const OLDEST: (u32, u32) = (3, 10);

/// A Python that can run applications.
#[derive(Debug)]
pub(crate) struct Python {
    pub(crate) program: PathBuf,
    pub(crate) version: String,
    /// `cpython-313`.
    tag: String,
    /// The directory that it is in, as it says itself: `program` may be a name on PATH.
    directory: PathBuf,
}

#[derive(Deserialize)]
struct Answer {
    executable: PathBuf,
    major: u32,
    minor: u32,
    version: String,
    implementation: String,
    free_threaded: bool,
}

/// `--python`, else the one that launched the program, else that of the virtual environment that the program is installed in,
/// else the active virtual environment's, else `python3` on PATH.
pub(crate) fn choose(asked: Option<&Path>, identity: &Identity) -> Result<Python, Failure> {
    let active = || env::var_os("VIRTUAL_ENV").map(|venv| Path::new(&venv).join("bin/python"));
    let launched_by = || env::var_os(LAUNCHED_BY).filter(|path| !path.is_empty()).map(PathBuf::from);
    let program = asked
        .map(Path::to_owned)
        .or_else(launched_by)
        .or_else(|| beside(&program_directory()))
        .or_else(active);
    let program = program.unwrap_or_else(|| PathBuf::from("python3"));
    let answer = ask(&program, identity)?;
    let refusal = if answer.implementation != "cpython" {
        Some(format!("it is {} {}, and only CPython is supported", answer.implementation, answer.version))
    } else if (answer.major, answer.minor) < OLDEST {
        Some(format!("it is Python {}, and 3.10 is the oldest that is supported", answer.version))
    } else if answer.free_threaded {
        Some(format!("it is Python {} without the GIL, which is not supported yet", answer.version))
    } else {
        None
    };
    match refusal {
        Some(cause) => Err(unusable(&program, cause)),
        None => Ok(Python {
            program,
            version: answer.version,
            tag: format!("cpython-{}{}", answer.major, answer.minor),
            directory: answer.executable.parent().map(Path::to_owned).unwrap_or_default(),
        }),
    }
}

/// The interpreter of the virtual environment whose programs are in this directory.
fn beside(scripts: &Path) -> Option<PathBuf> {
    let python = scripts.join("python");
    (scripts.join("../pyvenv.cfg").exists() && python.exists()).then_some(python)
}

/// Where this program is: behind symbolic links, as those of pipx to its environments.
fn program_directory() -> PathBuf {
    let here = env::current_exe().and_then(fs::canonicalize).unwrap_or_default();
    here.parent().unwrap_or(Path::new(".")).to_owned()
}

fn ask(program: &Path, identity: &Identity) -> Result<Answer, Failure> {
    let mut command = Command::new(program);
    // As the workers' user: the interpreter may be a file of that user, which root must not run.
    let output = identity::run_as(&mut command, identity)
        .and_then(|()| output_within(command.args(["-I", "-S", "-c", PROBE]), PROBE_TIMEOUT));
    let output = output.map_err(|error| match &identity.user {
        Some((user, name)) if error.kind() == ErrorKind::PermissionDenied => {
            let user = if name.is_empty() { user.to_string() } else { format!("`{name}`") };
            unusable(program, format!("user {user} may not run it: {error}"))
        }
        _ => unusable(program, error.to_string()),
    })?;
    if !output.status.success() {
        let last = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(unusable(program, format!("it failed to start ({}) {last}", output.status)));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|_| unusable(program, "it is not a Python interpreter".into()))
}

fn unusable(program: &Path, cause: String) -> Failure {
    let message = format!("the Python interpreter `{}` cannot be used", program.display());
    Failure::new(ExitStatus::Config, message)
        .because(cause)
        .hint("name a CPython from 3.10 on with --python, or activate a virtual environment that has one")
}

/// The extension for this Python: beside the program, where cargo puts it, or installed with the package of this program or
/// this Python.
pub(crate) fn extension_for(python: &Python) -> Result<PathBuf, Failure> {
    let here = program_directory();
    let mut found = Vec::new();
    for path in candidates(&here, &python.directory) {
        let Some(built_for) = fs::File::open(&path).ok().and_then(built_for) else { continue };
        let version = env!("CARGO_PKG_VERSION");
        if [python.tag.as_str(), "abi3"].iter().any(|tag| built_for == format!("{tag}/{version}")) {
            return Ok(path);
        }
        found.push(format!("{} is for {built_for}", path.display()));
    }
    let cause = if found.is_empty() { format!("none lies in {}", here.display()) } else { found.join("; ") };
    let program = python.program.display();
    let message = format!("there is no hostler extension for Python {} (`{program}`)", python.version);
    Err(Failure::new(ExitStatus::Config, message).because(cause).hint(format!(
        "install it: {program} -m pip install hostler; in a checkout, build it: PYO3_PYTHON={program} cargo build \
         --release; or name another Python with --python"
    )))
}

fn candidates(here: &Path, python: &Path) -> Vec<PathBuf> {
    let mut paths = vec![here.join("libhostler_python.so")];
    let own = [here.join("extensions"), here.join("../lib/hostler")];
    let installed = [here, python].into_iter().filter(|scripts| scripts.is_absolute()).flat_map(packages);
    for directory in own.into_iter().chain(installed) {
        paths.extend(entries(&directory).filter(|path| path.extension().is_some_and(|so| so == "so")));
    }
    paths
}

/// Where installers put the package `hostler` if they put its programs here: `lib/python3.13/site-packages`, on Debian
/// also `dist-packages`, on Fedora `lib64`.
fn packages(scripts: &Path) -> Vec<PathBuf> {
    let libraries = ["../lib", "../lib64"].into_iter().flat_map(|name| entries(&scripts.join(name)));
    let pythons = libraries.filter(|path| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("python3"))
    });
    pythons
        .flat_map(|python| ["site-packages", "dist-packages"].map(|kind| python.join(kind).join("hostler")))
        .collect()
}

fn entries(directory: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// The Python that an extension was built for. The file is searched in blocks: a whole extension in memory would be many times
/// the size of the process that asks.
fn built_for(mut file: impl Read) -> Option<String> {
    const BLOCK: u64 = 64 << 10;
    /// The longest marker with the text behind it, in bytes.
    const LONGEST: usize = 128;
    let mut seen = Vec::new();
    loop {
        let read = file.by_ref().take(BLOCK).read_to_end(&mut seen).ok()?;
        let start = seen.windows(MARKER.len()).position(|window| window == MARKER);
        if let Some(start) = start.filter(|start| read == 0 || start + LONGEST <= seen.len()) {
            let rest = &seen[start + MARKER.len()..seen.len().min(start + LONGEST)];
            let end = rest.iter().position(|byte| *byte == b';')?;
            return String::from_utf8(rest[..end].to_vec()).ok();
        }
        if read == 0 {
            return None;
        }
        // A marker may begin at the end of this block.
        let keep = start.unwrap_or(seen.len().saturating_sub(LONGEST));
        seen.drain(..keep);
    }
}

#[cfg(test)]
mod tests {
    use super::built_for;

    #[test]
    fn the_marker_tells_what_an_extension_is_for() {
        assert_eq!(
            built_for(&b"\0..hostler-extension-for:cpython-313/0.1.0;\0"[..]),
            Some("cpython-313/0.1.0".into())
        );
        assert_eq!(built_for(&b"nothing"[..]), None);
    }

    #[test]
    fn the_marker_is_found_wherever_blocks_end() {
        for before in (65_536 - 60..65_536 + 10).chain([0, 200_000]) {
            let file =
                [&vec![b'.'; before][..], b"hostler-extension-for:abi3/1;", &vec![b'.'; 100_000]].concat();
            assert_eq!(built_for(&file[..]), Some("abi3/1".into()), "{before} bytes before it");
        }
        assert_eq!(built_for(&vec![b'.'; 300_000][..]), None);
    }
}
