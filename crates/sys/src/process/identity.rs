//! Users and groups, and changing to them.
//!
//! A program that is started for an application changes to its user between fork and exec: before any code runs that the
//! user could have written, such as Python's start-up files.

use hostler_wire::Identity;
use nix::{
    sys::stat::{Mode, umask},
    unistd::{Gid, Group, Uid, User, getgrouplist, setgid, setgroups, setuid},
};
use std::{ffi::CString, io, os::unix::process::CommandExt, path::PathBuf, process::Command};

/// An entry of the user database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its number.
    pub user: u32,
    /// The number of its primary group.
    pub group: u32,
    /// Its name; empty if the number has none.
    pub name: String,
    /// Its home directory; `None` if the number has no name.
    pub home: Option<PathBuf>,
}

impl From<User> for Account {
    fn from(user: User) -> Self {
        Self { user: user.uid.as_raw(), group: user.gid.as_raw(), name: user.name, home: Some(user.dir) }
    }
}

/// Finds a user by name or number.
///
/// # Errors
/// `NotFound`, `InvalidInput` for a number that no user can have, or the system's.
pub fn find_user(text: &str) -> io::Result<Account> {
    if let Some(user) = User::from_name(text)? {
        return Ok(user.into());
    }
    let number = number(text)?;
    // A number need not have a name: containers run as any.
    let nameless = Account { user: number, group: number, name: String::new(), home: None };
    Ok(User::from_uid(Uid::from_raw(number))?.map_or(nameless, Account::from))
}

/// Finds a group by name or number.
///
/// # Errors
/// As [`find_user`].
pub fn find_group(text: &str) -> io::Result<u32> {
    if let Some(group) = Group::from_name(text)? {
        return Ok(group.gid.as_raw());
    }
    number(text)
}

/// The number of a user or a group. The greatest is −1, which means "unchanged" to the kernel (setresuid(2)).
fn number(text: &str) -> io::Result<u32> {
    match text.parse() {
        Ok(u32::MAX) => Err(io::ErrorKind::InvalidInput.into()),
        Ok(number) => Ok(number),
        Err(_) => Err(io::ErrorKind::NotFound.into()),
    }
}

/// Whether this process may change its user.
#[must_use]
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Whether this identity differs from that of this process.
#[must_use]
pub fn would_change(identity: &Identity) -> bool {
    let group = nix::unistd::getegid().as_raw();
    changes_user(identity) || identity.group.is_some_and(|wanted| wanted != group)
}

fn changes_user(identity: &Identity) -> bool {
    let user = nix::unistd::geteuid().as_raw();
    identity.user.as_ref().is_some_and(|(wanted, _)| *wanted != user)
}

/// Changes to this identity, irrevocably.
///
/// # Errors
/// The kernel's (setgroups(2), setgid(2), setuid(2)); the system's, when it looks up groups.
pub fn assume(identity: &Identity) -> io::Result<()> {
    Ok(Credentials::of(identity)?.assume()?)
}

/// Has the program that `command` starts run as this identity from its first instruction on. HOME, USER and LOGNAME
/// are those of its user; what is set on the command afterwards takes precedence.
///
/// # Errors
/// The system's, when it looks up groups.
pub fn run_as(command: &mut Command, identity: &Identity) -> io::Result<()> {
    let credentials = Credentials::of(identity)?;
    if let Some((_, name)) = identity.user.as_ref().filter(|_| changes_user(identity)) {
        command.env("HOME", identity.home.as_deref().unwrap_or(std::path::Path::new("/")));
        for variable in ["USER", "LOGNAME"] {
            if name.is_empty() {
                command.env_remove(variable)
            } else {
                command.env(variable, name)
            };
        }
    }
    let hook = move || Ok(credentials.assume()?);
    // SAFETY: the hook runs between fork and exec; it makes system calls only, on values that were made before.
    unsafe { command.pre_exec(hook) };
    Ok(())
}

/// User, groups and umask, looked up beforehand: between fork and exec only system calls are allowed.
struct Credentials {
    umask: Option<Mode>,
    groups: Option<Vec<Gid>>,
    group: Option<Gid>,
    user: Option<Uid>,
}

impl Credentials {
    fn of(identity: &Identity) -> io::Result<Self> {
        let own_group = nix::unistd::getegid().as_raw();
        let group = identity.group.filter(|group| *group != own_group || is_root());
        let name = identity.user.as_ref().map_or("", |(_, name)| name.as_str());
        Ok(Self {
            umask: identity.umask.map(Mode::from_bits_truncate),
            groups: group.filter(|_| is_root()).map(|group| groups_of(name, group)).transpose()?,
            group: group.map(Gid::from_raw),
            user: identity.user.as_ref().filter(|_| changes_user(identity)).map(|(id, _)| Uid::from_raw(*id)),
        })
    }

    /// Groups first: they cannot be changed without root.
    fn assume(&self) -> nix::Result<()> {
        if let Some(mask) = self.umask {
            umask(mask);
        }
        self.groups.as_deref().map(setgroups).transpose()?;
        self.group.map(setgid).transpose()?;
        self.user.map(setuid).transpose()?;
        Ok(())
    }
}

fn groups_of(user: &str, group: u32) -> io::Result<Vec<Gid>> {
    match CString::new(user) {
        Ok(name) if !user.is_empty() => Ok(getgrouplist(&name, Gid::from_raw(group))?),
        _ => Ok(vec![Gid::from_raw(group)]),
    }
}

#[cfg(test)]
mod tests {
    use super::{find_group, find_user, groups_of};
    use nix::unistd::Gid;
    use std::io::ErrorKind;

    #[test]
    fn users_are_found_by_name_and_number_and_numbers_need_no_name() {
        let root = find_user("root").unwrap();
        assert_eq!((root.user, root.group, root.name.as_str()), (0, 0, "root"));
        assert_eq!(find_user("0").unwrap(), root);
        let nameless = find_user("4000000").unwrap();
        assert_eq!((nameless.group, nameless.home), (4_000_000, None));
        assert_eq!(find_user("no such user").unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(find_group("root").unwrap(), 0);
        for unchanged in [find_user("4294967295").map(drop), find_group("4294967295").map(drop)] {
            assert_eq!(unchanged.unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn the_groups_of_a_user_are_its_own_and_the_chosen_one() {
        assert!(groups_of("root", 4711).unwrap().contains(&Gid::from_raw(4711)));
        assert_eq!(groups_of("", 4711).unwrap(), [Gid::from_raw(4711)]);
    }
}
