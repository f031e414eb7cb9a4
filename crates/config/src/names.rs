//! What a name that is no option may have been meant to be.

use hostler_settings::Declaration;

/// How similar names must be (Jaro-Winkler, from 0 to 1).
const SIMILAR: f64 = 0.8;

/// "did you mean …?", for a name on the command line or in a file.
pub(crate) fn hint(name: &str, options: impl Iterator<Item = &'static Declaration>) -> String {
    similar(name, options).map_or_else(
        || "`hostler --help-all` lists all options".into(),
        |known| format!("did you mean `{known}`?"),
    )
}

/// The most similar name of an option.
pub(crate) fn similar(
    name: &str,
    options: impl Iterator<Item = &'static Declaration>,
) -> Option<&'static str> {
    let names = options.flat_map(|option| [option.name].into_iter().chain(option.aliases.iter().copied()));
    let rated = names.map(|known| (strsim::jaro_winkler(known, name), known));
    let best = rated.max_by(|(a, _), (b, _)| a.total_cmp(b));
    best.filter(|(similarity, _)| *similarity > SIMILAR).map(|(_, known)| known)
}
