"""A cluster of two machines, one of which is lost in the middle."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import seedpress
from seedpress import _native
from seedpress._files import settings
from seedpress.ray._bench import Cell
from seedpress.ray._compress import groups
from seedpress.ray._storage import Store, exists, upload

from .conftest import ROOT, Note, run
from .test_bench import CONFIG

TIMES = ["encode_seconds", "decode_seconds", "peak_memory", "threads", "decode_threads"]
"""What rows say of the machine that measured them; all else must be the same."""

experiments = pytest.mark.skipif(not hasattr(_native, "bench"), reason="built without experiments")


def comparable(results: seedpress.Results) -> list[dict[str, Any]]:
    """Rows in their order, with everything but times."""
    return [{name: value for name, value in row.items() if name not in TIMES} for row in results.rows]


def test_tensors_that_belong_together_are_grouped() -> None:
    def tensor(name: str, size: int, sample: str, dtype: str = "F32") -> dict[str, object]:
        return {"name": name, "bytes": size, "sample": sample, "dtype": dtype, "shape": [1]}

    large = 32 << 20
    tensors = [tensor("a.weight", large, "1"), tensor("b.weight", 8, "2"), tensor("c.weight", large, "1"), tensor("d.weight", 8, "3")]
    assert groups(tensors) == [[0, 2], [1, 3]]
    tensors = [tensor("a.w", large, "1", "F8_E4M3"), tensor("b.w", large, "2"), tensor("a.w_scale_inv", 8, "3")]
    assert groups(tensors) == [[0, 2], [1]]
    assert groups([]) == []


def test_rows_of_a_cell_are_all_of_them_or_none() -> None:
    cell = Cell("m", "c", ("a", "b"), 1, 1)
    rows = [{"key": "a"}, {"key": "b", "cell_rows": 2, "metric": "x"}, {"key": "b", "cell_rows": 2, "metric": "y"}]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    assert cell.rows(text) == rows
    other = text.replace('"b"', '"d"')
    for torn in ["", text[:-40], text[: text.rindex("\n", 0, -1) + 1], text + text.replace('"b"', '"c"'), other, "[]\n"]:
        assert cell.rows(torn) is None
    assert cell.address != Cell("m", "c", ("b", "a"), 1, 1).address == Cell("x", "y", ("b", "a"), 2, 2).address


def test_stores_keep_texts(tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    for place in [str(tmp_path / "deep/folder"), f"file://{tmp_path}/other", "memory://rows/here/"]:
        store = Store(place)
        assert store.get("a") is None
        store.put("a", "one\n")
        store.put("a", "two\n")
        assert store.get("a") == "two\n" and store.get("b") is None
    assert {path.name for path in (tmp_path / "deep/folder").iterdir()} == {"a.jsonl"}
    (tmp_path / "deep/more").mkdir()
    (tmp_path / "deep/more/x").write_text("x")
    upload(tmp_path / "deep", "memory://copy")
    assert exists("memory://copy/more/x") and exists("memory://copy/folder/a.jsonl") and not exists("memory://copy/y")


def test_parts_join_to_the_file_of_one_machine(tmp_path: Path) -> None:
    """What the tasks do, without a cluster."""
    numpy_file = pytest.importorskip("safetensors.numpy")
    random = np.random.default_rng(0)
    tensors = {f"layers.{n}.weight": random.normal(size=(64, 64)).astype(np.float32) for n in range(5)}
    tensors |= {"tied.weight": tensors["layers.1.weight"].copy(), "steps": np.arange(5), "half": np.ones((40, 40), np.float16)}
    source = str(tmp_path / "m.safetensors")
    numpy_file.save_file(tensors, source, metadata={"format": "pt"})
    chosen = settings("rtn:bits=3+ans")
    seedpress.compress_file(source, tmp_path / "one.sdp", "rtn:bits=3+ans")
    listed = json.loads(_native.tensors(source))["tensors"]
    together = [[at for at, tensor in enumerate(listed) if tensor["name"] in ("tied.weight", "layers.1.weight")]]
    together += [[at] for at in range(len(listed)) if at not in together[0]]
    joiner = _native.Joiner(source, tmp_path / "two.sdp", chosen)
    for places in reversed(together):
        data, memory, _ = _native.part(source, places, chosen, None)
        joiner.push(places, np.frombuffer(data, np.uint8), memory)
    joiner.finish()
    assert (tmp_path / "one.sdp").read_bytes() == (tmp_path / "two.sdp").read_bytes()


@experiments
def test_cells_join_to_the_run_of_one_machine(tmp_path: Path) -> None:
    """The same of experiments."""
    config = tmp_path / "small.toml"
    config.write_text(CONFIG)
    one = seedpress.bench(config, out=tmp_path / "one", cache=tmp_path / "cache")
    cells = [Cell(**{**cell, "keys": tuple(cell["keys"])}) for cell in json.loads(_native.bench_cells(config, CONFIG, []))["cells"]]
    assert len(cells) == 6
    (tmp_path / "two").mkdir()
    with (tmp_path / "two/results.jsonl").open("w") as lines:
        for at, cell in enumerate(cells):
            rows = _native.bench_cell(config, CONFIG, cell.model, cell.codec, [], 1, tmp_path / f"cell{at}")
            assert cell.rows(rows) is not None
            lines.write(rows)
    assert _native.bench_join(config, CONFIG, tmp_path / "two", [])
    assert comparable(one) == comparable(seedpress.Results(tmp_path / "two"))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "memory": 4 << 30, "object_store_memory": 256 << 20})
    ray.init(address=made.address, log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture
def second(cluster: Any) -> Any:
    node = cluster.add_node(num_cpus=1, memory=4 << 30, object_store_memory=256 << 20)
    cluster.wait_for_nodes()
    return node


class Loss(threading.Thread):
    """Kills a machine as soon as something has come of the work."""

    def __init__(self, cluster: Any, node: Any) -> None:
        super().__init__(daemon=True)
        self.cluster, self.node = cluster, node
        self.due = threading.Event()
        self.killed = 0.0

    def run(self) -> None:
        self.due.wait()
        for infos in self.node.all_processes.values():
            for info in infos:
                info.process.kill()
        # What follows takes seconds; the machine is gone by now.
        self.killed = time.monotonic()
        self.cluster.remove_node(self.node, allow_graceful=False)

    def told(self, done: int, total: int, name: str) -> None:
        """As a progress callback: after the first eighth."""
        if 8 * done > total:
            self.due.set()


def lose(cluster: Any, node: Any) -> Loss:
    thread = Loss(cluster, node)
    thread.start()
    return thread


def in_the_middle(loss: Loss, cluster: Any) -> bool:
    """Whether the machine was lost before the work ended, which is now."""
    import ray

    ended = time.monotonic()
    loss.join(timeout=60)
    # The head hears of it a little later.
    while sum(node["Alive"] for node in ray.nodes()) > 1 and time.monotonic() < ended + 60:
        time.sleep(0.2)
    alive = sum(node["Alive"] for node in ray.nodes())
    return 0 < loss.killed < ended and alive == 1


@experiments
def test_rows_are_those_of_one_machine_though_one_is_lost(cluster: Any, second: Any, tmp_path: Path, note: Note) -> None:
    import seedpress.ray

    config = ROOT / "configs/quick.toml"
    one = seedpress.bench(config, out=tmp_path / "one", cache=tmp_path / "cache")
    loss = lose(cluster, second)
    two = seedpress.ray.bench(config, out=tmp_path / "two", progress=loss.told)
    assert in_the_middle(loss, cluster)
    assert comparable(one) == comparable(two)
    assert (tmp_path / "two/index.html").exists()
    cells = len(list((tmp_path / "two/cells").glob("*.jsonl")))
    note("`configs/quick.toml` on two nodes, one killed in the middle", f"{cells} cells, {len(two.rows)} rows: keys, bytes, errors and metrics of one machine")
    # Nothing is measured twice: the rows have the same times.
    again = seedpress.ray.bench(config, out=tmp_path / "three", store=str(tmp_path / "two/cells"))
    assert again.rows == two.rows
    again = seedpress.ray.bench(config, out=tmp_path / "two", store=str(tmp_path / "empty"))
    assert again.rows == two.rows and not (tmp_path / "empty").exists()


@experiments
def test_stores_of_fsspec_keep_rows(cluster: Any, tmp_path: Path, note: Note) -> None:
    import seedpress.ray

    config = tmp_path / "small.toml"
    config.write_text(CONFIG)
    store = f"file://{tmp_path}/store"
    first = seedpress.ray.bench(config, out=tmp_path / "one", store=store)
    kept = list((tmp_path / "store").glob("*.jsonl"))
    assert len(kept) == 6
    # Another experiment, some of whose cells are the same; of one the writer was killed.
    kept[0].write_text(kept[0].read_text()[:100])
    config.write_text(CONFIG.replace('"small"', '"more"').replace("bits = 3", "bits = [3, 5]"))
    more = seedpress.ray.bench(config, out=tmp_path / "more", store=store, upload_to="memory://more")
    times = {row["key"]: row["encode_seconds"] for row in first.rows}
    same = [times[row["key"]] == row["encode_seconds"] for row in more.rows if row["key"] in times]
    assert len(more.rows) == 16 and len(same) == 12 and sum(same) == 10
    assert exists("memory://more/results.jsonl") and exists("memory://more/index.html")
    note("rows in a store of fsspec, asked for by another experiment", "10 of 12 found, 2 of a torn file measured anew")


@experiments
def test_a_cell_that_fails_is_a_row(cluster: Any, tmp_path: Path) -> None:
    import seedpress.ray

    config = tmp_path / "small.toml"
    config.write_text(CONFIG + '\n[[codec]]\ncodec = "gptq"\nsequential = true\n')
    results = seedpress.ray.bench(config, out=tmp_path / "out")
    failed = {row["codec"] for row in results.rows if row["status"] == "failed"}
    assert failed == {"gptq sequential"} and len(results.rows) > 12


def test_files_are_those_of_one_machine_though_one_is_lost(cluster: Any, second: Any, tmp_path: Path, command: str, note: Note) -> None:
    import seedpress.ray

    numpy_file = pytest.importorskip("safetensors.numpy")
    random = np.random.default_rng(0)
    tensors = {f"layers.{n}.weight": random.normal(size=(1024, 8192)).astype(np.float32) for n in range(5)}
    tensors["tied.weight"] = tensors["layers.0.weight"].copy()
    tensors |= {"steps": np.arange(5), "bias": random.normal(size=8).astype(np.float32)}
    folder = tmp_path / "model"
    folder.mkdir()
    numpy_file.save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    # Slow enough that some of it is left when the machine is lost.
    codec = "trellis:bits=2"
    run(command, "compress", folder, "--codec", codec, "-o", tmp_path / "one.sdp")
    whole = seedpress.compress_file(folder, tmp_path / "again.sdp", codec)
    loss = lose(cluster, second)
    summary = seedpress.ray.compress(folder, tmp_path / "two.sdp", codec, progress=loss.told)
    assert in_the_middle(loss, cluster)
    expected = (tmp_path / "one.sdp").read_bytes()
    assert expected == (tmp_path / "again.sdp").read_bytes() == (tmp_path / "two.sdp").read_bytes()
    assert summary == whole
    note("`compress FOLDER` on two nodes, one killed in the middle", f"{len(expected):,} bytes, those of the command on one machine")


def test_what_a_task_raises_is_raised_here(cluster: Any, tmp_path: Path) -> None:
    import seedpress.ray

    numpy_file = pytest.importorskip("safetensors.numpy")
    source = tmp_path / "m.safetensors"
    numpy_file.save_file({"w": np.ones((64, 64), np.float32), "v": np.zeros((64, 64), np.float32)}, source)
    with pytest.raises(seedpress.ConfigError, match="no codec for `v`"):
        seedpress.ray.compress(source, tmp_path / "m.sdp", {"w": "rtn"})
    with pytest.raises(FileExistsError):
        seedpress.ray.compress(source, source, "rtn", overwrite=False)
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]
    seedpress.ray.compress(source, "memory://files/m.sdp", "rtn")
    assert exists("memory://files/m.sdp")
    with pytest.raises(FileExistsError):
        seedpress.ray.compress(source, "memory://files/m.sdp", "rtn", overwrite=False)
    with pytest.warns(UserWarning, match="the largest machine has 1"):
        from seedpress.ray._cluster import declared

        declared(cluster_of(), [], 64, None, False)
    with pytest.raises(seedpress.ConfigError, match="64 processors"):
        declared(cluster_of(), [], 64, None, True)


def cluster_of() -> Any:
    import ray

    return ray


def test_the_command(cluster: Any, tmp_path: Path) -> None:
    import subprocess
    import sys

    numpy_file = pytest.importorskip("safetensors.numpy")
    source, made = tmp_path / "m.safetensors", tmp_path / "m.sdp"
    numpy_file.save_file({"w": np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)}, source)
    arguments = ["compress", source, "-o", made, "--codec", "rtn", "--address", cluster.address]
    script = [sys.executable, "-m", "seedpress.ray", *map(str, arguments)]
    assert "times smaller" in subprocess.run(script, capture_output=True, text=True, check=True).stdout
    seedpress.compress_file(source, tmp_path / "one.sdp", "rtn")
    assert made.read_bytes() == (tmp_path / "one.sdp").read_bytes()
    again = subprocess.run(script, capture_output=True, text=True)
    assert again.returncode == 1 and again.stderr.startswith("error: ") and "Traceback" not in again.stderr
