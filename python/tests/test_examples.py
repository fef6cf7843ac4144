"""The examples, run to their end on what needs no network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT, Note

torch = pytest.importorskip("torch")
EXAMPLES = ROOT / "python/examples"


def example(name: str, *arguments: str | Path) -> str:
    """What an example prints."""
    command = [sys.executable, EXAMPLES / name, *arguments]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_vision_model(note: Note) -> None:
    found = dict(re.findall(r"^(.+): (\d\.\d{3})(?:, .*smaller)?$", example("vision_model.py"), re.MULTILINE))
    before = float(found["32-bit floats"])
    at = {how: float(found[f"trellis:bits=2,hessian=full, {how}"]) for how in ("calibrated", "not calibrated")}
    assert before > 0.6 and at["calibrated"] > before - 0.05 and at["calibrated"] > at["not calibrated"]
    note("`examples/vision_model.py`, trained on the spot, at 2 bits",
         f"accuracy {before:.3f}; {at['calibrated']:.3f} calibrated, {at['not calibrated']:.3f} not")  # fmt: skip


def words() -> str:
    """Prose enough to train a tokenizer on and to hold some out."""
    pages = sorted((ROOT / "docs").rglob("*.md"))
    return "\n".join(page.read_text() for page in pages)


def test_the_language_model(tmp_path: Path, note: Note) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    text = words()
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel()
    made.decoder = tokenizers.decoders.ByteLevel()
    made.train_from_iterator([text], tokenizers.trainers.BpeTrainer(vocab_size=512, show_progress=False))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=made)
    config = transformers.LlamaConfig(
        vocab_size=512, hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(config)
    # A few steps: a model that predicts nothing cannot get worse.
    ids = torch.tensor(tokenizer(text).input_ids)
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
    for step in range(60):
        starts = torch.randint(0, len(ids) // 2 - 65, (16,), generator=torch.Generator().manual_seed(step))
        batch = torch.stack([ids[start : start + 64] for start in starts])
        model(input_ids=batch, labels=batch).loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    (tmp_path / "text.txt").write_text(text[:60_000])
    said = example("language_model.py", tmp_path / "model", tmp_path / "text.txt", tmp_path / "folder")
    found = re.search(r"perplexity ([\d.]+) -> ([\d.]+) over", said)
    assert found is not None and "times smaller" in said
    before, after = float(found[1]), float(found[2])
    assert before < 250 and after < 1.1 * before
    written = {path.name for path in (tmp_path / "folder").iterdir()}
    assert {"model.sdp", "config.json", "generation_config.json", "tokenizer.json", "README.md"} <= written
    note("`examples/language_model.py` on a tiny Llama, 3 bits", f"perplexity {before:.1f} -> {after:.1f}; folder ready to push")
