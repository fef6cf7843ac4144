//! A model of the zoo as a source of tensors, with its calibration data as a guide.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use seedpress_bench::config::{Location, ModelSpec, Origin};
use seedpress_bench::source::{OpenError, Source as Model};
use seedpress_checkpoint::{Content, TensorInfo};
use seedpress_press::{Guidance, Guide, PressError, Source};

use crate::failure::Failure;

/// An opened model.
pub(crate) struct Zoo {
    model: Model,
    infos: Vec<TensorInfo>,
}

impl Zoo {
    /// Opens a model by name.
    pub(crate) fn open(name: &str) -> Result<Self, Failure> {
        let at = Location { path: PathBuf::from(name), line: 1, column: 1 };
        let origin = Origin::Zoo(name.to_owned());
        let spec =
            ModelSpec { name: name.to_owned(), origin, include: Vec::new(), exclude: Vec::new(), draws: None, at };
        let model = Model::open(&spec).map_err(|error| match error {
            OpenError::Absent(message) | OpenError::Wrong(message) => Failure::data(message),
        })?;
        let info = |tensor: &seedpress_bench::source::TensorInfo| TensorInfo {
            name: tensor.name.clone(),
            dtype: tensor.dtype.name().to_uppercase(),
            shape: tensor.shape.clone(),
            bytes: tensor.weights * tensor.dtype.size(),
        };
        let infos = model.tensors.iter().map(info).collect();
        Ok(Self { model, infos })
    }
}

impl Source for Zoo {
    fn tensors(&self) -> &[TensorInfo] {
        &self.infos
    }

    fn load(&self, tensor: usize) -> Result<Content, PressError> {
        let info = &self.model.tensors[tensor];
        let loaded = self.model.load(info).map(Content::Float);
        loaded.map_err(|why| PressError::Source { tensor: info.name.clone(), why })
    }
}

/// Knows what each layer of a model multiplies.
pub(crate) struct Calibrated<'a>(pub &'a Zoo);

impl Guide for Calibrated<'_> {
    /// Statistics are collected when they are first asked for, which takes a while.
    fn guide(&mut self, tensor: usize) -> Result<Guidance, PressError> {
        let statistics = self.0.model.calibration(&self.0.model.tensors[tensor]).map_err(PressError::Guide)?;
        Ok(Guidance { statistics: statistics.cloned().map(Arc::new), ..Guidance::default() })
    }

    fn identity(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.0.model.name))
    }
}
