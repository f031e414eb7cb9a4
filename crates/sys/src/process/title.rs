//! Process titles, as `ps` and `top` show them, without any package.
//!
//! The kernel reads a process's command line from the memory where its arguments began (proc(5),
//! `arg_start` and `arg_end` in `/proc/self/stat`). A title is written there. It may run over into the
//! environment behind the arguments, once [`init`] has moved the environment away.

use std::{
    ffi::CString,
    sync::atomic::{AtomicBool, Ordering},
};

/// Whether the environment was moved, so that its old place may be written to.
static ENVIRONMENT_MOVED: AtomicBool = AtomicBool::new(false);

/// What a process of the server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The master.
    Master,
    /// The process that forks workers.
    Mold,
    /// The process that shows operators what the server does.
    Observer,
    /// A process that reads the configuration again.
    Reader,
    /// The worker of this number.
    Worker(u16),
    /// The worker of this number that runs tasks.
    TaskWorker(u16),
    /// The process that has the task queue's file.
    Keeper,
    /// A process that watches a companion.
    Companion,
}

/// The title of a process: `hostler: worker 1 shop:app`, or with `--process-name shop`, `shop worker-1`.
fn for_role(process_name: Option<&str>, role: Role, app: &str) -> String {
    match (process_name, role) {
        (Some(name), Role::Master) => name.to_owned(),
        (Some(name), Role::Mold) => format!("{name} mold"),
        (Some(name), Role::Observer) => format!("{name} observer"),
        (Some(name), Role::Reader) => format!("{name} configuration"),
        (Some(name), Role::Worker(number)) => format!("{name} worker-{number}"),
        (Some(name), Role::TaskWorker(number)) => format!("{name} task-worker-{number}"),
        (Some(name), Role::Keeper) => format!("{name} task-queue"),
        (None, Role::TaskWorker(number)) => format!("hostler: task worker {number} {app}"),
        (Some(name), Role::Companion) => format!("{name} companion {app}"),
        (None, Role::Companion) => format!("hostler: companion {app}"),
        (None, Role::Keeper) => format!("hostler: task queue {app}"),
        (None, Role::Master) => format!("hostler: master {app}"),
        (None, Role::Mold) => format!("hostler: mold {app}"),
        (None, Role::Observer) => format!("hostler: observer {app}"),
        (None, Role::Reader) => format!("hostler: reading the configuration {app}"),
        (None, Role::Worker(number)) => format!("hostler: worker {number} {app}"),
    }
}

/// Moves the environment away, to make room for a title. To be called first in `main`.
pub fn init() {
    unsafe extern "C" {
        static mut environ: *mut *mut libc::c_char;
    }
    // SAFETY: one thread exists, at the start of `main`; libc keeps `environ` valid.
    let mut entry = unsafe { environ };
    while !entry.is_null() {
        // SAFETY: entries up to the null pointer are valid (environ(7)).
        let text = unsafe { *entry };
        if text.is_null() {
            break;
        }
        // SAFETY: each entry is a NUL-terminated string.
        let copy = unsafe { libc::strdup(text) };
        if copy.is_null() {
            return;
        }
        // SAFETY: the slot belongs to this process; the copy lives until it ends.
        unsafe { *entry = copy };
        // SAFETY: the array ends with a null pointer, which is not reached yet.
        entry = unsafe { entry.add(1) };
    }
    ENVIRONMENT_MOVED.store(true, Ordering::SeqCst);
}

/// A temporary short name for this process, and for those that it forks.
#[derive(Debug)]
pub struct Borrowed(CString);

impl Borrowed {
    /// Sets the name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let own = nix::sys::prctl::get_name().unwrap_or_default();
        set_name(name);
        Self(own)
    }

    /// Restores the name from before.
    pub fn give_back(self) {
        let _ = nix::sys::prctl::set_name(&self.0);
    }
}

fn set_name(name: &str) {
    if let Ok(name) = CString::new(name) {
        // Cosmetic: an error does not matter.
        let _ = nix::sys::prctl::set_name(&name);
    }
}

/// Sets the title of this process to that of its role, truncated to the room there is, and its short name.
pub fn set(process_name: Option<&str>, role: Role, app: &str) {
    set_name(&short_name(process_name, role));
    write(&for_role(process_name, role, app));
}

/// The longest short name of a process, in bytes (PR_SET_NAME, prctl(2)).
const SHORT_NAME_LENGTH: usize = 15;

/// The short name (`comm` in proc(5)), which `top` and `pkill` show. A long process name is truncated, the role never: an
/// upgrade tells masters from workers by it ([`crate::proc::other_master`]).
fn short_name(process_name: Option<&str>, role: Role) -> String {
    let name = process_name.unwrap_or("hostler");
    let role = match role {
        Role::Master if process_name.is_some() => String::new(),
        Role::Master => "-master".to_owned(),
        Role::Mold => "-mold".to_owned(),
        Role::Observer => "-observer".to_owned(),
        Role::Reader => "-config".to_owned(),
        Role::Worker(number) => format!("-worker-{number}"),
        Role::TaskWorker(number) => format!("-task-{number}"),
        Role::Keeper => "-queue".to_owned(),
        Role::Companion => "-comp".to_owned(),
    };
    // Without spaces: CPython counts its threads by splitting /proc/self/stat at them.
    let kept = name.chars().filter(char::is_ascii_graphic).filter(|char| !":()".contains(*char));
    let kept: String = kept.take(SHORT_NAME_LENGTH - role.len()).collect();
    kept + &role
}

fn write(title: &str) {
    if let Some((start, room)) = room() {
        let length = title.len().min(room - 1);
        // SAFETY: `start..start + room` is the memory of argv and, if moved, of the environment; nothing
        // else points there: Rust and Python have copied their arguments.
        let memory = unsafe { std::slice::from_raw_parts_mut(start as *mut u8, room) };
        memory[..length].copy_from_slice(&title.as_bytes()[..length]);
        memory[length..].fill(0);
    }
}

/// Where the title goes, and how many bytes there are.
fn room() -> Option<(usize, usize)> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // Fields from the third on, after the command in parentheses (proc(5)); arg_start is the 48th.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<usize>().ok();
    let (start, arguments_end, environment_end) = (field(48)?, field(49)?, field(51)?);
    let end = if ENVIRONMENT_MOVED.load(Ordering::SeqCst) { environment_end } else { arguments_end };
    (start != 0 && end > start + 1).then(|| (start, end - start))
}

#[cfg(test)]
mod tests {
    use super::{Role, for_role, short_name};

    #[test]
    fn titles_name_the_role() {
        assert_eq!(for_role(None, Role::Worker(2), "a:b"), "hostler: worker 2 a:b");
        assert_eq!(for_role(Some("shop"), Role::Master, "a:b"), "shop");
        assert_eq!(for_role(Some("shop"), Role::Worker(1), "a:b"), "shop worker-1");
    }

    #[test]
    fn short_names_keep_the_role_of_a_process() {
        assert_eq!(short_name(None, Role::Master), "hostler-master");
        assert_eq!(short_name(None, Role::Worker(12)), "hostl-worker-12");
        assert_eq!(short_name(Some("shop"), Role::Master), "shop");
        assert_eq!(short_name(Some("a shop (old): 2"), Role::Mold), "ashopold2-mold");
        assert_eq!(short_name(Some("a-service-of-a-long-name"), Role::Master), "a-service-of-a-");
        assert_eq!(short_name(Some("a-service-of-a-long-name"), Role::Worker(1024)), "a-s-worker-1024");
    }
}
