//! 8-bit products of small matrices in tile registers (Intel AMX): sixteen by sixteen sums of up to 64 products an instruction.
//!
//! The instructions have no stable intrinsics yet, so they are written out. Tiles keep what they hold from one call to the next: everything
//! between [`Tiles::new`] and its end happens on one thread and in one function.
#![allow(unsafe_code)]

use std::arch::asm;
use std::marker::PhantomData;
use std::sync::LazyLock;

/// Rows and 32-bit columns of a tile.
pub(crate) const SIDE: usize = 16;

/// Whether this machine has the instructions and the system lets the process use them.
pub(crate) fn available() -> bool {
    static AVAILABLE: LazyLock<bool> = LazyLock::new(|| {
        seedpress_simd::Level::Avx512.is_supported()
            && instructions()
            && saved()
            && cfg!(target_os = "linux")
            && permitted()
    });
    *AVAILABLE
}

/// AMX-TILE and AMX-INT8.
fn instructions() -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    const BOTH: u32 = 1 << 24 | 1 << 25;
    // SAFETY: every 64-bit processor has the instruction; the compilers of late know.
    #[allow(unused_unsafe)]
    unsafe {
        __cpuid(0).eax >= 7 && __cpuid_count(7, 0).edx & BOTH == BOTH
    }
}

/// Whether the system saves tiles when threads take turns: bits 17 and 18 of XCR0. Only asked where AVX-512 was found, and so XGETBV is there.
fn saved() -> bool {
    const BOTH: u32 = 0b11 << 17;
    let low: u32;
    // SAFETY: reads a register; the instruction exists where AVX does.
    unsafe { asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") _, options(nomem, nostack, preserves_flags)) };
    low & BOTH == BOTH
}

/// Asks Linux for the tiles' state: `arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)`, once for all threads of the process.
fn permitted() -> bool {
    let result: isize;
    // SAFETY: a system call that touches no memory of ours; it clobbers rcx and r11.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") 158isize => result,
            in("rdi") 0x1023, in("rsi") 18,
            lateout("rcx") _, lateout("r11") _,
            options(nostack)
        );
    }
    result == 0
}

/// The configuration of the eight tiles, as the processor reads it.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start: u8,
    reserved: [u8; 14],
    bytes: [u16; 16],
    rows: [u8; 16],
}

/// Tiles in use: a left matrix of 16 rows, and products of it with one right matrix after another. Ends with itself.
pub(crate) struct Tiles {
    /// Words of the inner dimension, four terms each, in halves of 16 at most.
    words: usize,
    /// Bound to its thread.
    here: PhantomData<*const ()>,
}

impl Tiles {
    /// Words a product may have.
    pub(crate) const MOST_WORDS: usize = 2 * SIDE;

    /// Takes the left matrix: signed terms, four a word, 32 words a row of which `words` count.
    ///
    /// # Safety
    /// [`available`] has said so, and no other tiles are in use on this thread.
    pub(crate) unsafe fn new(words: usize, left: &[[i32; Self::MOST_WORDS]; SIDE]) -> Self {
        assert!((1..=Self::MOST_WORDS).contains(&words));
        let (first, second) = (words.min(SIDE), words.saturating_sub(SIDE).max(1));
        let mut shapes = Shapes { palette: 1, start: 0, reserved: [0; 14], bytes: [0; 16], rows: [0; 16] };
        // 0 and 5: sums. 1 and 2: the halves of the left matrix; 3 and 4, 6 and 7: of the right ones.
        let shape = [
            (SIDE, SIDE),
            (SIDE, first),
            (SIDE, second),
            (first, SIDE),
            (second, SIDE),
            (SIDE, SIDE),
            (first, SIDE),
            (second, SIDE),
        ];
        for (tile, (rows, words)) in shape.into_iter().enumerate() {
            (shapes.rows[tile], shapes.bytes[tile]) = (rows as u8, 4 * words as u16);
        }
        // SAFETY: the shapes are legal, 16 rows of 128 bytes are read, and by the second load 64 bytes further on.
        unsafe {
            asm!(
                "ldtilecfg [{shapes}]",
                "tileloadd tmm1, [{left} + {stride}]",
                "tileloadd tmm2, [{left} + {stride} + 64]",
                shapes = in(reg) &raw const shapes,
                left = in(reg) left.as_ptr(),
                stride = in(reg) 4 * Self::MOST_WORDS,
                out("tmm1") _, out("tmm2") _,
                options(nostack, readonly)
            );
        }
        Self { words, here: PhantomData }
    }

    /// The products with two right matrices of unsigned terms, one behind the other, `[word][column]`, four terms each;
    /// `sums[matrix][row][column]`. Two at a time, since one product takes longer to come than to begin.
    #[inline]
    pub(crate) fn products(&self, right: &[[u32; SIDE]], sums: &mut [[[i32; SIDE]; SIDE]; 2]) {
        assert_eq!(right.len(), 2 * self.words);
        let second = right[self.words..].as_ptr();
        // SAFETY: tiles are configured while this lives; as many rows of 64 bytes are read as the shapes say, and 16 written.
        unsafe {
            if self.words <= SIDE {
                asm!(
                    "tileloadd tmm3, [{first} + {stride}]",
                    "tileloadd tmm6, [{second} + {stride}]",
                    "tilezero tmm0",
                    "tilezero tmm5",
                    "tdpbsud tmm0, tmm1, tmm3",
                    "tdpbsud tmm5, tmm1, tmm6",
                    "tilestored [{sums} + {stride}], tmm0",
                    "tilestored [{sums} + {stride} + 1024], tmm5",
                    first = in(reg) right.as_ptr(),
                    second = in(reg) second,
                    sums = in(reg) sums.as_mut_ptr(),
                    stride = in(reg) 4 * SIDE,
                    out("tmm0") _, out("tmm3") _, out("tmm5") _, out("tmm6") _,
                    options(nostack)
                );
            } else {
                asm!(
                    "tileloadd tmm3, [{first} + {stride}]",
                    "tileloadd tmm6, [{second} + {stride}]",
                    "tileloadd tmm4, [{first} + {stride} + 1024]",
                    "tileloadd tmm7, [{second} + {stride} + 1024]",
                    "tilezero tmm0",
                    "tilezero tmm5",
                    "tdpbsud tmm0, tmm1, tmm3",
                    "tdpbsud tmm5, tmm1, tmm6",
                    "tdpbsud tmm0, tmm2, tmm4",
                    "tdpbsud tmm5, tmm2, tmm7",
                    "tilestored [{sums} + {stride}], tmm0",
                    "tilestored [{sums} + {stride} + 1024], tmm5",
                    first = in(reg) right.as_ptr(),
                    second = in(reg) second,
                    sums = in(reg) sums.as_mut_ptr(),
                    stride = in(reg) 4 * SIDE,
                    out("tmm0") _, out("tmm3") _, out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack)
                );
            }
        }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: tiles were configured; nothing else uses them.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_of_the_numbers() {
        if !available() {
            return;
        }
        let mut state = 3u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state ^ state >> 15
        };
        for words in [1, 7, 9, 16, 17, 20, 32] {
            let left: [[i32; Tiles::MOST_WORDS]; SIDE] =
                std::array::from_fn(|_| std::array::from_fn(|_| next() as i32));
            let right: Vec<[u32; SIDE]> = (0..2 * words).map(|_| std::array::from_fn(|_| next())).collect();
            let mut sums = [[[0i32; SIDE]; SIDE]; 2];
            // SAFETY: tiles are available, and none is in use.
            unsafe { Tiles::new(words, &left) }.products(&right, &mut sums);
            for (matrix, row, column) in (0..2 * SIDE * SIDE).map(|at| (at / SIDE / SIDE, at / SIDE % SIDE, at % SIDE))
            {
                {
                    let word = |word: usize| -> i32 {
                        let right = right[matrix * words + word][column].to_le_bytes();
                        let terms = left[row][word].to_le_bytes().into_iter().zip(right);
                        terms.map(|(l, r)| i32::from(l as i8) * i32::from(r)).sum()
                    };
                    assert_eq!(
                        sums[matrix][row][column],
                        (0..words).map(word).sum::<i32>(),
                        "{words} words, {row} {column}"
                    );
                }
            }
        }
    }
}
