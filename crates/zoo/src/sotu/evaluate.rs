//! What a language model achieves on held-out addresses, and how far it is from the uncompressed one.

use rayon::prelude::*;
use seedpress_model::{DataSets, Evaluation, Hidden, Metric, Model, ModelError, Outputs, Samples, Scorer, run};

use super::data;
use super::kernel::sum;
use super::language::{Language, VOCABULARY, bytes};
use crate::error::ZooError;

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

/// Windows of equal length, some together in a batch.
#[derive(Debug)]
struct Windows {
    windows: Vec<Window>,
    together: usize,
}

impl Windows {
    /// Enough rows for efficient products, few enough to share among processors. A step of the recurrent network has one row a window,
    /// so it wants more windows.
    fn new(language: Language, windows: Vec<Window>) -> Self {
        let bytes = match language {
            Language::Transformer => 3072,
            Language::Lstm => 12_288,
        };
        let length = windows.first().map_or(1, |window| window.bytes.len() - 1);
        Self { windows, together: bytes / length }
    }

    fn of(&self, batch: usize) -> &[Window] {
        self.windows.chunks(self.together).nth(batch).unwrap_or_default()
    }
}

impl Samples for Windows {
    fn batches(&self) -> usize {
        self.windows.len().div_ceil(self.together)
    }

    fn batch(&self, index: usize) -> Result<Hidden, ModelError> {
        Ok(bytes(self.of(index).iter().map(|window| &window.bytes[..window.bytes.len() - 1])))
    }

    fn counted(&self, index: usize, outputs: Outputs) -> Outputs {
        let Outputs::Logits { width, values } = outputs else { return outputs };
        let windows = self.of(index);
        let rows = windows.iter().zip(values.chunks_exact(values.len() / windows.len().max(1)));
        let values = rows.flat_map(|(window, scores)| &scores[window.skip * width..]).copied().collect();
        Outputs::Logits { width, values }
    }
}

/// Base-2 logarithms of the probabilities of every next byte that counts, `[window][place * VOCABULARY + byte]`.
fn logarithms(windows: &[Window], outputs: &Outputs) -> Result<Vec<Vec<f32>>, ModelError> {
    let Outputs::Logits { values, .. } = outputs else {
        return Err(ModelError::Shape("a language model answers with scores".to_owned()));
    };
    let mut rest = values.as_slice();
    let parts: Vec<&[f32]> = windows
        .iter()
        .map(|window| {
            let (part, others) = rest.split_at((window.bytes.len() - 1 - window.skip) * VOCABULARY);
            rest = others;
            part
        })
        .collect();
    let read = |scores: &&[f32]| {
        let mut rows = scores.to_vec();
        rows.chunks_exact_mut(VOCABULARY).for_each(to_logarithms);
        rows
    };
    Ok(parts.par_iter().map(read).collect())
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
pub(super) fn whole(language: Language, model: &Model, addresses: &[Vec<u8>]) -> Result<Metric, ZooError> {
    let (length, skip) = match language {
        Language::Transformer => (super::transformer::CONTEXT, super::transformer::CONTEXT / 2),
        Language::Lstm => (1024, 128),
    };
    let samples = Windows::new(language, cover(addresses, length, skip));
    let mut sums = Vec::new();
    run(model.network(), model.weights(), &samples, &mut |batch, outputs| {
        let windows = samples.of(batch);
        let rows = logarithms(windows, &outputs)?;
        sums.extend(windows.iter().zip(&rows).map(|(window, rows)| bits(window, rows).sum::<f64>()));
        Ok(())
    })?;
    let counts = counts(&samples.windows);
    let count = counts.iter().sum::<f64>() as u64;
    Ok(Metric::ratio("bits per byte", false, &by_address(&samples.windows, sums.into_iter()), &counts, count))
}

/// The addresses as data of a language model.
#[derive(Debug)]
pub(crate) struct Text(pub(crate) Language);

/// Windows spread over the calibration text as statistics take them, the bytes of each, and windows a batch.
const CALIBRATION_WINDOWS: usize = 128;
const CALIBRATION_LENGTH: usize = 256;
const CALIBRATION_BATCH: usize = 16;

impl DataSets for Text {
    fn calibration(&self) -> Result<Option<Box<dyn Samples>>, ModelError> {
        let text = data::calibration()?.concat();
        let step = text.len() - CALIBRATION_LENGTH;
        let starts: Vec<usize> =
            (0..CALIBRATION_WINDOWS).map(|index| index * step / (CALIBRATION_WINDOWS - 1)).collect();
        let window = |&start: &usize| &text[start..start + CALIBRATION_LENGTH];
        let batches: Vec<Hidden> =
            starts.chunks(CALIBRATION_BATCH).map(|starts| bytes(starts.iter().map(window))).collect();
        Ok(Some(Box::new(batches)))
    }

    /// Windows as the evaluation takes them, of the addresses that calibrate.
    fn probe(&self) -> Result<Option<Box<dyn Samples>>, ModelError> {
        Ok(Some(Box::new(Windows::new(self.0, sample(&data::calibration()?)))))
    }

    fn evaluation(&self) -> Result<Option<Box<dyn Evaluation>>, ModelError> {
        Ok(Some(Box::new(HeldOutText(Windows::new(self.0, sample(&data::held_out()?))))))
    }
}

/// Windows of the held-out addresses.
#[derive(Debug)]
struct HeldOutText(Windows);

impl Evaluation for HeldOutText {
    fn samples(&self) -> &dyn Samples {
        &self.0
    }

    fn scorer(&self) -> Box<dyn Scorer + '_> {
        Box::new(TextScorer { text: &self.0, losses: Vec::new(), divergences: Vec::new(), alike: Vec::new() })
    }
}

/// Sums by window, in order; divergences of every prediction.
struct TextScorer<'a> {
    text: &'a Windows,
    losses: Vec<f64>,
    divergences: Vec<Vec<f64>>,
    alike: Vec<f64>,
}

impl Scorer for TextScorer<'_> {
    fn add(&mut self, batch: usize, original: &Outputs, given: &Outputs) -> Result<(), ModelError> {
        let windows = self.text.of(batch);
        let (own, given) = (logarithms(windows, original)?, logarithms(windows, given)?);
        for ((window, own), given) in windows.iter().zip(&own).zip(&given) {
            self.losses.push(bits(window, given).sum());
            let pairs = || own.chunks_exact(VOCABULARY).zip(given.chunks_exact(VOCABULARY));
            self.divergences.push(pairs().map(|(own, given)| divergence(own, given)).collect());
            self.alike.push(pairs().filter(|(own, given)| top(own) == top(given)).count() as f64);
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<Metric>, ModelError> {
        let windows = &self.text.windows;
        let counts = counts(windows);
        let samples = counts.iter().sum::<f64>() as u64;
        let losses = by_address(windows, self.losses.into_iter());
        let alike = by_address(windows, self.alike.into_iter());
        let mut divergences: Vec<Vec<f64>> = vec![Vec::new(); counts.len()];
        for (window, values) in windows.iter().zip(self.divergences) {
            divergences[window.address].extend(values);
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
