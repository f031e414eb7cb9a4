//! Whom a process runs as.

use hostler_wire::Identity;
use nix::{
    sys::stat::{Mode, umask},
    unistd::{Gid, Group, Uid, User, setgid, setgroups, setuid},
};
use std::{ffi::CString, io};

/// Finds a user by name or number: its id, its primary group, its name.
///
/// # Errors
/// `NotFound`, or the system's.
pub fn find_user(text: &str) -> io::Result<(u32, u32, String)> {
    if let Some(user) = User::from_name(text)? {
        return Ok((user.uid.as_raw(), user.gid.as_raw(), user.name));
    }
    let number: u32 = text.parse().map_err(|_| io::ErrorKind::NotFound)?;
    // A number need not have a name: containers run as any.
    Ok(User::from_uid(Uid::from_raw(number))?
        .map_or((number, number, String::new()), |user| (number, user.gid.as_raw(), user.name)))
}

/// Finds a group by name or number.
///
/// # Errors
/// `NotFound`, or the system's.
pub fn find_group(text: &str) -> io::Result<u32> {
    if let Some(group) = Group::from_name(text)? {
        return Ok(group.gid.as_raw());
    }
    Ok(text.parse().map_err(|_| io::ErrorKind::NotFound)?)
}

/// Whether this process may become somebody else.
#[must_use]
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Whether this identity is another than that of this process.
#[must_use]
pub fn would_change(identity: &Identity) -> bool {
    let (user, group) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    identity.user.as_ref().is_some_and(|(wanted, _)| *wanted != user)
        || identity.group.is_some_and(|wanted| wanted != group)
}

/// Becomes this identity, for ever. Groups first: without root they could not be changed any more.
///
/// # Errors
/// The kernel's (setgroups(2), setgid(2), setuid(2)).
pub fn assume(identity: &Identity) -> io::Result<()> {
    if let Some(mask) = identity.umask {
        umask(Mode::from_bits_truncate(mask));
    }
    let (now_user, now_group) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    let group = identity.group.filter(|group| *group != now_group || is_root());
    if let Some(group) = group {
        if is_root() {
            let name = identity.user.as_ref().map_or("", |(_, name)| name.as_str());
            set_groups(name, group)?;
        }
        setgid(Gid::from_raw(group))?;
    }
    match &identity.user {
        Some((user, _)) if *user != now_user => Ok(setuid(Uid::from_raw(*user))?),
        _ => Ok(()),
    }
}

fn set_groups(user: &str, group: u32) -> io::Result<()> {
    match CString::new(user) {
        Ok(name) if !user.is_empty() => Ok(nix::unistd::initgroups(&name, Gid::from_raw(group))?),
        _ => Ok(setgroups(&[Gid::from_raw(group)])?),
    }
}
