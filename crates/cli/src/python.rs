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
/// Stands in every extension, before the Python it was built for and the version of hostler.
const MARKER: &[u8] = b"hostler-extension-for:";
/// How long an interpreter may take to describe itself: at a reload the master blocks on it.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);
const OLDEST: (u32, u32) = (3, 10);

/// A Python that can run applications.
#[derive(Debug)]
pub(crate) struct Python {
    pub(crate) program: PathBuf,
    pub(crate) version: String,
    /// `cpython-313`.
    tag: String,
}

#[derive(Deserialize)]
struct Answer {
    major: u32,
    minor: u32,
    version: String,
    implementation: String,
    free_threaded: bool,
}

/// `--python`, else the active virtual environment's, else `python3` on PATH.
pub(crate) fn choose(asked: Option<&Path>, identity: &Identity) -> Result<Python, Failure> {
    let program = match (asked, env::var_os("VIRTUAL_ENV")) {
        (Some(asked), _) => asked.to_owned(),
        (None, Some(venv)) => Path::new(&venv).join("bin/python"),
        (None, None) => PathBuf::from("python3"),
    };
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
        }),
    }
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

/// The extension for this Python: beside the program, where cargo puts it, or installed.
pub(crate) fn extension_for(python: &Python) -> Result<PathBuf, Failure> {
    let here = env::current_exe().and_then(fs::canonicalize).unwrap_or_default();
    let here = here.parent().unwrap_or(Path::new(".")).to_owned();
    let mut found = Vec::new();
    for path in candidates(&here) {
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
        "build it: PYO3_PYTHON={program} cargo build --release; or name another Python with --python"
    )))
}

fn candidates(here: &Path) -> Vec<PathBuf> {
    let mut paths = vec![here.join("libhostler_python.so")];
    for directory in [here.join("extensions"), here.join("../lib/hostler")] {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        paths.extend(
            entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|so| so == "so")),
        );
    }
    paths
}

/// The Python that an extension was built for. The file is searched in blocks: the master does this at each reload, and
/// a whole extension in memory would be many times the master's size.
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
