//! What the C library's allocator keeps of freed memory.
//!
//! By default it gives the top of its heap back as soon as that is free, and takes it again for the next request with
//! a large body: every page is then cleared by the kernel once for each request, which is half of the time that such
//! a request takes. A worker keeps that memory while it works and gives it back when it rests.

use std::sync::OnceLock;

/// Freed memory at the top of the heap is kept up to this size, in bytes.
const KEEP: i32 = 32 << 20;
/// Larger blocks have a mapping of their own, which ends with them.
const OWN_MAPPING: i32 = 4 << 20;

/// Sets the allocator up for a worker. Only glibc's has these settings; others are left alone.
pub fn keep_while_working() {
    #[cfg(target_env = "gnu")]
    for (setting, value) in [(libc::M_TRIM_THRESHOLD, KEEP), (libc::M_MMAP_THRESHOLD, OWN_MAPPING)] {
        // SAFETY: mallopt(3) takes two integers; a setting that it does not know changes nothing.
        unsafe { libc::mallopt(setting, value) };
    }
}

/// How another allocator of this process gives back what is free.
static OTHER: OnceLock<fn()> = OnceLock::new();

/// Names what gives back the memory of an allocator beside the C library's.
pub fn gives_back_too(give_back: fn()) {
    // Whoever came first stays; there is one such allocator in a process.
    let _ = OTHER.set(give_back);
}

/// Gives back what is free. Takes some milliseconds, so it is for workers that have nothing to do.
pub fn give_back() {
    if let Some(other) = OTHER.get() {
        other();
    }
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) takes the heap's lock itself.
    unsafe {
        libc::malloc_trim(0)
    };
}
