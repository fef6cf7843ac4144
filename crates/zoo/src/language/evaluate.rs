//! What a language model achieves on held-out addresses, and how far it is from the uncompressed one.

use rayon::prelude::*;
use seedpress_codec::Tensor;

use super::kernel::sum;
use super::{Language, VOCABULARY, data};
use crate::architecture::{Baseline, Probe};
use crate::error::ZooError;
use crate::metric::Metric;
use crate::outputs::Outputs;

/// A stretch of text that is read without what comes before it.
#[derive(Debug, Clone)]
struct Window {
    /// The address it is of: the unit that intervals resample.
    address: usize,
    /// What the model reads, and the byte after it.
    bytes: Vec<u8>,
    /// Predictions at the beginning that are not counted, for want of context.
    skip: usize,
}

/// Base-2 logarithms of the probabilities of every next byte that counts, `[window][place * VOCABULARY + byte]`.
type Logarithms = Vec<Vec<f32>>;

/// Bytes read together: enough rows for efficient products, few enough to share among processors. A step of the recurrent network has
/// one row a window, so it wants more windows.
fn together(language: Language) -> usize {
    match language {
        Language::Transformer => 3072,
        Language::Lstm => 12_288,
    }
}

/// Scores of every next byte that counts, `[window][place * VOCABULARY + byte]`.
fn scores(language: Language, weights: &[&[f32]], windows: &[Window]) -> Vec<Vec<f32>> {
    let length = windows[0].bytes.len() - 1;
    let groups = windows.par_chunks(together(language) / length).map(|group| {
        let bytes: Vec<u8> = group.iter().flat_map(|window| &window.bytes[..length]).copied().collect();
        let scores = language.scores(weights, &bytes, group.len(), &mut |_, _| ());
        let counted = |(window, scores): (&Window, &[f32])| scores[window.skip * VOCABULARY..].to_vec();
        group.iter().zip(scores.chunks_exact(length * VOCABULARY)).map(counted).collect::<Vec<_>>()
    });
    groups.collect::<Vec<_>>().into_iter().flatten().collect()
}

fn read(language: Language, weights: &[&[f32]], windows: &[Window]) -> Logarithms {
    let mut rows = scores(language, weights, windows);
    rows.par_iter_mut().for_each(|rows| rows.chunks_exact_mut(VOCABULARY).for_each(to_logarithms));
    rows
}

/// Scores to base-2 logarithms of their softmax.
fn to_logarithms(row: &mut [f32]) {
    let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut powers = [0f32; VOCABULARY];
    powers.iter_mut().zip(&*row).for_each(|(power, score)| *power = super::kernel::exp(score - top));
    let rest = f64::from(sum(&powers)).log2() as f32;
    row.iter_mut().for_each(|score| *score = (*score - top) * std::f32::consts::LOG2_E - rest);
}

/// Bits of each counted byte.
fn bits<'a>(window: &'a Window, logarithms: &'a [f32]) -> impl Iterator<Item = f64> + 'a {
    let truth = &window.bytes[window.skip + 1..];
    logarithms.chunks_exact(VOCABULARY).zip(truth).map(|(row, &byte)| -f64::from(row[usize::from(byte)]))
}

/// The address as the model sees it in training: a line feed before its first byte, one after its last.
fn line(address: &[u8]) -> Vec<u8> {
    [b"\n", address].concat()
}

/// Windows of each address for the comparison of codecs.
const WINDOWS: usize = 5;
const LENGTH: usize = 256;
const SKIP: usize = 64;

/// Windows spread evenly over each address.
fn sample(addresses: &[Vec<u8>]) -> Vec<Window> {
    let window = |address: usize, index: usize| {
        let line = line(&addresses[address]);
        let start = index * (line.len() - LENGTH - 1) / (WINDOWS - 1);
        Window { address, bytes: line[start..=start + LENGTH].to_vec(), skip: SKIP }
    };
    (0..addresses.len()).flat_map(|address| (0..WINDOWS).map(move |index| window(address, index))).collect()
}

/// Windows that count every byte of every address once.
fn cover(addresses: &[Vec<u8>], length: usize, skip: usize) -> Vec<Window> {
    let mut windows = Vec::new();
    for (address, text) in addresses.iter().enumerate() {
        let line = line(text);
        // Predictions 0..done are counted.
        let mut done = 0;
        while done < text.len() {
            let start = done.saturating_sub(skip).min(line.len() - length - 1);
            windows.push(Window { address, bytes: line[start..=start + length].to_vec(), skip: done - start });
            done = start + length;
        }
    }
    windows
}

fn weights<'a>(tensors: &[&'a Tensor]) -> Vec<&'a [f32]> {
    tensors.iter().map(|tensor| tensor.values()).collect()
}

/// Sums of the windows' values by address.
fn by_address(windows: &[Window], values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut sums = vec![0.0; windows.iter().map(|window| window.address + 1).max().unwrap_or(0)];
    windows.iter().zip(values).for_each(|(window, value)| sums[window.address] += value);
    sums
}

fn counts(windows: &[Window]) -> Vec<f64> {
    by_address(windows, windows.iter().map(|window| (window.bytes.len() - 1 - window.skip) as f64))
}

/// Bits per byte on every byte of every held-out address, the figure of the model cards. The transformer reads with at least half its
/// longest window before each byte, the recurrent network with at least 128 bytes; less at the start of an address.
pub(super) fn whole(language: Language, tensors: &[&Tensor], addresses: &[Vec<u8>]) -> Metric {
    let (length, skip) = match language {
        Language::Transformer => (super::transformer::CONTEXT, super::transformer::CONTEXT / 2),
        Language::Lstm => (1024, 128),
    };
    let windows = cover(addresses, length, skip);
    let weights = weights(tensors);
    // A few at a time, for the logarithms take a kilobyte each.
    let sums: Vec<f64> = windows
        .chunks(192)
        .flat_map(|windows| {
            let logarithms = read(language, &weights, windows);
            windows.iter().zip(&logarithms).map(|(window, rows)| bits(window, rows).sum()).collect::<Vec<f64>>()
        })
        .collect();
    let counts = counts(&windows);
    let samples = counts.iter().sum::<f64>() as u64;
    Metric::ratio("bits per byte", false, &by_address(&windows, sums.into_iter()), &counts, samples)
}

/// Windows of the held-out addresses with the uncompressed model's predictions.
pub(super) struct HeldOutText {
    language: Language,
    windows: Vec<Window>,
    own: Logarithms,
}

impl std::fmt::Debug for HeldOutText {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "HeldOutText({:?}, {} windows)", self.language, self.windows.len())
    }
}

impl HeldOutText {
    pub(super) fn new(language: Language, own: &[&Tensor]) -> Result<Self, ZooError> {
        let windows = sample(&data::held_out()?);
        let own = read(language, &weights(own), &windows);
        Ok(Self { language, windows, own })
    }
}

impl Baseline for HeldOutText {
    fn evaluate(&self, given: &[&Tensor]) -> Result<Vec<Metric>, ZooError> {
        let given = read(self.language, &weights(given), &self.windows);
        let counts = counts(&self.windows);
        let samples = counts.iter().sum::<f64>() as u64;
        let losses = self.windows.iter().zip(&given).map(|(window, rows)| bits(window, rows).sum());
        let losses = by_address(&self.windows, losses);
        let mut divergences: Vec<Vec<f64>> = vec![Vec::new(); counts.len()];
        let mut alike = vec![0.0; counts.len()];
        for ((window, own), given) in self.windows.iter().zip(&self.own).zip(&given) {
            for (own, given) in own.chunks_exact(VOCABULARY).zip(given.chunks_exact(VOCABULARY)) {
                divergences[window.address].push(divergence(own, given));
                alike[window.address] += f64::from(u8::from(top(own) == top(given)));
            }
        }
        let sums: Vec<f64> = divergences.iter().map(|values| values.iter().sum()).collect();
        Ok(vec![
            Metric::ratio("bits per byte", false, &losses, &counts, samples),
            Metric::ratio("KL divergence", false, &sums, &counts, samples),
            Metric::quantile("KL 99th percentile", false, &divergences, 0.99),
            Metric::ratio("top-1 agreement", true, &alike, &counts, samples),
        ])
    }
}

/// Windows of the addresses that calibrate.
#[derive(Debug)]
pub(super) struct CalibrationText {
    language: Language,
    windows: Vec<Window>,
}

impl CalibrationText {
    pub(super) fn new(language: Language) -> Result<Self, ZooError> {
        Ok(Self { language, windows: sample(&data::calibration()?) })
    }
}

impl Probe for CalibrationText {
    fn outputs(&self, given: &[&Tensor]) -> Result<Outputs, ZooError> {
        let values = scores(self.language, &weights(given), &self.windows).concat();
        Ok(Outputs::Logits { width: VOCABULARY, values })
    }
}

/// Divergence of the second distribution from the first (Kullback, Leibler 1951) in bits.
fn divergence(own: &[f32], given: &[f32]) -> f64 {
    let terms = own.iter().zip(given).map(|(&own, &given)| f64::from(own.exp2()) * f64::from(own - given));
    // Rounding may leave a little less than nothing; what is not a number stays so.
    let sum: f64 = terms.sum();
    if sum < 0.0 { 0.0 } else { sum }
}

/// The most probable byte, the first of equals.
fn top(row: &[f32]) -> usize {
    (1..row.len()).fold(0, |best, at| if row[at] > row[best] { at } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_counted_once() {
        let addresses: Vec<Vec<u8>> =
            [100, 257, 300, 777].iter().map(|&length| (0..length).map(|at| (at % 251) as u8).collect()).collect();
        for (length, skip) in [(64, 32), (90, 10)] {
            let windows = cover(&addresses, length, skip);
            for (address, text) in addresses.iter().enumerate() {
                let own = windows.iter().filter(|window| window.address == address);
                let counted: Vec<u8> = own.flat_map(|window| window.bytes[window.skip + 1..].to_vec()).collect();
                assert_eq!(&counted, text);
            }
            assert_eq!(counts(&windows), [100.0, 257.0, 300.0, 777.0]);
        }
    }

    #[test]
    fn windows_are_spread_over_addresses() {
        let addresses = data::held_out().unwrap();
        let windows = sample(&addresses);
        assert_eq!(windows.len(), WINDOWS * addresses.len());
        for window in &windows {
            let text = line(&addresses[window.address]);
            assert!(text.windows(LENGTH + 1).any(|stretch| stretch == window.bytes));
        }
        assert_eq!(windows[0].bytes[0], b'\n');
        assert_eq!(windows[WINDOWS - 1].bytes[LENGTH], b'\n');
    }

    #[test]
    fn divergence_is_that_of_known_distributions() {
        // Halves against quarter and three quarters: log2(4/3) / 2 + log2(2) / 2 - ... by hand 0.2075 bits.
        let mut own = vec![f32::NEG_INFINITY; 4];
        let mut given = own.clone();
        (own[0], own[1]) = (-1.0, -1.0);
        (given[0], given[1]) = (-2.0, 0.75f32.log2());
        let finite = |row: &[f32]| row.iter().map(|value| value.max(-100.0)).collect::<Vec<_>>();
        assert!((divergence(&finite(&own), &finite(&given)) - 0.207_518_75).abs() < 1e-6);
        assert_eq!(divergence(&finite(&own), &finite(&own)), 0.0);
        assert!(divergence(&[f32::NAN], &[0.0]).is_nan());
        let mut scores: Vec<f32> = (0..VOCABULARY).map(|at| (at as f32 * 0.37).sin() * 9.0).collect();
        to_logarithms(&mut scores);
        let total: f64 = scores.iter().map(|&value| f64::from(value).exp2()).sum();
        assert!((total - 1.0).abs() < 1e-5, "{total}");
        assert_eq!(top(&[0.0, 2.0, 2.0, 1.0]), 1);
    }
}
