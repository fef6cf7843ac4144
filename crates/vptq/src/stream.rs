//! The bytes.
//!
//! | parameters | size | |
//! | --- | --- | --- |
//! | kind | u8 | 1 where the tensor has one row, whose neighbours are then vectors; else 0 |
//! | power | i16 | weights are multiplied by this power of two at the end |
//! | classes | u8 | of columns, 1 to 17 |
//! | books | 3 u8 a class | length of a vector, 1 to 16; bits of the first index, 1 to 12; bits of the second, 0 (none) to 12 |
//!
//! | segment | role | |
//! | --- | --- | --- |
//! | classes | tables | with more than one class: that of every column, as many bits as the last class has |
//! | codebook | codebook | of every class, binary16: `2^first` vectors, then `2^second` if there is a second index |
//! | indices | indices | of every class, after its codebook: columns in their order, in each the vectors from the first row on; `first index + 2^first * second index`, `first + second` bits |
//!
//! Vector `i` of a column holds its rows from `i * length` on; what lies beyond the last row is not there. A weight is the first codeword's
//! component, plus the second's, in binary32. A tensor of one row of `n` weights is read as one column of `n` rows. Packed numbers
//! start at the lowest bit.

use half::f16;
use rayon::prelude::*;
use seedpress_codec::packing::{BitReader, pack_bits};
use seedpress_codec::wire::Reader;
use seedpress_codec::{
    DecodeError, Encoded, EncodedView, Limits, Packing, PowerOfTwo, Role, Segment, Segments, Symbols,
};

use crate::plan::{Book, LARGEST, LONGEST, Plan};

/// Rows that one task reconstructs.
const STRIP: usize = 64;

/// The most classes: 16 groups and the columns that matter most.
const CLASSES: usize = 17;

/// Both codebooks of a class and the indices of its columns.
#[derive(Debug, Clone, Default)]
pub(crate) struct Coded {
    /// As stored.
    pub codewords: Vec<f16>,
    /// Of all vectors, columns in their order: first index and second.
    pub indices: Vec<[u32; 2]>,
}

fn class_bits(classes: usize) -> u8 {
    (usize::BITS - (classes - 1).leading_zeros()).max(1) as u8
}

/// Serialises.
pub(crate) fn write(plan: &Plan, lying: bool, power: PowerOfTwo, coded: &[Coded], rows: usize) -> Encoded {
    let mut params = vec![u8::from(lying)];
    params.extend_from_slice(&power.to_bytes());
    params.push(plan.books.len() as u8);
    plan.books.iter().for_each(|book| params.extend([book.vector, book.first, book.second]));
    let mut segments = Vec::new();
    if plan.books.len() > 1 {
        let width = class_bits(plan.books.len());
        let classes = pack_bits(plan.class_of.iter().map(|&class| u32::from(class)), width);
        segments.push(Segment::new(Role::Tables, Symbols::bits(width, plan.class_of.len(), 0), classes));
    }
    for (book, coded) in plan.books.iter().zip(coded) {
        let numbers: Vec<u8> = coded.codewords.iter().flat_map(|number| number.to_le_bytes()).collect();
        let symbols = Symbols::floats(Packing::F16, coded.codewords.len()).in_rows(usize::from(book.vector));
        segments.push(Segment::new(Role::Codebook, symbols, numbers));
        let merged = coded.indices.iter().map(|&[first, second]| first | second << book.first);
        let symbols = Symbols::bits(book.index_bits(), coded.indices.len(), book.vectors(rows));
        segments.push(Segment::new(Role::Indices, symbols, pack_bits(merged, book.index_bits())));
    }
    Encoded::single(params, segments)
}

/// A class on its way back.
struct Class<'a> {
    book: Book,
    codewords: Vec<f32>,
    indices: BitReader<'a>,
}

/// Reconstructs a tensor.
///
/// # Errors
/// Truncated or corrupt.
pub(crate) fn decode(encoded: &EncodedView<'_>, out: &mut [f32], limits: &mut Limits) -> Result<(), DecodeError> {
    let Header { books, power, rows, columns } = Header::read(encoded)?;
    let count = books.len();
    if encoded.layers.len() != 1 {
        return Err(DecodeError::corrupt("exactly one layer is expected"));
    }
    let mut segments = encoded.segments(0)?;
    let (places, sizes) = places(&mut segments, count, columns, limits)?;
    let mut classes = Vec::with_capacity(count);
    for (number, &book) in books.iter().enumerate() {
        let numbers = segments.exact(Role::Codebook, 2 * book.numbers())?;
        let mut codewords = limits.vec(book.numbers())?;
        codewords.extend(numbers.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()));
        if codewords.iter().any(|number: &f32| !number.is_finite()) {
            return Err(DecodeError::corrupt("a codeword is not finite"));
        }
        let vectors = sizes[number].checked_mul(book.vectors(rows)).ok_or(DecodeError::corrupt("too many vectors"))?;
        let indices = BitReader::new(segments.take(Role::Indices)?, book.index_bits(), vectors)?;
        classes.push(Class { book, codewords, indices });
    }
    segments.finish()?;
    out.par_chunks_mut(STRIP * columns).enumerate().for_each(|(strip, out)| {
        let height = out.len() / columns;
        for (column, &(class, before)) in places.iter().enumerate() {
            classes[usize::from(class)].column(before, rows, strip * STRIP, height, &mut out[column..], columns);
        }
        power.up_all(out);
    });
    Ok(())
}

/// What the parameters say, and the shape of what the vectors lie in.
struct Header {
    books: Vec<Book>,
    power: PowerOfTwo,
    rows: usize,
    columns: usize,
}

impl Header {
    fn read(encoded: &EncodedView<'_>) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(encoded.params);
        let lying = reader.u8()?;
        let power = PowerOfTwo::read(&mut reader)?;
        let count = usize::from(reader.u8()?);
        if lying > 1 || !(1..=CLASSES).contains(&count) {
            return Err(DecodeError::corrupt("no such kind of codebooks").at_offset(0));
        }
        let mut books = Vec::with_capacity(CLASSES);
        for _ in 0..count {
            let book = Book { vector: reader.u8()?, first: reader.u8()?, second: reader.u8()? };
            let legal = (1..=LONGEST).contains(&usize::from(book.vector)) && (1..=LARGEST).contains(&book.first);
            if !legal || book.second > LARGEST {
                return Err(DecodeError::corrupt("no such codebook").at_offset(reader.position()));
            }
            books.push(book);
        }
        reader.finish()?;
        let (rows, columns) = match (lying, (encoded.rows(), encoded.columns())) {
            (0, shape) => shape,
            (_, (1, columns)) => (columns, 1),
            _ => return Err(DecodeError::corrupt("more than one row").at_offset(0)),
        };
        Ok(Self { books, power, rows, columns })
    }
}

/// The class of a column, and how many columns of the class lie before it.
type Place = (u8, usize);

/// The place of every column, and how many columns each class has.
fn places(
    segments: &mut Segments<'_, '_>,
    count: usize,
    columns: usize,
    limits: &mut Limits,
) -> Result<(Vec<Place>, [usize; CLASSES]), DecodeError> {
    let mut places: Vec<Place> = limits.filled(columns, (0, 0))?;
    let mut sizes = [0usize; CLASSES];
    if count > 1 {
        let classes = BitReader::new(segments.take(Role::Tables)?, class_bits(count), columns)?;
        for (column, place) in places.iter_mut().enumerate() {
            let class = classes.get(column) as usize;
            if class >= count {
                return Err(DecodeError::corrupt("no such class").at(0, 0));
            }
            *place = (class as u8, sizes[class]);
            sizes[class] += 1;
        }
    } else {
        sizes[0] = columns;
        places.iter_mut().enumerate().for_each(|(column, place)| place.1 = column);
    }
    Ok((places, sizes))
}

impl Class<'_> {
    /// Writes `height` rows from `start` on of the column that has `before` others of its class before it, every `stride`-th number.
    fn column(&self, before: usize, rows: usize, start: usize, height: usize, out: &mut [f32], stride: usize) {
        let length = usize::from(self.book.vector);
        let seconds = &self.codewords[length << self.book.first..];
        let base = before * self.book.vectors(rows);
        let mut row = start;
        while row < start + height {
            let (vector, from) = (row / length, row % length);
            let index = self.indices.get(base + vector) as usize;
            let first = &self.codewords[(index & ((1 << self.book.first) - 1)) * length..][..length];
            let second =
                if seconds.is_empty() { None } else { Some(&seconds[(index >> self.book.first) * length..][..length]) };
            let stop = (length - from).min(start + height - row);
            for component in from..from + stop {
                let value = first[component] + second.map_or(0.0, |second| second[component]);
                out[(row - start + component - from) * stride] = value;
            }
            row += stop;
        }
    }
}
