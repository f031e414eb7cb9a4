//! The extension's allocator. Python's own objects are Python's allocator's, and the C library's.
//!
//! The `mimalloc` crate asks for an alignment with every allocation, which is a longer way through mimalloc, and one
//! that allocates more than it has to whenever the next free block does not happen to fit. Most allocations need no
//! more than what every `malloc` of C gives. This is how Rust's standard library calls the C library's, too.

#![expect(unsafe_code, reason = "mimalloc is C, and an allocator is unsafe to implement")]

use libmimalloc_sys as mi;
use std::alloc::{GlobalAlloc, Layout};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// mimalloc.
struct MiMalloc;

/// `malloc` aligns to this what is at least as large (`MI_MAX_ALIGN_SIZE`, C's `max_align_t`).
const MALLOC_ALIGN: usize = 16;

/// Whether `malloc` aligns a block of this size as the layout wants it: to a power of two that is no larger than the
/// block and than the most that C asks of it (C11 §7.22.3).
const fn is_plain(layout: Layout, size: usize) -> bool {
    layout.align() <= MALLOC_ALIGN && layout.align() <= size
}

// SAFETY: blocks are mimalloc's, as large as asked for or null, and aligned, by `malloc` itself or on request. `free`
// and `realloc` take a block of either.
unsafe impl GlobalAlloc for MiMalloc {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let size = layout.size();
        match is_plain(layout, size) {
            // SAFETY: no precondition.
            true => unsafe { mi::mi_malloc(size) }.cast(),
            // SAFETY: a layout's alignment is a power of two.
            false => unsafe { mi::mi_malloc_aligned(size, layout.align()) }.cast(),
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let size = layout.size();
        match is_plain(layout, size) {
            // SAFETY: no precondition.
            true => unsafe { mi::mi_zalloc(size) }.cast(),
            // SAFETY: a layout's alignment is a power of two.
            false => unsafe { mi::mi_zalloc_aligned(size, layout.align()) }.cast(),
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _layout: Layout) {
        // SAFETY: the caller says that the block is one of ours, and not used any more.
        unsafe { mi::mi_free(block.cast()) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        match is_plain(layout, size) {
            // SAFETY: the caller says that the block is one of ours. It stays in place, as aligned as it was, or is copied
            // to one that `malloc` aligns.
            true => unsafe { mi::mi_realloc(block.cast(), size) }.cast(),
            // SAFETY: the caller says that the block is one of ours; a layout's alignment is a power of two.
            false => unsafe { mi::mi_realloc_aligned(block.cast(), size, layout.align()) }.cast(),
        }
    }
}

/// Has a worker that rests give back what is free here, too.
pub(crate) fn set_up() {
    hostler_sys::memory::gives_back_too(|| {
        // SAFETY: no precondition; it frees unused memory.
        unsafe { mi::mi_collect(true) };
    });
}
