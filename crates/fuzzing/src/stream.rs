//! Streams of codecs and stages below their checksums, as bytes that a fuzzer can change.
//!
//! | bytes | |
//! | --- | --- |
//! | until 0 | the name of a codec or stage |
//! | 1 | format number |
//! | 1 + 2 each | axes, and the length of each |
//! | 2 + | length of the parameters, and these |
//! | 1 | layers; for each its segments (1), and for each of those its role (1), its length (2) and its bytes |
//!
//! Numbers are little-endian; what is missing at the end is 0 or empty, so that every prefix means something.

use seedpress_codec::{
    DType, EncodedView, Exceptions, Layer, LayerView, Limits, MatrixView, Record, RecordHeader, RecordView, Role,
    Segment, SegmentView, Symbols,
};

use crate::registry::REGISTRY;

/// A stream as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stream {
    /// Codec or stage.
    pub id: String,
    /// Version of its bytes.
    pub format: u8,
    /// Shape of the tensor; none for stages.
    pub shape: Vec<u16>,
    /// The codec's parameters; none for stages.
    pub params: Vec<u8>,
    /// Roles and bytes of each layer's segments.
    pub layers: Vec<Vec<(u8, Vec<u8>)>>,
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn u8(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    fn u16(&mut self) -> u16 {
        u16::from(self.u8()) | u16::from(self.u8()) << 8
    }

    fn string(&mut self) -> Vec<u8> {
        let len = usize::from(self.u16());
        self.take(len).to_vec()
    }
}

impl Stream {
    /// Any bytes as a stream.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let name = bytes.iter().take(32).position(|&byte| byte == 0).unwrap_or(0);
        let id = String::from_utf8_lossy(&bytes[..name]).into_owned();
        let mut bytes = Bytes(bytes.get(name + 1..).unwrap_or_default());
        let format = bytes.u8();
        let axes = bytes.u8() % 6;
        let shape = (0..axes).map(|_| bytes.u16()).collect();
        let params = bytes.string();
        let layers = bytes.u8() % 9;
        let segment = |bytes: &mut Bytes<'_>| (bytes.u8(), bytes.string());
        let layers = (0..layers)
            .map(|_| {
                let segments = bytes.u8() % 17;
                (0..segments).map(|_| segment(&mut bytes)).collect()
            })
            .collect();
        Self { id, format, shape, params, layers }
    }

    /// The bytes that [`read`](Self::read) takes for this stream.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.id.as_bytes().to_vec();
        bytes.extend([0, self.format, self.shape.len() as u8]);
        self.shape.iter().for_each(|axis| bytes.extend(axis.to_le_bytes()));
        let put = |bytes: &mut Vec<u8>, string: &[u8]| {
            bytes.extend((string.len() as u16).to_le_bytes());
            bytes.extend(string);
        };
        put(&mut bytes, &self.params);
        bytes.push(self.layers.len() as u8);
        for layer in &self.layers {
            bytes.push(layer.len() as u8);
            for (role, segment) in layer {
                bytes.push(*role);
                put(&mut bytes, segment);
            }
        }
        bytes
    }

    fn views(&self) -> Vec<LayerView<'_>> {
        fn segment((role, bytes): &(u8, Vec<u8>)) -> SegmentView<'_> {
            SegmentView { role: Role::from_wire(*role).unwrap_or(Role::Raw), bytes }
        }
        self.layers.iter().map(|layer| LayerView { segments: layer.iter().map(segment).collect() }).collect()
    }
}

/// A codec's decoder, with the memory that a record of this length would get.
pub(crate) fn decoder(bytes: &[u8]) {
    let stream = Stream::read(bytes);
    let Ok(entry) = REGISTRY.codec(&stream.id) else { return };
    let shape: Vec<usize> = stream.shape.iter().map(|&axis| usize::from(axis)).collect();
    let weights = shape.iter().fold(1usize, |count, &axis| count.saturating_mul(axis));
    let mut limits = Limits::for_input(bytes.len());
    if stream.layers.is_empty() || weights == 0 || limits.check_values(weights).is_err() {
        return;
    }
    let Ok(mut out) = limits.filled(weights, 0f32) else { return };
    let format = entry.format.min(u32::from(stream.format).max(1));
    let view = EncodedView::new(format, &shape, &stream.params, stream.views()).with_decoders(REGISTRY.decoders());
    let _ = entry.decode_raw(&view, &mut out, &mut limits);
}

/// A record with checksums that fit: its first byte says what the last segment of layer 0 is, a stream follows.
pub(crate) fn record(bytes: &[u8]) {
    let Some((&kind, stream)) = bytes.split_first() else { return };
    let stream = Stream::read(stream);
    let Ok(entry) = REGISTRY.codec(&stream.id) else { return };
    let segment = |(role, bytes): &(u8, Vec<u8>)| {
        Segment::new(Role::from_wire(*role).unwrap_or(Role::Raw), Symbols::OPAQUE, bytes.clone())
    };
    let layer = |segments: &Vec<(u8, Vec<u8>)>| Layer { segments: segments.iter().map(segment).collect() };
    let layers: Vec<Layer> = stream.layers.iter().map(layer).collect();
    let lengths = |layer: &Layer| layer.segments.iter().map(|segment| (segment.role, segment.bytes.len())).collect();
    let header = RecordHeader {
        codec: stream.id,
        codec_format: entry.format.min(u32::from(stream.format).max(1)),
        stage: String::new(),
        stage_format: 0,
        dtype: [DType::F32, DType::F16, DType::BF16][usize::from(kind >> 3) % 3],
        shape: stream.shape.iter().map(|&axis| usize::from(axis)).collect(),
        matrix_view: if kind & 4 != 0 { MatrixView::Stacked } else { MatrixView::FirstAxis },
        params: stream.params,
        exceptions: KINDS[usize::from(kind) % KINDS.len()],
        layers: layers.iter().map(lengths).collect(),
    };
    let record = Record { header, layers }.to_bytes();
    let _ = RecordView::parse(&record).and_then(|view| REGISTRY.decode(&view, &mut Limits::for_input(bytes.len())));
}

/// What the lowest two bits of the first byte of a record stand for.
pub(crate) const KINDS: [Exceptions; 4] =
    [Exceptions::None, Exceptions::NonFinite, Exceptions::All, Exceptions::AndLoudRows];

/// A stage's decoder, likewise.
pub(crate) fn stage(bytes: &[u8]) {
    let stream = Stream::read(bytes);
    let Ok(stage) = REGISTRY.stage(&stream.id) else { return };
    let format = stage.format().min(u32::from(stream.format).max(1));
    let mut limits = Limits::for_input(bytes.len());
    for layer in stream.views() {
        let _ = stage.decode(format, &layer, &mut limits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_survive_their_bytes() {
        let stream = Stream {
            id: "rtn".to_owned(),
            format: 1,
            shape: vec![6, 300],
            params: vec![1, 2, 3],
            layers: vec![vec![(1, vec![9; 300]), (6, Vec::new())], Vec::new(), vec![(3, vec![1])]],
        };
        let bytes = stream.to_bytes();
        assert_eq!(Stream::read(&bytes), stream);
        for len in 0..bytes.len() {
            decoder(&bytes[..len]);
            stage(&bytes[..len]);
            record(&bytes[..len]);
        }
    }
}
