"""The command."""

from __future__ import annotations

import argparse
import sys

from ..errors import SeedpressError
from . import bench, compress


def _tell(done: int, total: int, name: str) -> None:
    """A line on a terminal, which the next one replaces."""
    print(f"\r\x1b[K{100 * done / max(1, total):3.0f} % {name}"[:120], end="", file=sys.stderr, flush=True)


def main() -> int:
    """Parses and runs; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m seedpress.ray", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--address", help="the cluster, e.g. auto; without it this machine is one")
    common.add_argument("--cpus", type=float, default=1, help="processors of a task [1]")
    common.add_argument("--memory", type=int, help="bytes of memory of a task [estimated from its largest tensor]")
    common.add_argument("--retries", type=int, default=3, help="how often a task is tried again where its machine is lost [3]")

    verb = verbs.add_parser("bench", parents=[common], help="run an experiment: a task for each model and codec")
    verb.add_argument("config")
    verb.add_argument("--only", action="append", default=[], help="a part of the matrix, as in `seedpress bench`")
    verb.add_argument("--out", help="the report's folder [reports/<run name>]")
    verb.add_argument("--store", help="where finished rows are kept: a folder or an address of fsspec, as s3://.. [OUT/cells]")
    verb.add_argument("--upload", help="an address of fsspec to which the report is copied")

    verb = verbs.add_parser("compress", parents=[common], help="compress a checkpoint: a task for some MB of tensors")
    verb.add_argument("source", help="a .safetensors file, an index, or a folder that holds either")
    verb.add_argument("-o", "--output", required=True, help="the .sdp file, or an address of fsspec")
    verb.add_argument("--codec", required=True)
    verb.add_argument("--include", action="append", default=[])
    verb.add_argument("--exclude", action="append", default=[])
    verb.add_argument("--keep-below", type=int, default=1024)
    verb.add_argument("--force", action="store_true", help="replace the output if it is there")

    given = parser.parse_args()
    cluster = {"address": given.address, "cpus": given.cpus, "memory": given.memory, "retries": given.retries}
    told = _tell if sys.stderr.isatty() else None
    try:
        if given.verb == "bench":
            results = bench(given.config, only=given.only, out=given.out, store=given.store, upload_to=given.upload, progress=told, **cluster)
            failed = [row for row in results.rows if row.get("status") == "failed"]
            print(f"{len(results.rows)} rows in {results.folder}")
            for row in failed:
                print(f"failed: {row['codec']} on {row['model']}: {row['error']}", file=sys.stderr)
            return 1 if failed else 0
        chosen = {"include": given.include, "exclude": given.exclude, "keep_below": given.keep_below}
        print(compress(given.source, given.output, given.codec, overwrite=given.force, progress=told, **chosen, **cluster))
        return 0
    except (SeedpressError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
