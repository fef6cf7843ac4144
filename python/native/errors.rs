//! The library's errors as the exceptions of `seedpress.errors`.

use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use seedpress::codec::error::DecodeErrorKind;
use seedpress::codec::{ConfigError, DecodeError, EncodeError};
use seedpress_calibration::StatisticsError;
use seedpress_checkpoint::CheckpointError;
use seedpress_press::PressError;

/// An exception of that class with this message.
pub(crate) fn raise(py: Python<'_>, class: &str, message: impl std::fmt::Display) -> PyErr {
    let made = || py.import("seedpress.errors")?.getattr(class)?.call1((message.to_string(),));
    made().map_or_else(|error| error, PyErr::from_value)
}

/// The same with attributes.
fn raise_with(
    py: Python<'_>,
    class: &str,
    message: String,
    set: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<()>,
) -> PyErr {
    let error = raise(py, class, message);
    match set(error.value(py)) {
        Ok(()) => error,
        Err(other) => other,
    }
}

/// A codec or option that does not exist, a value that is not legal.
pub(crate) fn config(py: Python<'_>, error: &ConfigError) -> PyErr {
    raise(py, "ConfigError", &error.message)
}

/// Numbers that are no statistics.
pub(crate) fn statistics(py: Python<'_>, error: &StatisticsError) -> PyErr {
    raise(py, "CalibrationError", error)
}

/// A tensor that a codec refuses.
pub(crate) fn encode(py: Python<'_>, error: &EncodeError) -> PyErr {
    match error {
        EncodeError::Cancelled => PyKeyboardInterrupt::new_err("stopped"),
        EncodeError::NonFinite { tensor, count, first } => {
            raise_with(py, "NonFiniteError", error.to_string(), |value| {
                value.setattr("tensor", tensor)?;
                value.setattr("count", count)?;
                value.setattr("first", first)
            })
        }
        EncodeError::Internal(_) => raise(py, "InternalError", error),
        EncodeError::UnsupportedInput { tensor, .. } => {
            raise_with(py, "EncodeError", error.to_string(), |value| value.setattr("tensor", tensor))
        }
        _ => raise(py, "EncodeError", error),
    }
}

/// Bytes that do not decode, with where in them.
pub(crate) fn decode(py: Python<'_>, error: &DecodeError) -> PyErr {
    decode_as(py, error, error.to_string())
}

fn decode_as(py: Python<'_>, error: &DecodeError, message: String) -> PyErr {
    let class = match &error.kind {
        DecodeErrorKind::Truncated { .. } => "TruncatedError",
        DecodeErrorKind::Corrupt(_) => "CorruptError",
        DecodeErrorKind::Limit { .. } => "LimitError",
        DecodeErrorKind::UnsupportedVersion { .. } => "UnsupportedVersionError",
        DecodeErrorKind::UnknownCodec(_) => "UnknownCodecError",
        _ => "DecodeError",
    };
    let message = match &error.kind {
        DecodeErrorKind::Limit { .. } => format!("{message}; max_memory= allows more where the data is trusted"),
        _ => message,
    };
    raise_with(py, class, message, |value| {
        value.setattr("tensor", &error.tensor)?;
        value.setattr("layer", error.layer)?;
        value.setattr("segment", error.segment)?;
        value.setattr("offset", error.offset)?;
        match error.kind {
            DecodeErrorKind::Truncated { needed, have } => {
                value.setattr("needed", needed)?;
                value.setattr("have", have)
            }
            DecodeErrorKind::Limit { asked, allowed } => {
                value.setattr("asked", asked)?;
                value.setattr("allowed", allowed)
            }
            _ => Ok(()),
        }
    })
}

/// A file that cannot be read or written. What the operating system refuses is an `OSError` of the usual class.
pub(crate) fn checkpoint(py: Python<'_>, error: &CheckpointError) -> PyErr {
    match error {
        CheckpointError::Io { path, source } => {
            let known = source.raw_os_error().map(|code| {
                let os = PyErr::from(std::io::Error::from_raw_os_error(code));
                let text = os.value(py).getattr("strerror").and_then(|text| text.extract::<String>());
                os.get_type(py).call1((code, text.unwrap_or_else(|_| source.to_string()), path.as_os_str()))
            });
            match known {
                Some(Ok(value)) => PyErr::from_value(value),
                _ => pyo3::exceptions::PyOSError::new_err(error.to_string()),
            }
        }
        CheckpointError::Container { source, .. } => decode_as(py, source, error.to_string()),
        _ => raise(py, "FileError", error),
    }
}

/// A checkpoint that cannot be compressed or restored.
pub(crate) fn press(py: Python<'_>, error: &PressError) -> PyErr {
    match error {
        PressError::Checkpoint(error) => checkpoint(py, error),
        PressError::Encode(error) => encode(py, error),
        PressError::Cancelled => PyKeyboardInterrupt::new_err("stopped"),
        PressError::Assignment(_) => raise(py, "ConfigError", error),
        PressError::Guide(_) => raise(py, "CalibrationError", error),
        PressError::TooShort { have, needed, .. } => raise_with(py, "TruncatedError", error.to_string(), |value| {
            value.setattr("needed", needed)?;
            value.setattr("have", have)
        }),
        PressError::Unreadable(_) | PressError::Panicked { .. } => raise(py, "InternalError", error),
        _ => raise(py, "FileError", error),
    }
}

/// A panic, which is a bug of ours.
pub(crate) fn panicked(py: Python<'_>, payload: &(dyn std::any::Any + Send)) -> PyErr {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default();
    raise(py, "InternalError", format!("a bug of seedpress: {text}"))
}
