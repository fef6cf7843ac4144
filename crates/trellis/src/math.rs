//! Powers of two from plain multiplications, the same on every machine.

/// `2^x` for `|x| < 1000`, relative error below 1e-12.
pub(crate) fn exp2(x: f64) -> f64 {
    // Exponents that no normal number has would wrap into others.
    if x < -1022.0 {
        return 0.0;
    }
    if x >= 1024.0 {
        return f64::INFINITY;
    }
    let whole = x.floor();
    let t = (x - whole) * std::f64::consts::LN_2;
    let series = (1..=18).rev().fold(1.0, |sum, k| 1.0 + sum * t / f64::from(k));
    series * f64::from_bits(((whole as i64 + 1023) as u64) << 52)
}

#[cfg(test)]
mod tests {
    #[test]
    fn powers_are_accurate() {
        for x in [-900.5, -3.0, -0.1, 0.0, 0.3, 0.999, 7.25, 900.5] {
            assert!((super::exp2(x) / x.exp2() - 1.0).abs() < 1e-12, "{x}");
        }
        for (x, limit) in
            [(-1022.5, 0.0), (-3e4, 0.0), (f64::NEG_INFINITY, 0.0), (1024.0, f64::INFINITY), (1e9, f64::INFINITY)]
        {
            assert_eq!(super::exp2(x), limit, "{x}");
        }
        assert!(super::exp2(f64::NAN).is_nan());
    }
}
