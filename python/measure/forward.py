"""Our forward pass against PyTorch's, in 32-bit floats, on the same model and tokens: seconds.

    cargo build --release -p seedpress-transformer --example forward
    python forward.py path/to/release/examples/forward FOLDER [sequences] [length] [pairs] [threads]

Runs alternate, each in a process of its own, reading the weights included on our side and not on PyTorch's. PyTorch takes as many sequences a call
as is fastest of 1, 2 and 4. Both compute the scores of all positions. The ratio of each pair counts, and of those the median.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

IN_TORCH = """
import sys, time, torch
from transformers import AutoModelForCausalLM
folder, sequences, length, threads = sys.argv[1], *map(int, sys.argv[2:])
torch.set_num_threads(threads)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
words = model.config.vocab_size
tokens = ((torch.arange(sequences * length) * 7919 + 13) % words).view(sequences, length)
found = []
with torch.inference_mode():
    model(tokens[:1, :64])
    for together in (1, 2, 4):
        start = time.perf_counter()
        for batch in tokens.split(together):
            model(batch, use_cache=False).logits
        found.append(time.perf_counter() - start)
print(min(found))
"""


def seconds(*command: str, threads: str) -> float:
    """What a process prints last."""
    environment = os.environ | {"RAYON_NUM_THREADS": threads}
    run = subprocess.run(list(command), check=True, capture_output=True, text=True, env=environment)
    return float(run.stdout.split()[-1])


def main() -> None:
    command, folder = sys.argv[1:3]
    sequences, length, pairs, threads = [*sys.argv[3:], *["8", "1024", "5", "2"][len(sys.argv) - 3 :]]
    ratios = []
    print("| ours, s | PyTorch, s | ratio |\n| ---: | ---: | ---: |")
    for _ in range(int(pairs)):
        ours = seconds(command, folder, sequences, length, threads=threads)
        theirs = seconds(sys.executable, "-c", IN_TORCH, folder, sequences, length, threads, threads=threads)
        ratios.append(ours / theirs)
        print(f"| {ours:.2f} | {theirs:.2f} | {ratios[-1]:.2f} |", flush=True)
    print(f"median {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
