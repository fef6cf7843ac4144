//! Binary floating point as IEEE 754 has it by default, whatever mode the caller's thread is in.
//!
//! A host may have set its threads to round otherwise or to treat subnormal numbers as zeros (audio software does). The same weights would
//! then become other bytes. So encoders and decoders run in the default mode: where the calling thread is in another one, it is changed
//! for the duration of the call, and that of the pool's threads, which may have inherited it, for good.
//!
//! Only x86-64 has a mode that is looked at. Elsewhere nothing is done.
#![allow(unsafe_code)]

/// Round to nearest, subnormal numbers, no traps.
#[cfg(target_arch = "x86_64")]
const DEFAULT: u32 = 0x1F80;

/// The bits that are flags, not modes.
#[cfg(target_arch = "x86_64")]
const FLAGS: u32 = 0x3F;

/// Runs `work` in the default mode and restores the mode the thread was in.
pub(crate) fn in_default_mode<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    if mode() & !FLAGS != DEFAULT {
        let _restored = Restored::after_setting(DEFAULT);
        rayon::broadcast(|_| set_mode(DEFAULT));
        // The broadcast reaches this thread too where it is one of the pool's.
        return work();
    }
    work()
}

/// Runs `work` with subnormal numbers taken for zeros and rounding toward zero: for tests that nothing depends on it.
#[doc(hidden)]
pub fn in_another_mode<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    let _restored = {
        const FLUSH: u32 = 1 << 15 | 1 << 6;
        const TOWARD_ZERO: u32 = 3 << 13;
        Restored::after_setting(DEFAULT | FLUSH | TOWARD_ZERO)
    };
    work()
}

/// Sets the mode back when dropped, also by a panic.
#[cfg(target_arch = "x86_64")]
struct Restored(u32);

#[cfg(target_arch = "x86_64")]
impl Restored {
    fn after_setting(mode_now: u32) -> Self {
        let before = mode();
        set_mode(mode_now);
        Self(before)
    }
}

#[cfg(target_arch = "x86_64")]
impl Drop for Restored {
    fn drop(&mut self) {
        set_mode(self.0);
    }
}

#[cfg(target_arch = "x86_64")]
fn mode() -> u32 {
    let mut mode = 0u32;
    // SAFETY: stores the four bytes of the control register where the pointer says; every x86-64 has it.
    unsafe { std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut mode, options(nostack, preserves_flags)) };
    mode
}

#[cfg(target_arch = "x86_64")]
fn set_mode(mode: u32) {
    // SAFETY: loads the control register from a value without reserved bits, which was read from it or is made of named bits. The guard above restores what
    // the thread had.
    unsafe { std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const mode, options(nostack, preserves_flags)) };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Subnormal, and inexact.
    fn probe() -> (u32, u32) {
        let half = std::hint::black_box(f32::MIN_POSITIVE) * std::hint::black_box(0.5);
        let third = std::hint::black_box(2.0f32) / std::hint::black_box(3.0);
        (half.to_bits(), third.to_bits())
    }

    #[test]
    fn work_is_done_in_the_default_mode() {
        let usual = probe();
        in_another_mode(|| {
            #[cfg(target_arch = "x86_64")]
            assert_ne!(probe(), usual);
            assert_eq!(in_default_mode(probe), usual);
            // The pool's threads have inherited it.
            let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
            #[cfg(target_arch = "x86_64")]
            assert!(pool.broadcast(|_| probe()).iter().all(|probe| *probe != usual));
            pool.install(|| {
                in_default_mode(|| assert!(rayon::broadcast(|_| probe()).iter().all(|probe| *probe == usual)))
            });
            #[cfg(target_arch = "x86_64")]
            assert_ne!(probe(), usual);
        });
        assert_eq!(probe(), usual);
    }
}
