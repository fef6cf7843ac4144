//! Uniformly quantised weights, however they are packed.

use rayon::prelude::*;

use crate::cursor::Why;

/// What a code stands for, per group.
#[derive(Debug, Clone, PartialEq)]
pub enum Zeros {
    /// `scale * (code - 2^(bits - 1))`.
    Symmetric,
    /// `scale * (code - zero)`: an integer for each group.
    Points(Vec<u16>),
    /// `scale * code + bias`: a number for each group.
    Biases(Vec<f32>),
}

/// A matrix of codes with a scale for every group of weights along a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    /// Outputs.
    pub rows: usize,
    /// Inputs.
    pub columns: usize,
    /// Bits of a code, 1 to 8.
    pub bits: u8,
    /// Inputs that share a scale; the last group of a row may have fewer.
    pub group: usize,
    /// Codes, row-major.
    pub codes: Vec<u8>,
    /// Scales, row-major: `[rows, groups]`.
    pub scales: Vec<f32>,
    /// What codes stand for.
    pub zeros: Zeros,
    /// The group of each input, where they are not in order.
    pub order: Option<Vec<u32>>,
}

impl Grid {
    /// Groups of a row.
    pub fn groups(&self) -> usize {
        self.columns.div_ceil(self.group.max(1))
    }

    /// Whether all parts have the lengths they must have and point to each other.
    ///
    /// # Errors
    /// Which has not.
    pub fn check(&self) -> Result<(), Why> {
        if !(1..=8).contains(&self.bits) {
            return Err(format!("codes of {} bits", self.bits));
        }
        if self.rows.checked_mul(self.columns) != Some(self.codes.len()) {
            return Err(format!("{} codes for {} rows of {}", self.codes.len(), self.rows, self.columns));
        }
        let scales = self.rows * self.groups();
        let zeros = match &self.zeros {
            Zeros::Symmetric => scales,
            Zeros::Points(points) => points.len(),
            Zeros::Biases(biases) => biases.len(),
        };
        if self.scales.len() != scales || zeros != scales {
            return Err(format!("{} scales and {zeros} zero points where {scales} are needed", self.scales.len()));
        }
        match &self.order {
            Some(order) if order.len() != self.columns => {
                Err("the list of groups has another length than a row".to_owned())
            }
            Some(order) if order.iter().any(|&group| group as usize >= self.groups()) => {
                Err("a weight is of a group that is not there".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// The zero point of a group, as a whole number; `None` where it is a bias.
    pub fn point(&self, index: usize) -> Option<u16> {
        match &self.zeros {
            Zeros::Symmetric => Some(1 << (self.bits - 1)),
            Zeros::Points(points) => Some(points[index]),
            Zeros::Biases(_) => None,
        }
    }

    /// The weights, row-major.
    pub fn dequantise(&self) -> Vec<f32> {
        let groups = self.groups();
        let mut values = vec![0f32; self.codes.len()];
        let columns = self.columns.max(1);
        values.par_chunks_mut(columns).zip(self.codes.par_chunks(columns)).enumerate().for_each(
            |(row, (values, codes))| {
                for (column, (value, &code)) in values.iter_mut().zip(codes).enumerate() {
                    let group = self.order.as_ref().map_or(column / self.group, |order| order[column] as usize);
                    let at = row * groups + group;
                    let code = f32::from(code);
                    *value = match &self.zeros {
                        Zeros::Symmetric => self.scales[at] * (code - f32::from(1u16 << (self.bits - 1))),
                        Zeros::Points(points) => self.scales[at] * (code - f32::from(points[at])),
                        Zeros::Biases(biases) => self.scales[at] * code + biases[at],
                    };
                }
            },
        );
        values
    }
}
