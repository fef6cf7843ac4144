"""Models of ``transformers`` from and to folders that hold an ``.sdp`` file in place of their weights.

>>> model = seedpress.transformers.from_pretrained("folder")                                # doctest: +SKIP
>>> seedpress.transformers.save_pretrained(model, "folder", "trellis:bits=3", tokenizer=tokenizer)     # doctest: +SKIP
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._calibration import Calibration
from ._files import Codec, inspect, load_file
from ._summary import Summary
from ._torch import compress_model
from .errors import FileError

if TYPE_CHECKING:
    import torch

WEIGHTS = "model.sdp"
"""The file's name in a folder."""


def _weights(folder: Path) -> Path:
    found = [folder / WEIGHTS] if (folder / WEIGHTS).is_file() else sorted(folder.glob("*.sdp"))
    if len(found) == 1:
        return found[0]
    names = ", ".join(path.name for path in found) or "none"
    raise FileError(f"{folder}: one .sdp file is needed beside config.json, there is {names}")


def _folder(name: str | PathLike[str], revision: str | None) -> Path:
    """A folder on disk, or a snapshot of a repository of the Hugging Face hub."""
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(str(name), revision=revision))


def from_pretrained(
    folder: str | PathLike[str],
    *,
    model_class: Any = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | str | None = None,
    layers: int | None = None,
    max_bytes: int | None = None,
    revision: str | None = None,
    **options: Any,
) -> Any:
    """Loads a model from a folder that holds ``config.json`` and an ``.sdp`` file.

    Args:
        folder: The folder, or the name of a repository of the hub.
        model_class: A class of transformers; by default that which the config names.
        device: Where the model is moved.
        dtype: The type of its weights; by default that of the file.
        layers: Decode from the first so many layers of a progressive codec.
        max_bytes: Take so many bytes of the file for all there is.
        revision: Of a repository of the hub.
        options: Go to the class's own ``from_pretrained``, as ``attn_implementation`` does.

    Returns:
        The model, in evaluation mode.

    Raises:
        FileError: No ``.sdp`` file, or several.
        DecodeError: A damaged file.
    """
    import transformers

    place = _folder(folder, revision)
    config = transformers.AutoConfig.from_pretrained(place)
    if model_class is None:
        named = (config.architectures or [None])[0]
        model_class = getattr(transformers, named or "", None) or transformers.AutoModelForCausalLM
    state = load_file(_weights(place), "torch", layers=layers, max_bytes=max_bytes)
    if dtype is None:
        floats = [tensor.dtype for tensor in state.values() if tensor.is_floating_point()]
        dtype = max(set(floats), key=floats.count) if floats else "auto"
    model = model_class.from_pretrained(None, config=config, state_dict=state, dtype=dtype, **options)
    if (place / "generation_config.json").is_file() and hasattr(model, "generation_config"):
        model.generation_config = transformers.GenerationConfig.from_pretrained(place)
    model.eval()
    return model if device is None else model.to(device)


def save_pretrained(
    model: Any,
    folder: str | PathLike[str],
    codec: Codec,
    calibration: Mapping[str, Calibration] | None = None,
    *,
    tokenizer: Any = None,
    base_model: str | None = None,
    **options: Any,
) -> Summary:
    """Writes a folder that can be pushed to the hub as it is: weights, config, tokenizer, and a card that says how to load them.

    Args:
        model: A model of transformers.
        folder: The folder, made where it is missing.
        codec: As in :func:`seedpress.save_file`.
        calibration: What :func:`seedpress.calibrate` collected.
        tokenizer: A tokenizer or processor that is saved beside it.
        base_model: The repository it was made from, for the card.
        options: Those of :func:`seedpress.save_file`.

    Returns:
        What became of each tensor.
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(place)
    if getattr(model, "generation_config", None) is not None:
        model.generation_config.save_pretrained(place)
    if tokenizer is not None:
        tokenizer.save_pretrained(place)
    options.setdefault("metadata", {"format": "pt"})
    summary = compress_model(model, codec, calibration, place / WEIGHTS, **options)
    (place / "README.md").write_text(_card(place, codec, summary, base_model))
    return summary


def _card(place: Path, codec: Codec, summary: Summary, base_model: str | None) -> str:
    base = f"base_model: {base_model}\nbase_model_relation: quantized\n" if base_model else ""
    rules = codec if isinstance(codec, str) else ", ".join(f"{pattern}: {rule}" for pattern, rule in codec.items())
    layers = max((tensor["layers"] for tensor in inspect(place / WEIGHTS)["tensors"]), default=1)
    prefix = f"\nThe file has {layers} layers: any prefix of it, or `layers=` fewer, loads at a lower quality.\n" if layers > 1 else ""
    return f"""---
library_name: transformers
tags:
- seedpress
{base}---

# Compressed with seedpress

`{rules}`: {summary.file_bytes:,} bytes, {summary.bits_per_weight:.3f} bits per weight, everything counted.

```python
import seedpress.transformers

model = seedpress.transformers.from_pretrained("this folder or repository")
```
{prefix}"""


def evaluate(model: Any, tokens: Sequence[int] | torch.Tensor, *, window: int = 1024, text_bytes: int | None = None) -> dict[str, float]:
    """How well a language model predicts a text.

    The text is cut into windows that do not overlap; the first token of each is not predicted.

    Args:
        model: A causal language model of transformers.
        tokens: The text's tokens.
        window: Tokens the model sees at once.
        text_bytes: Length of the text in UTF-8, for ``bits_per_byte``.

    Returns:
        ``perplexity``, ``bits_per_token``, ``tokens`` predicted, and ``bits_per_byte`` where ``text_bytes`` is given.
    """
    import torch

    device = next(model.parameters()).device
    ids = torch.as_tensor(tokens, dtype=torch.long).reshape(-1)
    if len(ids) < 2 or window < 2:
        raise ValueError("two tokens at least are needed")
    total, count = 0.0, 0
    with torch.inference_mode():
        for start in range(0, len(ids) - 1, window):
            block = ids[start : start + window].to(device)[None]
            if block.shape[1] < 2:
                continue
            logits = model(input_ids=block).logits[0, :-1].double()
            total += float(torch.nn.functional.cross_entropy(logits, block[0, 1:], reduction="sum"))
            count += block.shape[1] - 1
    bits = total / count / math.log(2)
    found = {"perplexity": math.exp(total / count), "bits_per_token": bits, "tokens": float(count)}
    if text_bytes:
        found["bits_per_byte"] = bits * len(ids) / text_bytes
    return found
