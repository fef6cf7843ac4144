//! What every codec of the workspace shares, and no algorithm.
//!
//! There are two layers. An author implements [`Codec`]: a typed configuration, `encode`, and a `decode` that has no `self`, so a
//! stream decodes from its bytes alone. Everybody else holds an [`AnyCodec`] from the [`Registry`]: it checks inputs, sets aside
//! non-finite values and outliers, applies an optional entropy [`Stage`] and yields a [`Record`], whose serialised length is *the* size of a
//! compressed tensor.
//!
//! | module | idea |
//! | --- | --- |
//! | `codec`, `capabilities` | the trait that authors implement, and what a configured codec can do |
//! | `any` | a configured codec of any kind, with its stage |
//! | [`tensor`] | values with a shape and a source data type |
//! | `matrix` | a tensor of any rank seen as outputs by inputs |
//! | `context` | what the caller of an encoder may hand in beside the tensor |
//! | `encoded`, `role` | layers of segments; each segment declares its role and its symbols |
//! | `view`, `segments` | a stream as its decoder sees it: the format number, the decoders of what it nests, a reader of segments |
//! | `exceptions`, `outliers` | values kept exactly, so that they do not spoil a codec's work |
//! | [`packing`] | fixed-width bit streams and five trits a byte |
//! | [`power`] | a power-of-two factor for a whole tensor |
//! | [`wire`] | bounds-checked little-endian reading and writing |
//! | `record` | one tensor as bytes: header, layers, checksums |
//! | `options` | option types that cannot hold an illegal value |
//! | `row_errors` | errors row by row, which an outlier cannot hide |
//! | `registry`, `name` | every codec and stage of a program: from a name and a TOML table to a codec |
//! | `decode` | from bytes to a tensor |
//! | `stage` | lossless recoding of a codec's segments |
//! | `limits` | what a decoder may allocate |
//! | [`float_mode`] | the same arithmetic whatever mode the caller is in |
//! | [`error`] | who is to blame and where |
//! | [`text`] | names as they may be shown |

mod any;
mod capabilities;
mod codec;
mod context;
mod decode;
mod encoded;
pub mod error;
mod exceptions;
pub mod float_mode;
mod limits;
mod matrix;
mod name;
mod options;
mod outliers;
pub mod packing;
pub mod power;
mod record;
mod registry;
mod role;
mod row_errors;
mod segments;
mod stage;
pub mod tensor;
pub mod text;
mod view;
pub mod wire;

pub use any::AnyCodec;
pub use capabilities::Capabilities;
pub use codec::Codec;
pub use context::{EncodeContext, NonFinite};
pub use encoded::{Encoded, Layer, Packing, Segment, Symbols};
pub use error::{ConfigError, DecodeError, DecodeErrorKind, EncodeError};
pub use exceptions::Exceptions;
pub use limits::Limits;
pub use matrix::MatrixView;
pub use options::{Int, Number};
pub use power::PowerOfTwo;
pub use record::{Decoded, MAX_RANK, Record, RecordHeader, RecordView};
pub use registry::{Entry, Registry};
pub use role::Role;
pub use row_errors::{RowErrors, row_errors};
pub use seedpress_calibration::{InputStatistics, Lookups, OutputWeights};
pub use segments::{LayerView, SegmentView, Segments};
pub use stage::Stage;
pub use tensor::{DType, Tensor, TensorView};
pub use view::{Decoders, EncodedView};
