//! A frozen stream of format 1: what was written stays readable, and the same weights give the same bytes.
//!
//! The stream was made by `print_golden` in `codec.rs`. The expected values were computed from its bytes by a separate decoder in
//! Python (registers stepped bit by bit, the gain track by big-integer range decoding, everything else in binary64), written from the
//! format's description in the crate's documentation.

use seedpress_codec::{
    Codec, DType, EncodeContext, EncodedView, LayerView, Limits, Registry, Role, SegmentView, Tensor,
};
use seedpress_seedlm_progressive::{SeedlmProgressive, register};

const PARAMS: &[u8] = &[8, 4, 1, 1, 3, 0, 102, 102, 4, 193];
const BASE: [(Role, &[u8]); 4] = [
    (Role::Seeds, &[205, 253, 148]),
    (Role::Signs, &[7]),
    (Role::Coefficients, &[176]),
    (Role::Scales, &[93, 0, 5, 60]),
];
const ENHANCEMENT: [(Role, &[u8]); 3] =
    [(Role::Seeds, &[98, 204, 192]), (Role::Signs, &[5]), (Role::Scales, &[125, 87, 206, 59, 198, 101, 146, 59])];

const ONE_LAYER: [f32; 10] =
    [-1.91067, -3.85894, 7.57087, -28.86165, -1.78079, -5.15778, -0.22218, -18.73068, 5.42778, -18.86056];
const TWO_LAYERS: [f32; 10] =
    [0.59346, -2.70491, 2.62292, -35.5744, 1.73072, -12.39764, -0.56292, -19.38789, 1.8183, -15.48559];

fn layer(segments: &'static [(Role, &'static [u8])]) -> LayerView<'static> {
    LayerView { segments: segments.iter().map(|&(role, bytes)| SegmentView { role, bytes }).collect() }
}

#[test]
fn a_stream_of_format_1_decodes_to_what_its_description_says() {
    let layers = [layer(&BASE), layer(&ENHANCEMENT)];
    for (count, expected) in [(1, ONE_LAYER), (2, TWO_LAYERS)] {
        let mut out = [0f32; 10];
        let view = EncodedView::new(1, &[2, 5], PARAMS, layers[..count].to_vec());
        SeedlmProgressive::decode(&view, &mut out, &mut Limits::new(1 << 20)).expect("decodes");
        for (found, expected) in out.iter().zip(expected) {
            assert!((found - expected).abs() < 2e-5, "{out:?}");
        }
    }
}

#[test]
fn the_same_weights_give_the_same_bytes() {
    let values = (0..10).map(|i| (i * i % 11) as f32 * if i % 2 == 0 { 0.25 } else { -4.0 }).collect();
    let tensor = Tensor::new(vec![2, 5], values, DType::F32).expect("shape");
    let codec =
        register(Registry::default()).parse("seedlm-progressive:k=8,block=4,terms=1,layers=2").expect("options");
    let encoded = codec.encode_raw(&tensor.view("t"), &EncodeContext::default()).expect("encodes");
    assert_eq!(encoded.params, PARAMS);
    let expected: [&[(Role, &[u8])]; 2] = [&BASE, &ENHANCEMENT];
    for (layer, expected) in encoded.layers.iter().zip(expected) {
        let found: Vec<(Role, &[u8])> = layer.segments.iter().map(|s| (s.role, s.bytes.as_slice())).collect();
        assert_eq!(found, expected);
    }
}
