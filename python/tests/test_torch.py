"""Torch: tensors, hooks, models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import seedpress

from . import library
from .conftest import Note

torch = pytest.importorskip("torch")
F = torch.nn.functional


def close(found: seedpress.Calibration, rows: np.ndarray) -> None:
    rows = rows.astype(np.float64)
    expected = rows.T @ rows / len(rows)
    assert found.samples == len(rows)
    np.testing.assert_allclose(found.second_moment, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_tensors_of_every_type_and_layout() -> None:
    weights = torch.randn(64, 256)
    expected = seedpress.compress(weights.numpy(), "rtn")
    wide = torch.zeros(64, 512)
    wide[:, ::2] = weights
    for alike in [weights, weights.T.contiguous().T, wide[:, ::2], weights.clone().requires_grad_(), torch.nn.Parameter(weights)]:
        assert seedpress.compress(alike, "rtn") == expected
    for dtype in [torch.bfloat16, torch.float16, torch.float32]:
        for shape in [(64, 256), (), (0, 3), (5,)]:
            tensor = torch.randn(shape).to(dtype)
            back = seedpress.decompress(seedpress.compress(tensor, "raw"), framework="torch")
            assert back.dtype == dtype and torch.equal(back, tensor)
    for other in [torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.int64), torch.zeros(3, dtype=torch.complex128),
                  torch.eye(3).to_sparse(), torch.zeros(3, device="meta")]:  # fmt: skip
        with pytest.raises(TypeError):
            seedpress.compress(other, "rtn")


def test_state_dicts_come_back(tmp_path: Path) -> None:
    state = {
        "w": torch.randn(64, 64),
        "half": torch.randn(64, 64).to(torch.bfloat16),
        "steps": torch.tensor(3),
        "flags": torch.tensor([True, False]),
        "eighth": torch.randn(64, 64).to(torch.float8_e4m3fn),
    }
    seedpress.save_file(state, tmp_path / "m.sdp", "raw")
    back = seedpress.load_file(tmp_path / "m.sdp", "torch")
    for name, tensor in state.items():
        assert back[name].dtype == tensor.dtype and torch.equal(back[name].double(), tensor.double())
    with seedpress.open(tmp_path / "m.sdp", "pt", "cpu") as file:
        assert torch.equal(file.get_slice("half")[2:5], state["half"][2:5])


def test_bytes_are_those_of_the_command(tmp_path: Path, command: str) -> None:
    from safetensors.torch import save_file

    from .conftest import run

    state = {"b.weight": torch.randn(64, 64).to(torch.bfloat16), "a.weight": torch.randn(64, 64), "n": torch.arange(3)}
    save_file(state, tmp_path / "m.safetensors", metadata={"format": "pt"})
    run(command, "compress", tmp_path / "m.safetensors", "--codec", "trellis", "-o", tmp_path / "c.sdp")
    seedpress.save_file(state, tmp_path / "p.sdp", "trellis", metadata={"format": "pt"})
    assert (tmp_path / "c.sdp").read_bytes() == (tmp_path / "p.sdp").read_bytes()


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.nn.Conv2d(6, 8, 3),
        lambda: torch.nn.Conv2d(6, 8, (3, 5), stride=(2, 1), padding=(1, 2), dilation=(1, 2)),
        lambda: torch.nn.Conv2d(6, 9, 3, groups=3, padding="same"),
        lambda: torch.nn.Conv2d(6, 8, 3, padding=1, padding_mode="reflect"),
        lambda: torch.nn.Conv2d(6, 6, 3, groups=6),
        lambda: torch.nn.Conv1d(6, 8, 4, padding="same"),
        lambda: torch.nn.Conv3d(6, 8, (2, 3, 1), padding=1, stride=2),
    ],
)
def test_windows_are_what_a_convolution_multiplies(make: object) -> None:
    """Weights solved for from the recorded second moment alone would fail; so the products themselves are compared."""
    torch.manual_seed(0)
    layer = make()  # type: ignore[operator]
    axes = layer.weight.dim() - 2
    x = torch.randn(5, 6, *(9, 10, 8)[:axes])
    seen: list[np.ndarray] = []
    run = seedpress.calibrate(torch.nn.Sequential(layer))
    run._observe = lambda weight, rows: seen.extend(rows())  # type: ignore[method-assign, assignment]
    with run:
        y = layer(x)
    groups = layer.groups
    outputs = layer.out_channels // groups
    rows = [np.concatenate(seen[group::groups]) for group in range(groups)]
    weight = layer.weight.detach().numpy().reshape(groups, outputs, -1)
    made = np.concatenate([block @ w.T for block, w in zip(rows, weight, strict=True)], axis=1) + layer.bias.detach().numpy()
    expected = y.detach().movedim(1, -1).reshape(-1, layer.out_channels).numpy()
    np.testing.assert_allclose(made, expected, atol=1e-5)


def test_second_moments_of_linear_layers_and_attention() -> None:
    torch.manual_seed(0)

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = torch.nn.Embedding(50, 32)
            self.mix = torch.nn.TransformerEncoderLayer(32, 4, 48, batch_first=True)
            self.free = torch.nn.Parameter(torch.randn(10, 32))
            self.head = torch.nn.Linear(32, 50, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            hidden = self.mix(self.embed(tokens))
            return F.linear(hidden, self.free).sum() + self.head(hidden)

    model = Model().eval()
    tokens = torch.randint(0, 50, (3, 7))
    inputs: list[torch.Tensor] = []
    model.mix.linear1.register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
    with torch.no_grad(), seedpress.calibrate(model) as stats:
        plain = model(tokens)
        model(tokens)
    with torch.no_grad():
        torch.testing.assert_close(plain, model(tokens))
    assert set(stats) == {"mix.self_attn.in_proj_weight", "mix.self_attn.out_proj.weight", "mix.linear1.weight",
                          "mix.linear2.weight", "free", "head.weight", "embed.weight"}  # fmt: skip
    close(stats["mix.linear1.weight"], torch.cat([x.reshape(-1, 32) for x in inputs[:2]]).numpy())
    embedded = model.embed(tokens).detach().reshape(-1, 32).numpy()
    close(stats["mix.self_attn.in_proj_weight"], np.concatenate([embedded, embedded]))
    assert stats["head.weight"] is stats["embed.weight"]
    with pytest.raises(RuntimeError, match="finished"), stats:
        pass


def small_resnet() -> torch.nn.Module:
    class Block(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = torch.nn.Conv2d(16, 16, 3, padding=1)
            self.norm = torch.nn.BatchNorm2d(16)
            self.two = torch.nn.Conv2d(16, 16, 3, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.relu(x + self.two(F.relu(self.norm(self.one(x)))))

    stem = torch.nn.Conv2d(3, 16, 7, stride=2, padding=3)
    return torch.nn.Sequential(stem, Block(), Block(), torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(), torch.nn.Linear(256, 10))


def test_a_calibrated_model_has_the_bytes_of_equal_statistics(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = small_resnet().eval()
    batch = torch.randn(16, 3, 32, 32)
    with torch.no_grad(), seedpress.calibrate(model) as stats:
        before = model(batch)
    codec = "trellis:bits=2,hessian=full"
    seedpress.compress_model(model, codec, stats, tmp_path / "hooks.sdp")
    # The same statistics, from outside: as numbers, not as objects.
    again = {
        name: seedpress.Calibration.from_second_moment(found.second_moment, samples=found.samples, mean_abs=found.mean_abs)
        for name, found in stats.items()
    }
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    seedpress.save_file(state, tmp_path / "numbers.sdp", codec, calibration=again)
    assert (tmp_path / "hooks.sdp").read_bytes() == (tmp_path / "numbers.sdp").read_bytes()
    # A tensor of the file is what one array alone compresses to.
    alone = seedpress.decompress(seedpress.compress(state["1.one.weight"], codec, calibration=again["1.one.weight"]))
    np.testing.assert_array_equal(seedpress.load_file(tmp_path / "hooks.sdp")["1.one.weight"], alone)

    summary = seedpress.compress_model(model, codec, stats)
    assert summary.file_bytes == (tmp_path / "hooks.sdp").stat().st_size and not any(t.uncalibrated for t in summary.tensors)
    for name, tensor in seedpress.load_file(tmp_path / "hooks.sdp", "torch").items():
        assert torch.equal(model.state_dict()[name], tensor), name
    with torch.no_grad():
        calibrated = float((model(batch) - before).norm() / before.norm())
    torch.manual_seed(0)
    plain = small_resnet().eval()
    seedpress.compress_model(plain, codec)
    with torch.no_grad():
        assert calibrated < 0.8 * float((plain(batch) - before).norm() / before.norm())


@pytest.mark.parametrize("codec", ["trellis:bits=2,hessian=full", "rtn:bits=3,hessian=full+ans", "gptq", "awq"])
def test_hooks_and_the_library_make_the_same_file(tmp_path: Path, statistics_command: str, codec: str, note: Note) -> None:
    torch.manual_seed(0)
    model = small_resnet().eval()
    with torch.no_grad(), seedpress.calibrate(model) as stats:
        for _ in range(3):
            model(torch.randn(16, 3, 32, 32))
    seedpress.compress_model(model, codec, stats, tmp_path / "hooks.sdp")
    found = (tmp_path / "hooks.sdp").read_bytes()
    assert found == library.compress(statistics_command, model.state_dict(), stats, codec, tmp_path)
    seedpress.compress_model(model, codec, None, tmp_path / "plain.sdp")
    assert found != (tmp_path / "plain.sdp").read_bytes()
    note(f"ResNet-like, calibrated through hooks, `{codec}`", f"{len(found):,} bytes, those of the Rust library given the same statistics")


def test_tied_weights_are_stored_once_even_calibrated(tmp_path: Path) -> None:
    embed, head = torch.nn.Embedding(64, 32), torch.nn.Linear(32, 64, bias=False)
    head.weight = embed.weight
    model = torch.nn.Sequential(embed, head)
    with seedpress.calibrate(model) as stats:
        model(torch.arange(64))
    summary = seedpress.compress_model(model, "trellis:hessian=full", stats, tmp_path / "m.sdp")
    assert sorted(str(tensor.same) for tensor in summary.tensors) == ["0.weight", "None"]


def test_what_has_no_statistics_is_said() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ConvTranspose1d(64, 8, 3))
    with seedpress.calibrate(model) as stats:
        model[0](torch.randn(20, 64))
    with pytest.warns(UserWarning, match="1 tensors .*: 1.weight"):
        seedpress.compress_model(model, "trellis:hessian=full", stats)
