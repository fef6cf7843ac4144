//! Which instructions a kernel uses.

/// A level of instructions. Kernels only screen with them, or compute with integers or in one fixed order: results are the same on all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Path {
    /// Plain Rust for any machine.
    Portable,
    /// AVX2 with fused multiply-add.
    Avx2,
    /// AVX-512 of the generation that has 8-bit dot products, byte permutations and bit matrices (F, BW, DQ, VL, VNNI, VBMI, GFNI).
    Avx512,
}

impl Path {
    /// Every path, the slowest first.
    pub const ALL: [Self; 3] = [Self::Portable, Self::Avx2, Self::Avx512];

    /// The fastest path of this machine.
    pub fn fastest() -> Self {
        Self::ALL.into_iter().rfind(|path| path.is_supported()).unwrap_or(Self::Portable)
    }

    /// The paths of this machine, the slowest first.
    pub fn supported() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|path| path.is_supported())
    }

    /// Whether this machine has it.
    pub fn is_supported(self) -> bool {
        match self {
            Path::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Path::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Path::Avx512 => {
                Path::Avx2.is_supported()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512vnni")
                    && is_x86_feature_detected!("avx512vbmi")
                    && is_x86_feature_detected!("gfni")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Path::Avx2 | Path::Avx512 => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Path;

    #[test]
    fn the_fastest_path_is_the_last_supported() {
        assert_eq!(Path::supported().last(), Some(Path::fastest()));
        assert_eq!(Path::supported().next(), Some(Path::Portable));
    }
}
