//! Memory of tensors that come and go.

/// Keeps freed memory in the process for the next tensor, from now on. Otherwise the C library hands large buffers back, and the kernel clears
/// every page of the next ones: more than half of what decompressing takes. Elsewhere than in the GNU C library it does nothing.
///
/// To be called before other threads are started.
pub(crate) fn keep() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[allow(unsafe_code, reason = "the C library has no other way")]
    // SAFETY: these set numbers of the allocator and touch no memory; one it does not take leaves it as it was.
    unsafe {
        // No buffer is mapped by itself, none is given back, and all come from one heap.
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}
