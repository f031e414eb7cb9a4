//! The extension's allocator. Python's own objects are Python's allocator's, and the C library's.

#![expect(unsafe_code, reason = "mimalloc is C")]

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Has a worker that rests give back what is free here, too.
pub(crate) fn set_up() {
    hostler_sys::memory::gives_back_too(|| {
        // SAFETY: no precondition; it frees what nobody uses.
        unsafe { libmimalloc_sys::mi_collect(true) };
    });
}
