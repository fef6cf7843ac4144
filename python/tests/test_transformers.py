"""transformers: folders out and in."""

from __future__ import annotations

from pathlib import Path

import pytest

import seedpress

from . import library
from .conftest import Note

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


def llama(tied: bool = False) -> object:
    config = transformers.LlamaConfig(
        vocab_size=128, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=tied,
    )  # fmt: skip
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(config).eval()


@pytest.mark.parametrize("tied", [False, True])
def test_a_folder_comes_back(tmp_path: Path, tied: bool) -> None:
    import seedpress.transformers as ours

    model, tokens = llama(tied), torch.randint(0, 128, (4, 32))
    with torch.no_grad(), seedpress.calibrate(model, cap=16) as stats:
        model(tokens)
    assert "model.layers.1.mlp.down_proj.weight" in stats and "lm_head.weight" in stats
    codec = "trellis:bits=3,hessian=full"
    summary = ours.save_pretrained(model, tmp_path / "folder", codec, stats, base_model="someone/model")
    assert {"config.json", "model.sdp", "README.md"} <= {path.name for path in (tmp_path / "folder").iterdir()}
    assert "base_model: someone/model" in (tmp_path / "folder/README.md").read_text()
    back = ours.from_pretrained(tmp_path / "folder")
    assert type(back) is type(model) and summary.file_bytes == (tmp_path / "folder/model.sdp").stat().st_size
    seedpress.compress_model(model, codec, stats)
    with torch.no_grad():
        assert torch.equal(back(tokens).logits, model(tokens).logits)
    found = ours.evaluate(back, tokens.reshape(-1).tolist(), window=16, text_bytes=256)
    assert found["tokens"] == 8 * 15 and 1 < found["perplexity"] < 1000 and found["bits_per_byte"] > 0


@pytest.mark.parametrize("tied", [False, True])
def test_hooks_and_the_library_make_the_same_file(tmp_path: Path, statistics_command: str, tied: bool, note: Note) -> None:
    model, codec = llama(tied), "trellis:bits=2,hessian=full"
    with torch.no_grad(), seedpress.calibrate(model, cap=16) as stats:
        for seed in range(3):
            model(torch.randint(0, 128, (4, 32), generator=torch.Generator().manual_seed(seed)))
    seedpress.compress_model(model, codec, stats, tmp_path / "hooks.sdp")
    found = (tmp_path / "hooks.sdp").read_bytes()
    known = {name: statistics for name, statistics in stats.items() if name in model.state_dict()}
    assert found == library.compress(statistics_command, model.state_dict(), known, codec, tmp_path)
    what = "Llama-like, head tied to the embedding" if tied else "Llama-like"
    note(f"{what}, calibrated through hooks, `{codec}`", f"{len(found):,} bytes, those of the Rust library given the same statistics")


def test_types_and_layers(tmp_path: Path) -> None:
    import seedpress.transformers as ours

    model = llama().to(torch.bfloat16)
    ours.save_pretrained(model, tmp_path, "trellis-progressive")
    assert ours.from_pretrained(tmp_path).dtype == torch.bfloat16
    assert ours.from_pretrained(tmp_path, dtype=torch.float32, layers=1).dtype == torch.float32
    assert "layers=" in (tmp_path / "README.md").read_text()
    (tmp_path / "model.sdp").rename(tmp_path / "a.sdp")
    assert ours.from_pretrained(tmp_path).dtype == torch.bfloat16
    (tmp_path / "b.sdp").write_bytes((tmp_path / "a.sdp").read_bytes())
    with pytest.raises(seedpress.FileError, match="a.sdp, b.sdp"):
        ours.from_pretrained(tmp_path)
