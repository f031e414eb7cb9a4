//! Which files and directories count. Pure, but for a look at whether a directory is a virtual environment.

use hostler_settings::{AutoReload, Glob};
use regex_lite::Regex;
use std::path::{Path, PathBuf};

/// Directories of these names have no code that is being written, and may be large. Hidden ones are left out, too.
const SKIPPED_DIRECTORIES: [&str; 5] = ["__pycache__", "node_modules", "site-packages", "venv", "env.bak"];
/// Files of editors, and what is made of other files.
const SKIPPED_FILES: [&str; 6] = [".*", "*.py[cod]", "*~", "~*", "#*#", "*.sw?"];
const CODE: &str = "*.py";

/// What the options say.
pub(crate) struct Filter {
    include: Vec<Regex>,
    exclude: Vec<Regex>,
    skipped: Vec<Regex>,
    code: Vec<Regex>,
    ignore_dirs: Vec<String>,
    ignore_names: Vec<Regex>,
    ignore_paths: Vec<PathBuf>,
    /// Written by the server itself.
    own: Vec<PathBuf>,
}

impl Filter {
    pub(crate) fn new(options: &AutoReload) -> Self {
        let globs = |globs: &[Glob]| globs.iter().filter_map(Glob::regex).collect();
        let own = |globs: &[&str]| globs.iter().filter_map(|glob| Glob((*glob).into()).regex()).collect();
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        Self {
            include: globs(&options.include),
            exclude: globs(&options.exclude),
            skipped: own(&SKIPPED_FILES),
            code: own(&[CODE]),
            ignore_dirs: options.ignore_dirs.clone(),
            ignore_names: options
                .ignore_patterns
                .iter()
                .filter_map(hostler_settings::NamePattern::regex)
                .collect(),
            ignore_paths: options.ignore_paths.iter().map(absolute).collect(),
            own: Vec::new(),
        }
    }

    /// These files, which the server writes itself, do not count, whatever the user includes.
    pub(crate) fn without(mut self, own: impl Iterator<Item = PathBuf>) -> Self {
        self.own.extend(own);
        self
    }

    /// Whether a directory below a watched one is watched.
    pub(crate) fn enters(&self, directory: &Path) -> bool {
        let name = directory.file_name().unwrap_or_default().to_string_lossy();
        let named = |skipped: &str| name == skipped;
        let skipped = SKIPPED_DIRECTORIES.into_iter().any(named)
            || self.ignore_dirs.iter().any(|skipped| named(skipped))
            || name.starts_with('.');
        !skipped && !self.is_excluded(directory) && !directory.join("pyvenv.cfg").exists()
    }

    /// Whether a change of this file counts. What the user says takes precedence, and what does not count over what does.
    pub(crate) fn counts(&self, file: &Path) -> bool {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        if self.is_own(file)
            || self.is_excluded(file)
            || self.ignore_names.iter().any(|pattern| pattern.is_match(&name))
        {
            return false;
        }
        matches(&self.include, file) || matches(&self.code, file) && !matches(&self.skipped, file)
    }

    /// One of the server's files, or its draft: `.shop.pid.1234-0`.
    fn is_own(&self, file: &Path) -> bool {
        let name = file.file_name().unwrap_or_default().as_encoded_bytes();
        let is_draft = |own: &PathBuf| {
            let draft = name
                .strip_prefix(b".")
                .and_then(|name| name.strip_prefix(own.file_name().unwrap_or_default().as_encoded_bytes()));
            file.parent() == own.parent() && draft.is_some_and(|rest| rest.starts_with(b"."))
        };
        self.own.iter().any(|own| own == file || is_draft(own))
    }

    fn is_excluded(&self, path: &Path) -> bool {
        matches(&self.exclude, path) || self.ignore_paths.iter().any(|ignored| path.starts_with(ignored))
    }
}

fn matches(patterns: &[Regex], path: &Path) -> bool {
    let text = path.to_string_lossy();
    patterns.iter().any(|pattern| pattern.is_match(&text))
}

#[cfg(test)]
mod tests {
    use super::Filter;
    use hostler_settings::{AutoReload, Glob, NamePattern};
    use std::path::Path;

    fn counted(options: AutoReload, files: &[&str]) -> Vec<String> {
        let filter = Filter::new(&options);
        let counts = files.iter().filter(|file| filter.counts(Path::new(file)));
        counts.map(|file| (*file).to_owned()).collect()
    }

    const FILES: [&str; 7] =
        ["/s/a.py", "/s/a.pyc", "/s/.#a.py", "/s/.a.py.swp", "/s/a.py~", "/s/t/a.html", "/s/a_test.py"];

    #[test]
    fn code_counts_and_what_editors_write_beside_it_does_not() {
        assert_eq!(counted(AutoReload::default(), &FILES), ["/s/a.py", "/s/a_test.py"]);
    }

    #[test]
    fn the_user_says_what_counts_besides_and_what_does_not() {
        let options = AutoReload {
            include: vec![Glob("*.html".into()), Glob(".env".into())],
            exclude: vec![Glob("*_test.py".into())],
            ..AutoReload::default()
        };
        assert_eq!(
            counted(options, &[&FILES[..], &["/s/.env"]].concat()),
            ["/s/a.py", "/s/t/a.html", "/s/.env"]
        );
        let options = AutoReload {
            ignore_patterns: vec![NamePattern("_test".into())],
            ignore_paths: vec!["/s/a.py".into()],
            ..AutoReload::default()
        };
        assert!(counted(options, &FILES).is_empty());
    }

    #[test]
    fn files_of_the_server_do_not_count() {
        let options = AutoReload { include: vec![Glob("*".into())], ..AutoReload::default() };
        let filter = Filter::new(&options).without(["/s/shop.pid".into()].into_iter());
        let all = ["/s/shop.pid", "/s/.shop.pid.7-0", "/s/.shop.pid", "/s/t/shop.pid", "/s/shop.pid.py"];
        let counted: Vec<_> = all.into_iter().filter(|path| filter.counts(Path::new(path))).collect();
        assert_eq!(counted, ["/s/.shop.pid", "/s/t/shop.pid", "/s/shop.pid.py"]);
    }

    #[test]
    fn directories_without_code_are_left_out() {
        let options = AutoReload {
            ignore_dirs: vec!["generated".into()],
            exclude: vec![Glob("s/docs".into())],
            ignore_paths: vec!["/s/data".into()],
            ..AutoReload::default()
        };
        let filter = Filter::new(&options);
        let all =
            ["/s/.git", "/s/__pycache__", "/s/node_modules", "/s/generated", "/s/docs", "/s/data", "/s/app"];
        let entered: Vec<_> = all.into_iter().filter(|path| filter.enters(Path::new(path))).collect();
        assert_eq!(entered, ["/s/app"]);
        let venv = std::env::temp_dir().join(format!("hostler-filter-{}", std::process::id()));
        std::fs::create_dir_all(&venv).unwrap();
        assert!(filter.enters(&venv));
        std::fs::write(venv.join("pyvenv.cfg"), "").unwrap();
        assert!(!filter.enters(&venv));
        std::fs::remove_dir_all(&venv).unwrap();
    }
}
