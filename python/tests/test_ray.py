"""A cluster of two machines, one of which is lost in the middle."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import seedpress
from seedpress import _native
from seedpress.ray._compress import groups

from .conftest import ROOT
from .test_bench import CONFIG

SAME = ["key", "codec", "model", "tensor", "bytes", "squared_error", "parts", "metric", "compressed", "status"]


experiments = pytest.mark.skipif(not hasattr(_native, "bench"), reason="built without experiments")


def comparable(results: seedpress.Results) -> dict[tuple[str, str], dict[str, object]]:
    """What rows say of bytes and errors, times left out."""
    return {(row["key"], row.get("metric", "")): {name: row.get(name) for name in SAME} for row in results.rows}


def test_tensors_that_belong_together_are_grouped() -> None:
    def tensor(name: str, size: int, sample: str, dtype: str = "F32") -> dict[str, object]:
        return {"name": name, "bytes": size, "sample": sample, "dtype": dtype, "shape": [1]}

    large = 32 << 20
    tensors = [tensor("a.weight", large, "1"), tensor("b.weight", 8, "2"), tensor("c.weight", large, "1"), tensor("d.weight", 8, "3")]
    assert groups(tensors) == [[0, 2], [1, 3]]
    tensors = [tensor("a.w", large, "1", "F8_E4M3"), tensor("b.w", large, "2"), tensor("a.w_scale_inv", 8, "3")]
    assert groups(tensors) == [[0, 2], [1]]
    assert groups([]) == []


@pytest.fixture(scope="module")
def cluster() -> Iterator[object]:
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "memory": 4 << 30, "object_store_memory": 256 << 20})
    ray.init(address=made.address, log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture
def second(cluster: object) -> object:
    node = cluster.add_node(num_cpus=1, memory=4 << 30, object_store_memory=256 << 20)  # type: ignore[attr-defined]
    cluster.wait_for_nodes()  # type: ignore[attr-defined]
    return node


def lose(cluster: object, node: object, when: Path | float) -> threading.Thread:
    """Kills a machine after some seconds, or once a file is in a folder."""

    def kill() -> None:
        if isinstance(when, Path):
            while not (when.is_dir() and any(when.glob("*.jsonl"))):
                time.sleep(0.05)
        else:
            time.sleep(when)
        cluster.remove_node(node, allow_graceful=False)  # type: ignore[attr-defined]

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    return thread


@experiments
def test_rows_are_those_of_one_machine_though_one_is_lost(cluster: object, second: object, tmp_path: Path) -> None:
    import seedpress.ray

    config = ROOT / "configs/quick.toml"
    one = seedpress.bench(config, out=tmp_path / "one", cache=tmp_path / "cache")
    killer = lose(cluster, second, tmp_path / "two/cells")
    two = seedpress.ray.bench(config, out=tmp_path / "two")
    killer.join()
    assert comparable(one) == comparable(two)
    assert (tmp_path / "two/index.html").exists()
    start = time.monotonic()
    again = seedpress.ray.bench(config, out=tmp_path / "two")
    assert comparable(again) == comparable(one) and time.monotonic() - start < 60


@experiments
def test_stores_of_fsspec_keep_rows(cluster: object, tmp_path: Path) -> None:
    import seedpress.ray

    config = tmp_path / "small.toml"
    config.write_text(CONFIG)
    store = f"file://{tmp_path}/store"
    first = seedpress.ray.bench(config, out=tmp_path / "one", store=store)
    assert len(list((tmp_path / "store").glob("*.jsonl"))) == 6
    other = seedpress.ray.bench(config, out=tmp_path / "other", store=store)
    assert comparable(first) == comparable(other)
    assert [row["encode_seconds"] for row in first.rows] == [row["encode_seconds"] for row in other.rows]


def test_files_are_those_of_one_machine_though_one_is_lost(cluster: object, second: object, tmp_path: Path) -> None:
    import seedpress.ray

    numpy_file = pytest.importorskip("safetensors.numpy")
    random = np.random.default_rng(0)
    tensors = {f"layers.{n}.weight": random.normal(size=(512, 8192)).astype(np.float32) for n in range(6)}
    tensors["tied.weight"] = tensors["layers.0.weight"].copy()
    tensors |= {"steps": np.arange(5), "bias": random.normal(size=8).astype(np.float32)}
    numpy_file.save_file(tensors, tmp_path / "m.safetensors", metadata={"format": "pt"})
    codec = "trellis:bits=2"
    whole = seedpress.compress_file(tmp_path / "m.safetensors", tmp_path / "one.sdp", codec)
    killer = lose(cluster, second, 1.0)
    summary = seedpress.ray.compress(tmp_path / "m.safetensors", tmp_path / "two.sdp", codec)
    killer.join()
    assert (tmp_path / "one.sdp").read_bytes() == (tmp_path / "two.sdp").read_bytes()
    assert {t.name: (t.codec, t.same, t.kept) for t in summary.tensors} == {t.name: (t.codec, t.same, t.kept) for t in whole.tensors}


def test_parts_join_to_the_file_of_one_machine(tmp_path: Path) -> None:
    """What the tasks do, without a cluster."""
    import json

    numpy_file = pytest.importorskip("safetensors.numpy")
    from seedpress._files import settings

    random = np.random.default_rng(0)
    tensors = {f"layers.{n}.weight": random.normal(size=(64, 64)).astype(np.float32) for n in range(5)}
    tensors |= {"tied.weight": tensors["layers.1.weight"].copy(), "steps": np.arange(5), "half": np.ones((40, 40), np.float16)}
    source = str(tmp_path / "m.safetensors")
    numpy_file.save_file(tensors, source, metadata={"format": "pt"})
    chosen = settings("rtn:bits=3+ans")
    seedpress.compress_file(source, tmp_path / "one.sdp", "rtn:bits=3+ans")
    listed = json.loads(_native.tensors(source))
    together = [[at for at, tensor in enumerate(listed) if tensor["name"] in ("tied.weight", "layers.1.weight")]]
    together += [[at] for at in range(len(listed)) if at not in together[0]]
    joiner = _native.Joiner(source, tmp_path / "two.sdp", chosen)
    for places in reversed(together):
        data, memory, _ = _native.part(source, places, chosen, None)
        joiner.push(places, np.frombuffer(data, np.uint8), memory)
    joiner.finish()
    assert (tmp_path / "one.sdp").read_bytes() == (tmp_path / "two.sdp").read_bytes()
