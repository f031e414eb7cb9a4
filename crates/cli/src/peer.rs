//! A peer's command line: what the log says of it, and what an upgrade keeps of it.

use hostler_master::CommandLine;
use hostler_peers::{Asked, Translation};
use tracing::{info, warn};

/// Logs what has no effect or another meaning.
pub(crate) fn report(translation: &Translation) {
    let peer = translation.peer.name();
    info!(peer, "serving a command line of another server; --explain prints what becomes of it");
    let listed = |all: Vec<String>| Some(all.join(", ")).filter(|list| !list.is_empty());
    let unneeded = translation.without_effect().map(|(origin, _)| origin.shown()).collect();
    if let Some(options) = listed(unneeded) {
        info!(peer, options, "options have no effect; --explain says why");
    }
    let differing = translation.differing().map(|(origin, settings, _)| {
        let names = settings.iter().map(|setting| format!("--{}", setting.option.name));
        format!("{} ({})", origin.shown(), names.collect::<Vec<_>>().join(" "))
    });
    if let Some(options) = listed(differing.collect()) {
        info!(peer, options, "options are something else here; --explain says how");
    }
    for (origin, reason) in translation.lost() {
        warn!(peer, option = origin.shown(), reason, "an option has no effect");
    }
}

/// The command line of an upgrade, which is the same peer's also if the program's name said whose, and is another now: it was no
/// file's name (`exec -a gunicorn hostler …`).
pub(crate) fn kept(asked: Option<Asked>) -> impl FnOnce(CommandLine) -> CommandLine {
    move |own| match asked {
        Some(asked)
            if own.args == asked.args && own.program.file_name() != Some(asked.peer.name().as_ref()) =>
        {
            let words = ["as".into(), asked.peer.name().into()];
            CommandLine { args: words.into_iter().chain(asked.args).collect(), ..own }
        }
        _ => own,
    }
}
