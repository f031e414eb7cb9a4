//! `--task-ray-address local`: the Ray cluster of this server is one more of its companions.

use hostler_config::Config;
use hostler_master::MoldCommand;
use hostler_settings::{Companion, RAY_CLUSTER, Ready};
use hostler_sys::control::own_user;
use hostler_wire::CompanionSpec;
use std::{env, ffi::OsString, time::Duration};

/// How long the cluster may take to start, on a busy machine.
const STARTS: Duration = Duration::from_secs(120);

/// How long it may take to stop: told to, Ray waits for half a minute for nothing.
const STOPS: Duration = Duration::from_secs(3);

/// The cluster, if the server is to have one of its own. The application waits for it.
pub(crate) fn local_cluster(config: &Config, mold: &MoldCommand) -> Option<CompanionSpec> {
    let port = config.settings.tasks.local_ray()?;
    let program = mold.program.to_string_lossy().into_owned();
    let words = ["-m", "hostler.tasks._ray_local", &port.to_string()].map(str::to_owned);
    let command = [program].into_iter().chain(words).collect();
    let companion = Companion {
        before_workers: true,
        ready: Ready::Notify,
        ready_timeout: Some(STARTS),
        stop_timeout: STOPS,
        ..Companion::new(RAY_CLUSTER, command)
    };
    let directory = config.settings.app.working_dir.clone();
    Some(CompanionSpec { companion, identity: config.identity.clone(), directory, env: Vec::new() })
}

/// What the application and the cluster are told: where it is, as the application's own `ray.init()` reads it, too, and the secret
/// without which nobody joins. A Ray cluster runs whatever it is sent, and it listens on all addresses of the machine.
pub(crate) fn variables(config: &Config) -> Vec<(OsString, OsString)> {
    let tasks = &config.settings.tasks;
    let mut variables = vec![("HOSTLER_TASK_RAY_ADDRESS", tasks.ray())];
    if let Some(port) = tasks.local_ray() {
        let user = config.identity.user.as_ref().map_or_else(own_user, |(user, _)| *user);
        let token = env::temp_dir().join(format!("hostler-ray-{user}-{port}")).join("token");
        variables.extend([
            ("RAY_ADDRESS", tasks.ray()),
            ("RAY_AUTH_MODE", "token".into()),
            ("RAY_AUTH_TOKEN_PATH", token.to_string_lossy().into_owned()),
        ]);
    }
    variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
}
