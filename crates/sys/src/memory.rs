//! What the C library's allocator keeps of freed memory.
//!
//! By default it returns the top of its heap to the kernel as soon as that is free, and requests it again for the next
//! large body: the kernel then clears every page once for each request, which is half of the time of such a request. A
//! worker keeps that memory while it is busy and returns it when it is idle.

use std::sync::OnceLock;

/// Freed memory at the top of the heap is kept up to this size, in bytes.
const TRIM_THRESHOLD: i32 = 32 << 20;
/// Blocks larger than this have mappings of their own, which are unmapped when they are freed, in bytes.
const MMAP_THRESHOLD: i32 = 4 << 20;

/// Sets the allocator up for a worker. Only glibc's has these settings; others are left alone.
pub fn keep_while_working() {
    #[cfg(target_env = "gnu")]
    for (setting, value) in
        [(libc::M_TRIM_THRESHOLD, TRIM_THRESHOLD), (libc::M_MMAP_THRESHOLD, MMAP_THRESHOLD)]
    {
        // SAFETY: mallopt(3) takes two integers; a setting that it does not know changes nothing.
        unsafe { libc::mallopt(setting, value) };
    }
}

/// How another allocator of this process returns free memory.
static OTHER: OnceLock<fn()> = OnceLock::new();

/// Sets the function that returns the free memory of an allocator beside the C library's.
pub fn gives_back_too(give_back: fn()) {
    // The first call counts; a process has one such allocator.
    let _ = OTHER.set(give_back);
}

/// Returns free memory to the kernel. Takes some milliseconds, so it is for idle workers.
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
