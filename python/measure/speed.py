"""The package against the command, on the same tensors: seconds, processor seconds, peak memory.

    python speed.py path/to/release/seedpress [pairs]

Runs alternate, each in a process of its own, so that both meet whatever else the machine does; the ratio of each pair counts, and of those the
median. Python's part is timed within a running interpreter, as it is used; the command's is the whole process. Both compress a safetensors file
into an `.sdp` file, decode it again to check, and write it. Prints a table.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CASES = [("rtn:bits=4", (4096, 4096)), ("q4_k", (4096, 4096)), ("trellis:bits=3", (512, 2048)), ("seedlm-progressive", (256, 1024))]
# In a process of its own: the peak that the kernel tells of a child is not below what its parent held when it began.
MAKE = """
import sys, numpy
from safetensors.numpy import save_file
shape = tuple(map(int, sys.argv[2:]))
save_file({"w": numpy.random.default_rng(0).normal(size=shape).astype("float32")}, sys.argv[1])
"""
IN_PYTHON = """
import json, resource, sys, time
import seedpress
from safetensors.numpy import load_file
source, target, codec, verb = sys.argv[1:]
weights = load_file(source) if verb == "save" else None
cpu, start = time.process_time(), time.perf_counter()
if verb == "file":
    seedpress.compress_file(source, target, codec)
elif verb == "save":
    seedpress.save_file(weights, target, codec)
else:
    seedpress.load_file(target)
found = [time.perf_counter() - start, time.process_time() - cpu, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss]
print(json.dumps(found))
"""


def in_python(source: Path, target: Path, codec: str, verb: str) -> list[float]:
    """Seconds, processor seconds, peak bytes."""
    script = [sys.executable, "-c", IN_PYTHON, str(source), str(target), codec, verb]
    return list(json.loads(subprocess.run(script, check=True, capture_output=True, text=True).stdout))


def by_command(*arguments: str | Path) -> list[float]:
    """The same of a command."""
    start = time.perf_counter()
    process = subprocess.Popen(list(map(str, arguments)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    assert status == 0, arguments
    return [time.perf_counter() - start, used.ru_utime + used.ru_stime, 1024 * used.ru_maxrss]


def main() -> None:
    command, pairs = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 9
    print("| codec | tensor | | command, s | wall, Python / command | processor, Python / command | peak, command, MB | peak, Python, MB |")
    print("| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        source, target, back = folder / "m.safetensors", folder / "m.sdp", folder / "b.safetensors"
        for codec, shape in CASES:
            subprocess.run([sys.executable, "-c", MAKE, str(source), *map(str, shape)], check=True)
            whole = [command, "compress", source, "--codec", codec, "-o", target, "--force"]
            for verb, what, arguments in [
                ("file", "compress_file", whole),
                ("save", "save_file", whole),
                ("load", "load_file", [command, "decompress", target, "-o", back, "--force"]),
            ]:
                runs = [(by_command(*arguments), in_python(source, target, codec, verb)) for _ in range(pairs)]
                wall, cpu = (statistics.median(ours[at] / theirs[at] for theirs, ours in runs) for at in (0, 1))
                seconds = statistics.median(theirs[0] for theirs, _ in runs)
                memory = [statistics.median(pair[at][2] for pair in runs) / 1e6 for at in (0, 1)]
                sides = " x ".join(map(str, shape))
                print(f"| `{codec}` | {sides} | `{what}` | {seconds:.2f} | {wall:.2f} | {cpu:.2f} | {memory[0]:.0f} | {memory[1]:.0f} |", flush=True)


if __name__ == "__main__":
    main()
