//! State that the GIL guards.

#![expect(unsafe_code, reason = "a cell that a `Python` token opens")]

use pyo3::Python;
use std::cell::RefCell;

/// A value that any thread may reach, but only with the GIL, and never across a call into Python.
///
/// The closures given to [`GilCell::with`] must not run Python code; a re-entrant access panics.
#[derive(Default)]
pub struct GilCell<T>(RefCell<T>);

// SAFETY: every access needs a `Python` token, so one thread at a time has it; `T` itself may hold things bound to a
// thread (wakers, `Rc`s of the runtime), which are only followed on the loop's own thread.
unsafe impl<T> Send for GilCell<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for GilCell<T> {}

impl<T> GilCell<T> {
    /// A cell with this value.
    pub fn new(value: T) -> Self {
        Self(RefCell::new(value))
    }

    /// Works on the value, without calling Python.
    #[inline]
    pub fn with<R>(&self, _py: Python<'_>, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut self.0.borrow_mut())
    }

    /// For the garbage collector, which may run while the value is in use and then sees nothing.
    pub fn peek<R>(&self, look: impl FnOnce(&T) -> R) -> Option<R> {
        self.0.try_borrow().ok().map(|value| look(&value))
    }
}
