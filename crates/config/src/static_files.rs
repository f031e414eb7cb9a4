//! Static files: which routes and directories belong together.
//!
//! Not here: whether the directories are there, which the start tries.

use crate::layers::Layers;
use hostler_settings::{Declaration, StaticFiles, StaticMount};
use hostler_wire::Failure;
use std::path::PathBuf;

/// Checks the mounts, and makes their directories absolute: a worker may work in another one.
pub(crate) fn settle(layers: &mut Layers) -> Result<(), Failure> {
    let files = &layers.settings.static_files;
    check_pairs(layers, files)?;
    let tables = files.mounts.iter().map(|mount| (StaticFiles::mounts(), mount.clone()));
    let pairs = files.route.iter().zip(&files.mount);
    let pairs =
        pairs.map(|(route, path)| (StaticFiles::route(), StaticMount::new(route.clone(), path.clone())));
    let mounts: Vec<_> = pairs.chain(tables).collect();
    for (index, (option, mount)) in mounts.iter().enumerate() {
        check_nul(layers, option, mount)?;
        check_route(layers, option, &mount.route)?;
        if let Some((_, other)) = mounts[..index].iter().find(|(_, other)| other.route == mount.route) {
            return Err(overlap(layers, option, other, mount));
        }
        check_names(layers, mount)?;
    }
    let files = &mut layers.settings.static_files;
    let paths = files.mount.iter_mut().chain(&mut files.x_sendfile);
    paths.chain(files.mounts.iter_mut().map(|mount| &mut mount.path)).for_each(make_absolute);
    Ok(())
}

fn check_pairs(layers: &Layers, files: &StaticFiles) -> Result<(), Failure> {
    let (routes, directories) = (files.route.len(), files.mount.len());
    let (route, mount) = (StaticFiles::route(), StaticFiles::mount());
    if routes == directories || directories == 0 && files.route == StaticFiles::default().route {
        return Ok(());
    }
    let option = if directories == 0 { route } else { mount };
    let cause = format!("there are {routes} routes and {directories} directories");
    let hint = "give each --static-path-mount a --static-path-route, in the same order; one directory alone has the route /static";
    Err(layers.unusable(option).because(cause).hint(hint))
}

/// In a table a NUL is escaped, and so not seen where all values are checked for it.
fn check_nul(layers: &Layers, option: &Declaration, mount: &StaticMount) -> Result<(), Failure> {
    let names =
        [Some(mount.route.as_str()), mount.path.to_str(), mount.index.as_deref(), mount.fallback.as_deref()];
    if names.into_iter().flatten().any(|name| name.contains('\0')) {
        return Err(layers.invalid(option).because("it contains a NUL"));
    }
    Ok(())
}

fn check_route(layers: &Layers, option: &Declaration, route: &str) -> Result<(), Failure> {
    let is_path = route.is_empty() || route.starts_with('/');
    let is_part = |part: &str| !matches!(part, "" | "." | "..");
    if is_path && route.split('/').skip(1).all(is_part) && !route.contains(['?', '#', '%']) {
        return Ok(());
    }
    let cause = format!("`{route}` is no path of a URL");
    Err(layers
        .unusable(option)
        .because(cause)
        .hint("a route begins with a slash, as /static, and is not encoded"))
}

fn overlap(layers: &Layers, option: &Declaration, one: &StaticMount, other: &StaticMount) -> Failure {
    let (route, first, second) = (other.shown_route(), one.path.display(), other.path.display());
    layers
        .unusable(option)
        .because(format!("`{first}` and `{second}` would both be served as {route}"))
        .hint("a route has one directory; a longer route may lie within another")
}

/// The names of files that a mount serves in place of others.
fn check_names(layers: &Layers, mount: &StaticMount) -> Result<(), Failure> {
    let names = [
        (StaticFiles::dir_to_file(), &layers.settings.static_files.dir_to_file),
        (StaticFiles::mounts(), &mount.index),
        (StaticFiles::mounts(), &mount.fallback),
    ];
    let is_name =
        |name: &str| !name.is_empty() && name.split('/').all(|part| !matches!(part, "" | "." | ".."));
    for (option, name) in names {
        if let Some(name) = name.as_deref().filter(|name| !is_name(name)) {
            let cause = format!("`{name}` is no name of a file in the directory");
            return Err(layers.unusable(option).because(cause).hint("name it as index.html"));
        }
    }
    Ok(())
}

fn make_absolute(path: &mut PathBuf) {
    if let Ok(absolute) = std::path::absolute(&*path) {
        *path = absolute;
    }
}
