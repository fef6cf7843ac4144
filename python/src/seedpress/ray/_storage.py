"""Where results are kept: folders that all machines see, or whatever fsspec reaches."""

from __future__ import annotations

import tempfile
from os import PathLike, fspath
from pathlib import Path
from typing import Any


def is_address(place: str | PathLike[str]) -> bool:
    """Whether a place is an address of fsspec, as ``s3://bucket/folder``, and no path."""
    return "://" in fspath(place)


def _reach(place: str) -> tuple[Any, str]:
    import fsspec

    file_system, path = fsspec.core.url_to_fs(place)
    return file_system, path


def exists(place: str) -> bool:
    """Whether there is something at an address."""
    file_system, path = _reach(place)
    return bool(file_system.exists(path))


def upload(source: Path, place: str) -> None:
    """Copies a file, or the contents of a folder, to an address."""
    file_system, path = _reach(place.rstrip("/"))
    if source.is_file():
        parent = path.rpartition("/")[0]
        if parent:
            file_system.makedirs(parent, exist_ok=True)
        file_system.put_file(fspath(source), path)
        return
    for file in sorted(source.rglob("*")):
        if file.is_file():
            upload(file, f"{place.rstrip('/')}/{file.relative_to(source).as_posix()}")


class Store:
    """Texts by their keys: a folder, or anything that fsspec reaches."""

    def __init__(self, place: str) -> None:
        self.place = place.rstrip("/")

    def put(self, key: str, text: str) -> None:
        """Keeps a text; what was under the key is replaced. In a folder readers see all of it or nothing."""
        if is_address(self.place):
            file_system, path = _reach(self.place)
            file_system.makedirs(path, exist_ok=True)
            file_system.pipe_file(f"{path}/{key}.jsonl", text.encode())
            return
        folder = Path(self.place)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=folder, suffix=".tmp", delete=False) as file:
            file.write(text)
        Path(file.name).rename(folder / f"{key}.jsonl")

    def get(self, key: str) -> str | None:
        """The text that is there, if one is; of a writer that was killed it may be the beginning."""
        try:
            if is_address(self.place):
                file_system, path = _reach(self.place)
                return str(file_system.cat_file(f"{path}/{key}.jsonl").decode())
            return (Path(self.place) / f"{key}.jsonl").read_text()
        except FileNotFoundError:
            return None
