"""Files in and out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import seedpress

from .conftest import run


def model(seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    tensors = {
        "head.weight": random.normal(size=(96, 64)).astype(np.float32),
        "layers.0.weight": random.normal(size=(64, 64)).astype(np.float16),
        "layers.0.bias": random.normal(size=64).astype(np.float32),
        "conv.weight": random.normal(size=(32, 16, 3, 3)).astype(np.float32),
        "steps": np.array(7, np.int64),
        "mask": np.array([True, False]),
        "double": random.normal(size=(40, 40)),
        "empty": np.zeros((0, 5), np.float32),
    }
    tensors["tied.weight"] = tensors["head.weight"].copy()
    return tensors


def test_a_model_comes_back(tmp_path: Path) -> None:
    tensors, path = model(), tmp_path / "m.sdp"
    summary = seedpress.save_file(tensors, path, "rtn:bits=8", metadata={"format": "pt"})
    assert summary.file_bytes == path.stat().st_size and "times smaller" in str(summary)
    by_name = {tensor.name: tensor for tensor in summary.tensors}
    assert by_name["tied.weight"].same == "head.weight" and by_name["steps"].kept == "no weights"
    assert by_name["layers.0.bias"].kept == "small or a vector" and by_name["conv.weight"].codec == "rtn:bits=8"
    back = seedpress.load_file(path)
    assert set(back) == set(tensors)
    for name, original in tensors.items():
        assert back[name].dtype == original.dtype and back[name].shape == original.shape
        exact = by_name[name].codec is None and by_name[name].same is None
        np.testing.assert_allclose(back[name], original, rtol=0, atol=0 if exact else 0.05)
    assert seedpress.inspect(path)["metadata"] == {"format": "pt"}
    assert set(seedpress.load_file(path, include=["layers.*"], exclude=["*bias"])) == {"layers.0.weight"}
    with pytest.raises(seedpress.ConfigError, match="nothing"):
        seedpress.load_file(path, include=["nothing*"])


def test_bytes_are_those_of_the_command(tmp_path: Path, command: str) -> None:
    numpy_file = pytest.importorskip("safetensors.numpy")
    tensors = model()
    numpy_file.save_file(tensors, tmp_path / "m.safetensors", metadata={"b": "2", "a": "1"})
    for codec, options in [("trellis-progressive", []), ("rtn:bits=3+ans", ["--tensor-major"]), ("q4_k", ["--keep-below", "0"])]:
        run(command, "compress", tmp_path / "m.safetensors", "--codec", codec, *options, "-o", tmp_path / "c.sdp", "--force")
        order = "tensor" if "--tensor-major" in options else "quality"
        keep = 0 if "--keep-below" in options else 1024
        given = {"order": order, "keep_below": keep}
        seedpress.save_file(tensors, tmp_path / "p.sdp", codec, metadata={"a": "1", "b": "2"}, **given)
        seedpress.compress_file(tmp_path / "m.safetensors", tmp_path / "f.sdp", codec, threads=1, **given)
        expected = (tmp_path / "c.sdp").read_bytes()
        assert (tmp_path / "p.sdp").read_bytes() == expected and (tmp_path / "f.sdp").read_bytes() == expected


def test_codecs_by_pattern(tmp_path: Path) -> None:
    tensors = {"a.weight": model()["head.weight"], "b.weight": model()["head.weight"] + 1, "c.weight": model(1)["head.weight"]}
    codec = {"a.*": "rtn:bits=8", "b.*": None, "*": "rtn:bits=2"}
    summary = seedpress.save_file(tensors, tmp_path / "m.sdp", codec)
    assert [tensor.codec for tensor in summary.tensors] == ["rtn:bits=8", None, "rtn:bits=2"]
    with pytest.raises(seedpress.ConfigError, match="no tensor matches `z"):
        seedpress.save_file(tensors, tmp_path / "m.sdp", {"z.*": "rtn", "*": "rtn"})
    with pytest.raises(seedpress.ConfigError, match="no codec for `b.weight`"):
        seedpress.save_file(tensors, tmp_path / "n.sdp", {"a.*": "rtn"})
    assert not (tmp_path / "n.sdp").exists()


def test_lazy_tensors_and_slices(tmp_path: Path) -> None:
    tensors, path = model(), tmp_path / "m.sdp"
    seedpress.save_file(tensors, path, "raw")
    with seedpress.open(path) as file:
        assert list(file.keys()) == [tensor["name"] for tensor in file.inspect()["tensors"]]
        assert file.metadata() == {}
        head = file["head.weight"]
        assert (head.shape, head.dtype, head.get_dtype(), len(head)) == ((96, 64), "float32", "F32", 96)
        assert (head.ndim, head.size) == (2, 96 * 64)
        np.testing.assert_array_equal(head[3:7], tensors["head.weight"][3:7])
        np.testing.assert_array_equal(head[..., 1], tensors["head.weight"][..., 1])
        head[0][:] = 0
        np.testing.assert_array_equal(head[0], tensors["head.weight"][0])
        np.testing.assert_array_equal(np.asarray(file["tied.weight"]), tensors["head.weight"])
        np.testing.assert_array_equal(file.get_tensor("steps"), tensors["steps"])
        np.testing.assert_array_equal(file.get_slice("conv.weight")[1:2, 0], tensors["conv.weight"][1:2, 0])
        with pytest.raises(KeyError):
            file["nothing"]
    with pytest.raises(ValueError, match="closed"):
        head.load()


def test_prefixes(tmp_path: Path) -> None:
    path = tmp_path / "m.sdp"
    tensors = {name: tensor for name, tensor in model().items() if tensor.dtype == np.float32}
    seedpress.save_file(tensors, path, "trellis-progressive")
    whole = path.stat().st_size
    near = seedpress.load_file(path)
    far = seedpress.load_file(path, max_bytes=whole * 3 // 4)
    first = seedpress.load_file(path, layers=1)
    distance = [
        sum(float(np.linalg.norm(back[name] - tensors[name])) for name in tensors) for back in (near, far, first)
    ]
    assert distance[0] < distance[1] <= distance[2]
    with pytest.raises(seedpress.TruncatedError):
        seedpress.load_file(path, max_bytes=whole // 8)


def test_files_that_cannot_be(tmp_path: Path) -> None:
    path = tmp_path / "m.sdp"
    with pytest.raises(FileNotFoundError) as missing:
        seedpress.load_file(path)
    assert missing.value.filename == str(path) and missing.value.errno == 2
    with pytest.raises(FileNotFoundError):
        seedpress.save_file(model(), tmp_path / "no" / "m.sdp", "rtn")
    path.write_bytes(b"not a container")
    with pytest.raises(seedpress.CorruptError, match="m.sdp"):
        seedpress.open(path)
    with pytest.raises(FileExistsError):
        seedpress.save_file(model(), path, "rtn", overwrite=False)
    assert path.read_bytes() == b"not a container"
    with pytest.raises(TypeError, match="`x`"):
        seedpress.save_file({"x": None}, path, "rtn")
    with pytest.raises(seedpress.FileError):
        seedpress.compress_file(path, tmp_path / "n.sdp", "rtn")
    with pytest.raises(ValueError, match="framework"):
        seedpress.open(path, "jax")  # type: ignore[arg-type]
    assert [found.name for found in tmp_path.iterdir()] == ["m.sdp"]


def test_compressed_bytes_are_a_file(tmp_path: Path, weights: np.ndarray) -> None:
    path = tmp_path / "w.sdp"
    path.write_bytes(seedpress.compress(weights, "rtn", name="w"))
    with seedpress.open(path) as file:
        np.testing.assert_array_equal(file["w"].load(), seedpress.decompress(path.read_bytes()))
