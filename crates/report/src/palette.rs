//! Colours belong to codecs: the same in every chart of every report. Codecs of one family share a hue and differ in lightness.

/// Light and dark twin of a colour, `0xRRGGBB`.
pub(crate) type Twins = (u32, u32);

/// Families of codecs: hue in degrees, saturation, and ids from the strongest shade to the palest.
const FAMILIES: [(f64, f64, &[&str]); 9] = [
    (215.0, 0.85, &["trellis", "trellis-progressive", "bitshift"]),
    (25.0, 0.9, &["seedlm-progressive", "seedlm-paper", "seedlm-legacy"]),
    (140.0, 0.7, &["bitnet", "tq2_0", "tq1_0"]),
    (275.0, 0.6, &["q4_k", "q3_k", "q2_k", "q5_k", "q6_k", "q8_0", "iq4_nl", "q4_0", "q4_1", "q5_0", "q5_1"]),
    (180.0, 0.75, &["rtn", "nf4", "hqq"]),
    (335.0, 0.8, &["gptq", "awq"]),
    (48.0, 0.85, &["vptq"]),
    (80.0, 0.7, &["ecsq", "lloyd-max"]),
    (215.0, 0.08, &["raw", "bf16", "f16", "zeros"]),
];

/// Hues that ids of no family share out by a hash of their name.
const OTHERS: usize = 12;

/// The colour of a codec id.
pub(crate) fn colour(id: &str) -> Twins {
    for (hue, saturation, ids) in FAMILIES {
        if let Some(place) = ids.iter().position(|other| *other == id) {
            return shade(hue, saturation, place, ids.len());
        }
    }
    other(fnv(id) as usize % OTHERS)
}

/// Every colour that [`colour`] can give.
pub(crate) fn all() -> Vec<Twins> {
    let families = FAMILIES.iter().flat_map(|(hue, saturation, ids)| {
        (0..ids.len()).map(|place| shade(*hue, *saturation, place, ids.len())).collect::<Vec<_>>()
    });
    families.chain((0..OTHERS).map(other)).collect()
}

fn other(number: usize) -> Twins {
    shade(number as f64 * 360.0 / OTHERS as f64 + 10.0, 0.45, 1, 2)
}

/// A shade of a hue: dark enough to read on paper, pale enough to read on slate.
fn shade(hue: f64, saturation: f64, place: usize, of: usize) -> Twins {
    let part = if of > 1 { place as f64 / (of - 1) as f64 } else { 0.3 };
    // Yellow and green look brighter than blue at the same lightness.
    let bright = if (30.0..200.0).contains(&hue) { 0.08 } else { 0.0 };
    // Hues of long families drift a little, so that neighbours differ in more than lightness.
    let drift = if of > 4 { (part - 0.5) * 44.0 } else { 0.0 };
    let light = hsl(hue + drift, saturation, 0.40 - bright + 0.18 * part);
    (light, hsl(hue + drift, saturation.min(0.85), 0.64 + 0.16 * part))
}

fn hsl(hue: f64, saturation: f64, lightness: f64) -> u32 {
    let chroma = (1.0 - (2.0 * lightness - 1.0).abs()) * saturation;
    let channel = |shift: f64| {
        let place = (shift + hue / 30.0).rem_euclid(12.0);
        let value = lightness - chroma / 2.0 * (place - 3.0).min(9.0 - place).clamp(-1.0, 1.0);
        (value * 255.0).round() as u32
    };
    channel(0.0) << 16 | channel(8.0) << 8 | channel(4.0)
}

/// FNV-1a.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_codecs_differ_and_families_share_a_hue() {
        let all = all();
        for (index, twins) in all.iter().enumerate() {
            assert!(!all[..index].iter().any(|other| other.0 == twins.0), "{index}: {:06X} twice", twins.0);
        }
        let blue = |id: &str| colour(id).0 & 0xFF;
        assert!(["trellis", "bitshift"].iter().all(|id| blue(id) > 0x90 && blue(id) > colour(id).0 >> 16));
        assert_eq!(colour("somebody-elses"), colour("somebody-elses"));
    }

    #[test]
    fn hues_are_where_they_should_be() {
        assert_eq!(hsl(0.0, 1.0, 0.5), 0xFF_0000);
        assert_eq!(hsl(120.0, 1.0, 0.5), 0x00_FF00);
        assert_eq!(hsl(240.0, 1.0, 0.25), 0x00_0080);
    }
}
