//! The container decodes at any prefix and never panics, whatever the bytes.

#![allow(clippy::unwrap_used)]

use seedpress_checkpoint::{
    Container, ContainerFile, ContainerView, ContainerWriter, Entry, Index, Order, Output, Overwrite, SourceForm,
};
use seedpress_codec::{
    AnyCodec, Capabilities, Codec, DType, DecodeError, EncodeContext, EncodeError, Encoded, EncodedView, Layer, Limits,
    Registry, Role, Segment, Symbols, Tensor, TensorView,
};

/// Two layers: halves of the values' bits.
struct TwoLayers;

#[derive(Default, Clone, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
struct NoOptions {}

impl Codec for TwoLayers {
    const ID: &'static str = "two-layers";
    const FORMAT: u32 = 1;
    const SUMMARY: &'static str = "test codec";
    type Config = NoOptions;

    fn new(_: NoOptions) -> Self {
        Self
    }

    fn config(&self) -> &NoOptions {
        &NoOptions {}
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { progressive: true, lossless: true, ..Capabilities::default() }
    }

    fn encode(&self, tensor: &TensorView<'_>, _: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
        let half = |shift: u32| {
            let bytes = tensor.values().iter().flat_map(|v| ((v.to_bits() >> shift) as u16).to_le_bytes()).collect();
            Layer { segments: vec![Segment::new(Role::Raw, Symbols::OPAQUE, bytes)] }
        };
        Ok(Encoded { params: Vec::new(), layers: vec![half(16), half(0)] })
    }

    fn decode(encoded: &EncodedView<'_>, out: &mut [f32], _: &mut Limits) -> Result<(), DecodeError> {
        for (index, value) in out.iter_mut().enumerate() {
            let mut bits = 0u32;
            for (layer, shift) in encoded.layers.iter().zip([16, 0]) {
                let bytes = layer.segments.first().and_then(|s| s.bytes.get(2 * index..2 * index + 2));
                let bytes = bytes.ok_or(DecodeError::truncated(2 * index + 2, 0))?;
                bits |= u32::from(u16::from_le_bytes([bytes[0], bytes[1]])) << shift;
            }
            *value = f32::from_bits(bits);
        }
        Ok(())
    }
}

fn sample(order: Order) -> (Container, Vec<Tensor>, Registry) {
    let codec = AnyCodec::new(TwoLayers);
    let tensors: Vec<Tensor> = [3usize, 1, 5]
        .iter()
        .map(|&n| Tensor::new(vec![n], (0..n).map(|i| i as f32 * 0.3 - 1.0).collect(), DType::F32).unwrap())
        .collect();
    let mut container = Container { order, ..Container::default() };
    container.metadata.insert("format".into(), "pt".into());
    for (index, tensor) in tensors.iter().enumerate() {
        let record = codec.encode(&tensor.view("w"), &EncodeContext::default()).unwrap();
        container.entries.push((format!("layer.{index}.weight"), Entry::Record(record)));
    }
    let opaque = Entry::Opaque { dtype: "I64".into(), shape: vec![1], bytes: 7i64.to_le_bytes().to_vec() };
    container.entries.push(("steps".into(), opaque));
    (container, tensors, Registry::default().with::<TwoLayers>())
}

#[test]
fn whole_files_give_everything_back() {
    for order in [Order::TensorMajor, Order::QualityMajor] {
        let (container, tensors, registry) = sample(order);
        let bytes = container.to_bytes();
        let view = ContainerView::parse(&bytes).unwrap();
        assert!(view.complete);
        assert_eq!(view.whole_len, bytes.len() as u64);
        assert_eq!(view.metadata["format"], "pt");
        for (entry, tensor) in view.entries.iter().zip(&tensors) {
            assert_eq!(entry.decode(&registry, None, &mut Limits::new(1 << 20)).unwrap().tensor, *tensor);
        }
        assert_eq!(view.entries[3].opaque_bytes().unwrap(), 7i64.to_le_bytes());
    }
}

#[test]
fn every_prefix_decodes_what_is_complete() {
    let (container, tensors, registry) = sample(Order::QualityMajor);
    let bytes = container.to_bytes();
    let index_len = ContainerView::parse(&bytes).unwrap().index_len;
    let mut best = 0;
    for len in 0..bytes.len() {
        let Ok(view) = ContainerView::parse(&bytes[..len]) else {
            assert!(len < index_len, "an index of {index_len} bytes must do with {len}");
            continue;
        };
        assert!(!view.complete);
        let layers: usize = view.entries[..3].iter().map(|entry| entry.layers().0).sum();
        assert!(layers >= best);
        best = layers;
        for (entry, tensor) in view.entries.iter().zip(&tensors) {
            let result = entry.decode(&registry, None, &mut Limits::new(1 << 20));
            match entry.layers().0 {
                0 => assert!(result.is_err()),
                1 => assert!(
                    result.unwrap().tensor.values().iter().zip(tensor.values()).all(|(a, b)| (a - b).abs() < 0.02)
                ),
                _ => assert_eq!(result.unwrap().tensor, *tensor),
            }
        }
    }
    // The last layer of the last tensor is never whole here.
    assert_eq!(best, 5);
}

/// A file that needs version 2: filler, a tensor stored once, weights in few bits.
fn second_version() -> (Container, Registry) {
    let (mut container, _, registry) = sample(Order::QualityMajor);
    let Entry::Record(record) = container.entries[0].1.clone() else { unreachable!() };
    let form = SourceForm { dtype: "F8_E4M3".into(), scale: Some(3), block: vec![2], applied: true };
    container.entries.push(("tied".into(), Entry::Alias(1)));
    container.entries.push(("kept twice".into(), Entry::Alias(3)));
    container.entries.push(("narrow".into(), Entry::Narrow { record, form }));
    let zeros = Tensor::new(vec![17 << 18], vec![0.0; 17 << 18], DType::F32).unwrap();
    let record = AnyCodec::new(Nothing).encode(&zeros.view("zeros"), &EncodeContext::default()).unwrap();
    container.entries.push(("zeros".into(), Entry::Record(record)));
    (container, registry.with::<Nothing>())
}

/// Decodes to zeros from nothing.
struct Nothing;

impl Codec for Nothing {
    const ID: &'static str = "nothing";
    const FORMAT: u32 = 1;
    const SUMMARY: &'static str = "test codec";
    type Config = NoOptions;

    fn new(_: NoOptions) -> Self {
        Self
    }

    fn config(&self) -> &NoOptions {
        &NoOptions {}
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    fn encode(&self, _: &TensorView<'_>, _: &EncodeContext<'_>) -> Result<Encoded, EncodeError> {
        Ok(Encoded::single(Vec::new(), Vec::new()))
    }

    fn decode(_: &EncodedView<'_>, _: &mut [f32], _: &mut Limits) -> Result<(), DecodeError> {
        Ok(())
    }
}

#[test]
fn a_second_version_is_written_where_it_is_needed() {
    assert_eq!(sample(Order::TensorMajor).0.to_bytes()[4], 1);
    let (container, registry) = second_version();
    let bytes = container.to_bytes();
    assert_eq!(bytes[4], 2);
    let index = Index::parse(&bytes).unwrap();
    index.check_declared(bytes.len() as u64).unwrap();
    assert!(index.check_declared(bytes.len() as u64 - 64).is_err(), "no more filler than is needed");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.sdp");
    let output = Output::create(&path, Overwrite::Refuse, &[]).unwrap();
    let mut writer = ContainerWriter::new(output, container.order, container.metadata.clone(), 1).unwrap();
    for (name, entry) in &container.entries {
        writer.push(name, entry, 0, 0).unwrap();
    }
    writer.finish(&|| true).unwrap();
    assert!(std::fs::read(&path).unwrap() == bytes, "the same file, tensor by tensor");
    let view = ContainerView::parse(&bytes).unwrap();
    let file = ContainerFile::open(&path, None).unwrap();
    for (place, entry) in view.entries.iter().enumerate() {
        let limits = || Limits::for_input(bytes.len());
        match entry.stored.record() {
            Some(_) => {
                let decoded = entry.decode(&registry, None, &mut limits()).unwrap().tensor;
                assert_eq!(file.decode(place, &registry, None, &mut limits()).unwrap().tensor, decoded);
            }
            None => assert_eq!(file.opaque_bytes(place).unwrap(), entry.opaque_bytes().unwrap()),
        }
    }
    assert_eq!(view.entries[4].stored, view.entries[1].stored);
    assert_eq!(view.entries[5].opaque_bytes().unwrap(), 7i64.to_le_bytes());
}

type Entries = Vec<(String, Entry)>;

#[test]
fn references_that_lead_nowhere_are_corrupt() {
    let with = |change: &dyn Fn(&mut Entries)| {
        let (mut container, _) = second_version();
        change(&mut container.entries);
        Index::parse(&container.to_bytes()).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(with(&|_| {}), Ok(()));
    assert!(with(&|entries| entries[4].1 = Entry::Alias(5)).unwrap_err().contains("alias of no stored tensor"));
    assert!(with(&|entries| entries[4].1 = Entry::Alias(4)).is_err());
    assert!(with(&|entries| entries[4].0 = "narrow".into()).unwrap_err().contains("same name"));
    let scale = |place: usize| {
        move |entries: &mut Entries| {
            let Entry::Narrow { form, .. } = &mut entries[6].1 else { unreachable!() };
            form.scale = Some(place);
        }
    };
    assert!(with(&scale(6)).unwrap_err().contains("scales are no stored tensor"));
    assert!(with(&scale(99)).is_err() && with(&scale(4)).is_err() && with(&scale(2)).is_ok());
}

#[test]
fn every_flipped_bit_is_noticed() {
    let (container, _, registry) = sample(Order::QualityMajor);
    let bytes = container.to_bytes();
    let mut flipped = bytes.clone();
    for bit in 0..bytes.len() * 8 {
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(view) = ContainerView::parse(&flipped) {
            let noticed = view.entries.iter().any(|entry| {
                entry.opaque_bytes().is_err() && entry.decode(&registry, None, &mut Limits::new(1 << 20)).is_err()
            });
            assert!(noticed, "bit {bit}");
        }
        flipped[bit / 8] ^= 1 << (bit % 8);
    }
}
