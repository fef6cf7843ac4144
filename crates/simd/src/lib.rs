//! Which vector instructions kernels use: one type for every crate that has some.
//!
//! A kernel asks for [`Level::fastest`] and has a portable path beside it with identical results. The environment variable [`VARIABLE`]
//! holds all kernels of a process to a level: `SEEDPRESS_SIMD=portable` to tell whether a fault lies in one, or how much they bring.

use std::sync::OnceLock;

/// The environment variable that sets the highest level to use, by its [name](Level::name).
pub const VARIABLE: &str = "SEEDPRESS_SIMD";

/// A level of instructions. Kernels only screen with them, or compute with integers or in one fixed order: results are the same on all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Plain Rust for any machine.
    Portable,
    /// AVX2 with fused multiply-add.
    Avx2,
    /// AVX-512 as it came first, with F, BW, DQ and VL: that of x86-64-v4.
    Avx512Base,
    /// AVX-512 of the generation that has 8-bit dot products, byte permutations, compression of bytes and bit matrices: VNNI, VBMI, VBMI2,
    /// GFNI (Ice Lake, Zen 4).
    Avx512,
}

impl Level {
    /// Every level, the slowest first.
    pub const ALL: [Self; 4] = [Self::Portable, Self::Avx2, Self::Avx512Base, Self::Avx512];

    /// The fastest level that this machine has and that [`VARIABLE`] allows; the machine's where the variable is not set or names no level.
    #[inline]
    pub fn fastest() -> Self {
        static FASTEST: OnceLock<Level> = OnceLock::new();
        *FASTEST.get_or_init(|| {
            let allowed = requested().ok().flatten().unwrap_or(Self::Avx512);
            Self::ALL.into_iter().rfind(|level| *level <= allowed && level.is_supported()).unwrap_or(Self::Portable)
        })
    }

    /// The levels of this machine, the slowest first, whatever the variable says.
    pub fn supported() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|level| level.is_supported())
    }

    /// Whether this machine has it.
    pub fn is_supported(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Base => {
                Self::Avx2.is_supported()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                Self::Avx512Base.is_supported()
                    && is_x86_feature_detected!("avx512vnni")
                    && is_x86_feature_detected!("avx512vbmi")
                    && is_x86_feature_detected!("avx512vbmi2")
                    && is_x86_feature_detected!("gfni")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512Base | Self::Avx512 => false,
        }
    }

    /// What [`VARIABLE`] calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512Base => "avx512-base",
            Self::Avx512 => "avx512",
        }
    }
}

/// The level that [`VARIABLE`] asks for, if it is set.
///
/// # Errors
/// A value that names no level, with the legal ones: for programs to show, as [`Level::fastest`] passes over it.
pub fn requested() -> Result<Option<Level>, String> {
    let Some(value) = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) else { return Ok(None) };
    let found = Level::ALL.into_iter().find(|level| value == level.name());
    let legal = Level::ALL.map(Level::name).join(", ");
    let unknown = || format!("{VARIABLE}={}: legal values are {legal}", value.to_string_lossy());
    found.map(Some).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_in_order() {
        assert_eq!(Level::supported().next(), Some(Level::Portable));
        let supported: Vec<Level> = Level::supported().collect();
        assert_eq!(supported, Level::ALL[..supported.len()]);
    }
}
