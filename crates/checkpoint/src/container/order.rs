//! In which order the payload is written.

/// In which order the payload is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// One tensor after the other: reading one tensor touches one range of the file.
    TensorMajor,
    /// All base layers first: a stream can stop anywhere.
    #[default]
    QualityMajor,
}

/// `(entry, part)` in the order of the payload, where entry `i` has `counts[i]` parts.
pub(crate) fn payload_order(order: Order, counts: &[usize]) -> Vec<(usize, usize)> {
    match order {
        Order::TensorMajor => {
            counts.iter().enumerate().flat_map(|(entry, &count)| (0..count).map(move |part| (entry, part))).collect()
        }
        Order::QualityMajor => {
            let deepest = counts.iter().copied().max().unwrap_or(0);
            let mut live: Vec<usize> = (0..counts.len()).collect();
            let mut places = Vec::with_capacity(counts.iter().sum());
            for part in 0..deepest {
                live.retain(|&entry| counts[entry] > part);
                places.extend(live.iter().map(|&entry| (entry, part)));
            }
            places
        }
    }
}
