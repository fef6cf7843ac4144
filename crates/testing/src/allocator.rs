//! An allocator that counts: how much a piece of code held at a time, and its largest single request, of the process and of a thread.
//!
//! A test has it by `#[global_allocator] static ALLOCATOR: Counting = Counting;` and asks the functions here. Counts of the process are
//! for a test that is alone in its file; those of a thread are for tests that run beside each other.

#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The system's allocator, watched.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);
static START: AtomicUsize = AtomicUsize::new(0);
static LARGEST: AtomicUsize = AtomicUsize::new(0);

/// Of one thread.
#[derive(Clone, Copy)]
struct Own {
    held: usize,
    most: usize,
    start: usize,
    largest: usize,
}

thread_local! {
    static OWN: Cell<Own> = const { Cell::new(Own { held: 0, most: 0, start: 0, largest: 0 }) };
}

fn take(bytes: usize) {
    let held = HELD.fetch_add(bytes, Ordering::Relaxed) + bytes;
    MOST.fetch_max(held, Ordering::Relaxed);
    LARGEST.fetch_max(bytes, Ordering::Relaxed);
    // A thread that is being torn down has no cell any more.
    let _ = OWN.try_with(|own| {
        let old = own.get();
        let held = old.held + bytes;
        own.set(Own { held, most: old.most.max(held), largest: old.largest.max(bytes), ..old });
    });
}

fn give(bytes: usize) {
    HELD.fetch_sub(bytes, Ordering::Relaxed);
    // What another thread took may be given back here.
    let _ = OWN.try_with(|own| own.set(Own { held: own.get().held.saturating_sub(bytes), ..own.get() }));
}

// SAFETY: every call is handed on to the system's allocator as it came; the counters touch no memory that is handed out.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Old and new may be there at the same time.
        take(size);
        give(layout.size());
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        give(layout.size());
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Begins to count the process anew.
pub fn reset() {
    let held = HELD.load(Ordering::Relaxed);
    START.store(held, Ordering::Relaxed);
    MOST.store(held, Ordering::Relaxed);
    LARGEST.store(0, Ordering::Relaxed);
}

/// Bytes the process held at a time, at most, above those at [`reset`].
pub fn most() -> usize {
    MOST.load(Ordering::Relaxed).saturating_sub(START.load(Ordering::Relaxed))
}

/// The process's largest single request since [`reset`].
pub fn largest() -> usize {
    LARGEST.load(Ordering::Relaxed)
}

/// The same of the calling thread.
pub mod thread {
    use super::{OWN, Own};

    /// Begins to count anew.
    pub fn reset() {
        OWN.with(|own| own.set(Own { start: own.get().held, most: own.get().held, largest: 0, ..own.get() }));
    }

    /// Bytes held at a time, at most, above those at [`reset`].
    pub fn most() -> usize {
        OWN.with(|own| own.get().most.saturating_sub(own.get().start))
    }

    /// The largest single request since [`reset`].
    pub fn largest() -> usize {
        OWN.with(|own| own.get().largest)
    }
}
