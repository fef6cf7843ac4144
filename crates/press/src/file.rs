//! The work into a file.

use seedpress_checkpoint::{ContainerWriter, Order, Output, Shards};
use seedpress_codec::Registry;
use xxhash_rust::xxh3::Xxh3;

use crate::assign::Assign;
use crate::compress::{Compressed, Sink, compress};
use crate::control::Control;
use crate::error::PressError;
use crate::guide::Guide;
use crate::source::Source;
use crate::summary::Summary;

/// How a file is laid out.
#[derive(Debug, Clone, Default)]
pub struct Layout {
    /// Order of the payload.
    pub order: Order,
    /// Cut into files of a bounded size; the output is then their index ([`index_path`](seedpress_checkpoint::container::shards::index_path)).
    pub shards: Option<Shards>,
}

impl From<Order> for Layout {
    /// One file.
    fn from(order: Order) -> Self {
        Self { order, shards: None }
    }
}

/// Compresses a source into an `.sdp` file. The file is there whole or not at all. Work that was killed is taken up by the next call
/// with the same source, output and settings, tensor by tensor; the file has the same bytes then.
///
/// # Errors
/// The first thing that goes wrong; nothing is left behind.
pub fn compress_file(
    source: &dyn Source,
    assign: &dyn Assign,
    guide: &mut dyn Guide,
    registry: &Registry,
    control: &Control<'_>,
    output: Output,
    layout: impl Into<Layout>,
) -> Result<Summary, PressError> {
    let Layout { order, shards } = layout.into();
    let job = job(source, guide, order);
    let mut writer = ContainerWriter::new(output, order, source.metadata(), job)?;
    if let Some(shards) = shards {
        writer = writer.in_shards(shards)?;
    }
    if control.keep {
        writer.keep();
    }
    let mut summary = compress(source, assign, guide, registry, control, &mut writer)?;
    let go_on = || control.check().is_ok();
    summary.source_bytes = source.source_bytes();
    summary.file_bytes = writer.finish(&go_on).map_err(|error| match control.check() {
        Err(stopped) => stopped,
        Ok(()) => error.into(),
    })?;
    Ok(summary)
}

/// What is being written, apart from the settings of each tensor, which its own key holds.
fn job(source: &dyn Source, guide: &dyn Guide, order: Order) -> u128 {
    let mut hash = Xxh3::new();
    hash.update(env!("CARGO_PKG_VERSION").as_bytes());
    match (source.identity(), guide.identity()) {
        (Some(source), Some(guide)) => {
            hash.update(&source.to_le_bytes());
            hash.update(guide.as_bytes());
        }
        // Nothing that was left can be trusted to belong to this: a name that no other run has.
        _ => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            hash.update(&now.as_nanos().to_le_bytes());
            hash.update(&std::process::id().to_le_bytes());
        }
    }
    hash.update(format!("{order:?}").as_bytes());
    hash.digest128()
}

impl Sink for ContainerWriter {
    fn has(&self, name: &str, key: u128) -> bool {
        self.left(name, key)
    }

    fn reuse(&mut self, name: &str, key: u128) -> Result<u64, PressError> {
        match ContainerWriter::reuse(self, name, key) {
            true => Ok(self.last_len()),
            false => Err(PressError::Source { tensor: name.to_owned(), why: "it was not kept".to_owned() }),
        }
    }

    fn push(&mut self, compressed: Compressed) -> Result<u64, PressError> {
        let Compressed { name, entry, key, memory, .. } = compressed;
        ContainerWriter::push(self, &name, &entry, key, memory)?;
        Ok(self.last_len())
    }
}
