//! Panics: ours are bugs and logged as such; those of a native service are its own, and told with the request that they end.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    panic::{AssertUnwindSafe, Location, PanicHookInfo, catch_unwind, set_hook, take_hook},
};

thread_local! {
    /// Whether code of the service runs.
    static IN_SERVICE: Cell<bool> = const { Cell::new(false) };
    /// Where it panicked last.
    static AT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A panic of a native service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePanic {
    /// What it said.
    pub message: String,
    /// The place in the source code: file, line and column. `None` if another hook for panics took the place of ours.
    pub at: Option<String>,
}

/// Logs panics; Rust's own message would block on standard error.
pub fn tell_panics() {
    set_hook(Box::new(tell));
}

fn tell(panic: &PanicHookInfo<'_>) {
    if note_place(panic) {
        return;
    }
    let at = panic.location().map(Location::to_string);
    tracing::error!(at, "a bug in hostler: {}", message(panic.payload()));
}

/// Notes where services panic, and leaves what is said of it to the hook that there is: Rust's own, or the program's.
pub fn note_places() {
    let told = take_hook();
    set_hook(Box::new(move |panic| {
        note_place(panic);
        told(panic);
    }));
}

/// Whether the panic is a service's.
fn note_place(panic: &PanicHookInfo<'_>) -> bool {
    if IN_SERVICE.get() {
        AT.set(panic.location().map(Location::to_string));
    }
    IN_SERVICE.get()
}

fn message(payload: &(dyn Any + Send)) -> &str {
    let owned = payload.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("(no message)")
}

/// Runs code of a native service, which is not to be run again if it panics. Nothing is logged then.
///
/// # Errors
/// What the panic says.
#[inline]
pub fn of_service<T>(work: impl FnOnce() -> T) -> Result<T, ServicePanic> {
    IN_SERVICE.set(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    IN_SERVICE.set(false);
    result.map_err(|payload| panicked(&*payload))
}

#[cold]
fn panicked(payload: &(dyn Any + Send)) -> ServicePanic {
    ServicePanic { message: message(payload).to_owned(), at: AT.take() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_a_service_says_what_and_where() {
        tell_panics();
        assert_eq!(of_service(|| 1), Ok(1));
        let panic = of_service(|| panic!("it is {}", "broken")).unwrap_err();
        assert_eq!(panic.message, "it is broken");
        assert!(panic.at.unwrap().contains("panics.rs:"));
        let plain = of_service(|| panic!("broken")).unwrap_err();
        assert_eq!(plain.message, "broken");
        assert!(!IN_SERVICE.get());
    }
}
