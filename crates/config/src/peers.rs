//! Command lines of peers: what `hostler_peers` makes of them, as layers.

use crate::{
    Config, Outcome, Reading,
    environment::Environment,
    layers::{Given, Layers, Sources},
    source::Source,
};
use hostler_peers::{Asked, Files, Peer, Place, Prints, Translation};
use hostler_settings::{Application, Declaration, Program};
use hostler_wire::{ExitStatus, Failure};
use std::{collections::BTreeMap, ffi::OsString, path::Path};

/// Reads a peer's command line, and the environment.
pub(crate) fn parse(
    asked: Asked,
    variables: Vec<(OsString, OsString)>,
    reading: Reading,
    files: &dyn Files,
) -> Result<Outcome, Failure> {
    let peer = asked.peer;
    let args = asked.args.into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let named = variables.iter().map(|(name, value)| (name.to_string_lossy().into_owned(), value.clone()));
    let mut named: BTreeMap<_, _> = named.collect();
    if !are_ours(&named, reading) {
        named.remove("LISTEN_FDS");
    }
    let translation = hostler_peers::translate(peer, args, &named, files)?;
    match translation.prints {
        Some(Prints::Help) => return Ok(Outcome::Print(peer.help())),
        Some(Prints::Version) => {
            let version = env!("CARGO_PKG_VERSION");
            return Ok(Outcome::Print(format!("hostler {version}, as {}\n", peer.name())));
        }
        Some(Prints::Explanation | Prints::Configuration | Prints::Nothing) | None => {}
    }
    let checks = translation.prints == Some(Prints::Nothing);
    let explanation = (translation.prints == Some(Prints::Explanation)).then(|| translation.explanation());
    match (explanation, configured(translation, variables, reading)) {
        (Some(text), Ok(_)) => Ok(Outcome::Print(text)),
        (Some(text), Err(failure)) => Ok(Outcome::Refused(text, failure)),
        (None, Ok(Outcome::Run(config))) if checks => Ok(Outcome::Check(config)),
        (None, outcome) => outcome,
    }
}

/// Whether systemd's sockets are for this process (sd_listen_fds(3)), or for the one that it took them over from.
fn are_ours(variables: &BTreeMap<String, OsString>, reading: Reading) -> bool {
    let pid = variables.get("LISTEN_PID").and_then(|pid| pid.to_str());
    pid.is_some_and(|pid| reading == Reading::Again || pid == std::process::id().to_string())
}

fn text(arg: OsString) -> Result<String, Failure> {
    arg.into_string().map_err(|arg| {
        Failure::new(ExitStatus::Usage, format!("the argument `{}` is not UTF-8", arg.to_string_lossy()))
    })
}

fn configured(
    translation: Translation,
    variables: Vec<(OsString, OsString)>,
    reading: Reading,
) -> Result<Outcome, Failure> {
    if let Some(refusal) = translation.refusal() {
        return Err(refusal);
    }
    let mut argv = given(&translation, |place| *place == Place::Argv);
    if translation.prints == Some(Prints::Configuration) {
        let option = Program::print_config();
        argv.push(Given { option, texts: vec!["true".into()], source: Source::Argv });
    }
    let sources = Sources {
        argv,
        below_environment: given(&translation, |place| matches!(place, Place::Variable(_) | Place::File(_))),
        defaults: given(&translation, |place| *place == Place::Default),
        port: false,
    };
    let in_file = of_environment_file(&translation, &variables);
    let environment = Environment::new(variables.into_iter().chain(in_file));
    let layers = Layers::collect(sources, &environment, reading)?;
    let outcome = crate::outcome(layers, environment.unknown())?;
    Ok(match outcome {
        Outcome::Run(config) => Outcome::Run(Box::new(Config { peer: Some(translation), ..*config })),
        other => other,
    })
}

/// Variables that Uvicorn asks for after it has read its environment file, where the environment does not have them. A file
/// that cannot be read is told when the application's environment is made; a pipe is left for that.
fn of_environment_file(
    translation: &Translation,
    variables: &[(OsString, OsString)],
) -> Vec<(OsString, OsString)> {
    const ASKED: [&str; 2] = ["WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS"];
    let is_file = |option: &Declaration| option.name == Application::env_files().name;
    let settings = translation.settings(|_| translation.peer == Peer::Uvicorn);
    let path =
        settings.filter(|(_, setting)| is_file(setting.option)).find_map(|(_, setting)| setting.texts.last());
    let pairs = path.and_then(|path| crate::parse_env_file(&Reading::Again.text(Path::new(path)).ok()?).ok());
    let is_new = |name: &str| ASKED.contains(&name) && !variables.iter().any(|(set, _)| set == name);
    let pairs = pairs.into_iter().flatten().filter(|(name, _)| is_new(name));
    pairs.map(|(name, value)| (name.into(), value.into())).collect()
}

fn given(translation: &Translation, at: impl Fn(&Place) -> bool) -> Vec<Given> {
    let settings = translation.settings(at);
    let given = settings.map(|(origin, setting)| Given {
        option: setting.option,
        texts: setting.texts.clone(),
        source: Source::Peer(origin.clone()),
    });
    given.collect()
}
