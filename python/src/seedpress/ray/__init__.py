"""Experiments and compression on a Ray cluster: the same rows and bytes as one machine.

``python -m seedpress.ray bench configs/full.toml --address auto`` and ``python -m seedpress.ray compress FOLDER -o model.sdp``; as functions
:func:`bench` and :func:`compress`. Every machine has this package, and sees the same files under the same paths: checkpoints that are
compressed, models that a config names by path, and for models of the zoo a checkout (``SEEDPRESS_ROOT``).
"""

from ._bench import bench
from ._compress import compress

__all__ = ["bench", "compress"]
