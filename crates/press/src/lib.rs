//! Compressing a checkpoint, and restoring it.
//!
//! [`compress`](fn@compress) takes tensors from a [`Source`] one at a time, gives each the codec that an [`Assign`] names, with what a [`Guide`] knows
//! of its inputs, and hands what comes out to a [`Sink`] in the source's order. Several tensors are in work at once as threads and
//! memory allow; what comes out depends on neither. [`compress_file`] does so into an `.sdp` file, which is there whole or not at all
//! and which was decoded before it is there. [`decompress`](fn@decompress) is the way back.
//!
//! What `seedpress compress model.safetensors --codec rtn -o model.sdp` does, and `seedpress decompress`:
//!
//! ```
//! use seedpress_checkpoint::{Checkpoint, ContainerFile, Order, Output, Overwrite};
//! use seedpress_press::{Control, NoGuide, Restore, Uniform, compress_file, decompress};
//! # use seedpress_checkpoint::{SavedTensor, save_safetensors};
//! # let folder = tempfile::tempdir()?;
//! # let (model, sdp, back) = (folder.path().join("m.safetensors"), folder.path().join("m.sdp"), folder.path().join("b.safetensors"));
//! # let values = (0..4096).flat_map(|i| ((i as f32).sin()).to_le_bytes()).collect();
//! # let tensor = SavedTensor { dtype: "F32".into(), shape: vec![64, 64], bytes: values };
//! # save_safetensors(&model, &[("w".to_owned(), tensor)], &Default::default())?;
//! let registry = seedpress::registry();
//! let checkpoint = Checkpoint::open(&model)?;
//! let output = Output::create(&sdp, Overwrite::Refuse, &[&model])?;
//! let codec = Uniform::new(registry.parse("rtn")?);
//! let made = compress_file(&checkpoint, &codec, &mut NoGuide, &registry, &Control::default(), output, Order::QualityMajor)?;
//! assert!(made.file_bytes < checkpoint.source_bytes());
//!
//! let container = ContainerFile::open(&sdp, None)?;
//! let output = Output::create(&back, Overwrite::Refuse, &[&sdp])?;
//! decompress(&container, &registry, &Restore::default(), &Control::default(), output)?;
//! assert_eq!(Checkpoint::open(&back)?.tensors(), checkpoint.tensors());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module | idea |
//! | --- | --- |
//! | `source` | where tensors come from |
//! | `assign` | which codec a tensor gets, or why it is kept as it is |
//! | `bounded` | the lowest rate of a codec at which a tensor is within an error |
//! | `guide` | what is known of a tensor's inputs; what follows from the tensors before it |
//! | [`compress`](mod@compress) | the work, tensor by tensor |
//! | `file` | the work into a file |
//! | `narrow` | weights that a source wrote in 8 or 4 bits |
//! | [`decompress`](mod@decompress) | the way back |
//! | [`follow`](mod@follow) | the way back while the file arrives |
//! | [`inspect`](mod@inspect) | what a file holds, without decoding |
//! | [`verify`](mod@verify) | whether a file is what it should be |
//! | `errors` | how far a tensor is from its original, as a whole and row by row |
//! | [`control`] | threads, memory, progress, stopping |
//! | [`summary`] | what was done with every tensor |

mod assign;
mod bounded;
pub mod compress;
pub mod control;
pub mod decompress;
mod error;
mod errors;
mod file;
pub mod follow;
mod guide;
pub mod inspect;
mod line;
mod narrow;
mod source;
pub mod summary;
pub mod verify;
mod worker;

pub use assign::{Assign, Kept, Patterns, SmallTensors, Treatment, Uniform};
pub use bounded::Bounded;
pub use compress::{Compressed, Sink, compress};
pub use control::{Control, Progress, Silent};
pub use decompress::{Memory, Restore, decompress};
pub use error::PressError;
pub use errors::RowErrors;
pub use file::{Layout, compress_file};
pub use follow::{Step, follow};
pub use guide::{Guidance, Guide, NoGuide};
pub use inspect::inspect;
pub use source::{Accompanied, Source};
pub use summary::{Outcome, Summary, TensorSummary};
pub use verify::{Bounds, Finding, Verdict, verify};
