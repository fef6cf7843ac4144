"""An experiment on a cluster of one and of two nodes, each with one processor of its own: seconds for the whole matrix.

    python cluster.py configs/quick.toml [pairs]

Nodes are processes of this machine, each pinned to one processor with everything it starts; the store is empty every time. Runs of one and of two
nodes alternate; the ratio of each pair counts, and of those the median.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from typing import Any

import psutil
import ray
from ray.cluster_utils import Cluster

import seedpress.ray

NODE = {"num_cpus": 1, "memory": 2 << 30, "object_store_memory": 128 << 20}


def pin(node: Any, processor: int) -> None:
    """A node's processes, those that they have started and those that they will."""
    for infos in node.all_processes.values():
        for info in infos:
            process = psutil.Process(info.process.pid)
            for each in [process, *process.children(recursive=True)]:
                for thread in each.threads():
                    os.sched_setaffinity(thread.id, {processor})


def seconds(config: str, nodes: int) -> float:
    """The time of a whole run, without that of starting the cluster."""
    cluster = Cluster(initialize_head=True, head_node_args=NODE)
    pin(cluster.head_node, 0)
    for processor in range(1, nodes):
        pin(cluster.add_node(**NODE), processor)
    cluster.wait_for_nodes()
    ray.init(address=cluster.address, log_to_driver=False)
    try:
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            seedpress.ray.bench(config, out=folder)
            return time.perf_counter() - start
    finally:
        ray.shutdown()
        cluster.shutdown()


def main() -> None:
    config, pairs = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3
    os.sched_setaffinity(0, {0})
    found = []
    for _ in range(pairs):
        found.append((seconds(config, 1), seconds(config, 2)))
        one, two = found[-1]
        print(f"one node {one:.1f} s, two {two:.1f} s: {one / two:.2f}", flush=True)
    print(f"median {statistics.median(one / two for one, two in found):.2f}")


if __name__ == "__main__":
    main()
