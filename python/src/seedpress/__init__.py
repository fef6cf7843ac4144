"""Compress neural-network weights with any codec, and know what it costs.

>>> import numpy, seedpress
>>> weights = numpy.random.default_rng(0).normal(size=(64, 256)).astype("float32")
>>> data = seedpress.compress(weights, "trellis:bits=3")
>>> 8 * len(data) / weights.size < 3.2
True
>>> seedpress.decompress(data).shape
(64, 256)

====================================== ==========================================================================
:func:`compress`, :func:`decompress`   one array to bytes and back
:func:`save_file`, :func:`load_file`   a model's tensors to an ``.sdp`` file and back
:func:`open`                           an ``.sdp`` file, tensor by tensor
:func:`compress_file`                  a safetensors checkpoint to an ``.sdp`` file, in bounded memory
:func:`inspect`                        what bytes or a file hold, without decoding
:func:`codecs`, :func:`stages`         every codec with its options, every entropy stage
:class:`Calibration`                   statistics of a layer's inputs, for codecs that weigh errors by them
:func:`calibrate`                      the same for every layer of a torch model, from a few batches
:func:`compress_model`                 a torch model, in place or to a file
:func:`bench`                          an experiment: rows as a pandas frame, charts
====================================== ==========================================================================

``seedpress.transformers``, ``seedpress.numcodecs`` and ``seedpress.ray`` are for those packages. Every error that is not Python's own is a
:class:`SeedpressError`.
"""

from ._bench import Results, bench
from ._calibration import Calibration
from ._codecs import CodecInfo, codecs, compress, decompress, stages
from ._files import File, LazyTensor, compress_file, inspect, load_file, open, save_file
from ._native import VERSION as __version__
from ._summary import Summary, TensorSummary
from ._torch import CalibrationRun, calibrate, compress_model
from .errors import (
    CalibrationError,
    ConfigError,
    CorruptError,
    DecodeError,
    EncodeError,
    FileError,
    InternalError,
    LimitError,
    NonFiniteError,
    SeedpressError,
    TruncatedError,
    UnknownCodecError,
    UnsupportedVersionError,
)

__all__ = [
    "Calibration",
    "CalibrationError",
    "CalibrationRun",
    "CodecInfo",
    "ConfigError",
    "CorruptError",
    "DecodeError",
    "EncodeError",
    "File",
    "FileError",
    "InternalError",
    "LazyTensor",
    "LimitError",
    "NonFiniteError",
    "Results",
    "SeedpressError",
    "Summary",
    "TensorSummary",
    "TruncatedError",
    "UnknownCodecError",
    "UnsupportedVersionError",
    "__version__",
    "bench",
    "calibrate",
    "codecs",
    "compress",
    "compress_file",
    "compress_model",
    "decompress",
    "inspect",
    "load_file",
    "open",
    "save_file",
    "stages",
]
