//! From bytes to a tensor: a record through its stage and its codec, and what was kept beside it put back.

use crate::error::DecodeError;
use crate::exceptions;
use crate::float_mode::in_default_mode;
use crate::limits::Limits;
use crate::record::{Decoded, RecordView};
use crate::registry::Registry;
use crate::segments::{LayerView, SegmentView};
use crate::tensor::Tensor;
use crate::wire::Reader;

impl Registry {
    /// Reconstructs a tensor from a record or a prefix of one.
    ///
    /// # Errors
    /// Any [`DecodeError`].
    pub fn decode(&self, record: &RecordView<'_>, limits: &mut Limits) -> Result<Decoded, DecodeError> {
        in_default_mode(|| self.decode_record(record, limits))
    }

    fn decode_record(&self, record: &RecordView<'_>, limits: &mut Limits) -> Result<Decoded, DecodeError> {
        let header = &record.header;
        // An unknown codec is reported before a stage does work for it.
        self.decoders().find(&header.codec, header.codec_format)?;
        limits.check_values(header.weights())?;
        let (mut view, exceptions) = record.parts();
        let recoded: Vec<Vec<Vec<u8>>>;
        if !header.stage.is_empty() {
            let stage = self.known_stage(&header.stage)?;
            DecodeError::check_version(header.stage_format, stage.format())?;
            let restore = |(index, layer): (usize, &LayerView<'_>)| {
                let segments = stage
                    .decode(header.stage_format, layer, limits)
                    .map_err(|error| DecodeError { layer: Some(index), ..error })?;
                if segments.len() == layer.segments.len() {
                    Ok(segments)
                } else {
                    Err(DecodeError::corrupt("the stage restored another number of segments"))
                }
            };
            recoded = view.layers.iter().enumerate().map(restore).collect::<Result<_, _>>()?;
            for (layer, restored) in view.layers.iter_mut().zip(&recoded) {
                for (segment, bytes) in layer.segments.iter_mut().zip(restored) {
                    *segment = SegmentView { role: segment.role, bytes };
                }
            }
        }
        let mut values = limits.filled(header.weights(), 0f32)?;
        let (_, columns) = header.matrix_view.matrix_shape(&header.shape);
        let mut exceptions = exceptions.map(Reader::new);
        let misplaced = |error: DecodeError| error.at(0, header.layers[0].len() - 1);
        if !values.is_empty() {
            let view = view.with_decoders(self.decoders());
            self.decoders().decode(&header.codec, &view, &mut values, limits)?;
            if let Some(reader) = &mut exceptions {
                exceptions::bring_up_rows(reader, header.exceptions, columns, &mut values).map_err(misplaced)?;
            }
            // A decoder fed with nonsense may overflow; the contract is finite values, exceptions apart.
            if !header.dtype.round_all(&mut values) {
                return Err(DecodeError::corrupt("a reconstructed value is not finite"));
            }
        }
        if let Some(reader) = exceptions {
            exceptions::put_back(reader, header.exceptions, columns, &mut values).map_err(misplaced)?;
        }
        let tensor = Tensor::new(header.shape.clone(), values, header.dtype)
            .map_err(|_| DecodeError::corrupt("the shape does not fit the values"))?;
        Ok(Decoded { tensor, layers: record.layer_count(), layers_total: header.layers.len() })
    }

    /// Parses and decodes a record that this program wrote itself, whatever memory it takes.
    ///
    /// # Errors
    /// Any [`DecodeError`].
    pub fn decode_trusted(&self, bytes: &[u8]) -> Result<Decoded, DecodeError> {
        self.decode(&RecordView::parse(bytes)?, &mut Limits::new(u64::MAX))
    }

    /// Parses and decodes a record in one step, within the default limits for its length.
    ///
    /// # Errors
    /// Any [`DecodeError`].
    pub fn decode_bytes(&self, bytes: &[u8]) -> Result<Decoded, DecodeError> {
        self.decode(&RecordView::parse(bytes)?, &mut Limits::for_input(bytes.len()))
    }
}
