//! Whether log lines are to be JSON, of a configuration that may have mistakes: they are told in the form that it asks for.

use hostler_settings::Log;
use std::{
    ffi::{OsStr, OsString},
    path::Path,
};

const FORMAT: &str = "log-format";

/// Whether it asks for JSON: the command line before the environment before the file.
pub fn asks_for_json(args: &[OsString], variables: &[(OsString, OsString)]) -> bool {
    let variable = |name: &str| {
        let found = variables.iter().find(|(known, _)| known.as_os_str() == OsStr::new(name));
        found.and_then(|(_, value)| value.to_str()).filter(|value| !value.is_empty()).map(str::to_owned)
    };
    let file = || argument(args, &["--config", "-c"]).or_else(|| variable("HOSTLER_CONFIG"));
    let format = argument(args, &["--log-format"])
        .or_else(|| Log::format().env_names().find_map(|name| variable(&name)))
        .or_else(|| file().and_then(|path| in_file(Path::new(&path))));
    format.is_some_and(|format| format.eq_ignore_ascii_case("json"))
}

/// The last value that the command line has for an option.
fn argument(args: &[OsString], names: &[&str]) -> Option<String> {
    let texts: Vec<&str> = args.iter().skip(1).filter_map(|arg| arg.to_str()).collect();
    let with_equals = |text: &&str| {
        let (name, value) = text.split_once('=')?;
        names.contains(&name).then(|| value.to_owned())
    };
    let behind = |pair: &[&str]| names.contains(&pair[0]).then(|| pair[1].to_owned());
    let last = texts.iter().filter_map(with_equals).next_back();
    last.or_else(|| texts.windows(2).filter_map(behind).next_back())
}

/// What a file says, which may be no TOML. Pipes are left to those who read them once.
fn in_file(path: &Path) -> Option<String> {
    let text = path.is_file().then(|| std::fs::read_to_string(path).ok())??;
    let line = |line: &str| {
        let (name, value) = line.split_once('=')?;
        (name.trim().replace('_', "-") == FORMAT).then(|| value.trim().trim_matches(['"', '\'']).to_owned())
    };
    text.lines().find_map(line)
}

#[cfg(test)]
mod tests {
    use super::asks_for_json;

    fn asks(line: &str, variables: &[(&str, &str)]) -> bool {
        let args: Vec<_> = line.split(' ').map(Into::into).collect();
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        asks_for_json(&args, &variables)
    }

    #[test]
    fn any_layer_may_ask() {
        let json = &[("HOSTLER_LOG_FORMAT", "JSON")][..];
        assert!(asks("hostler a:b --log-format json --wrong", &[]));
        assert!(asks("hostler --log-format=json", &[]));
        assert!(asks("hostler a:b", json));
        assert!(!asks("hostler a:b --log-format text", json));
        assert!(!asks("hostler a:b --log-format", &[]));
        let file = std::env::temp_dir().join(format!("hostler-form-{}", std::process::id()));
        std::fs::write(&file, "wrokers = \nlog_format = \"json\"\n").expect("it can be written");
        assert!(asks(&format!("hostler a:b --config {}", file.display()), &[]));
        assert!(asks("hostler a:b", &[("HOSTLER_CONFIG", &file.to_string_lossy())]));
        std::fs::remove_file(&file).expect("it is there");
    }
}
