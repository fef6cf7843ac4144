"""A user's file, as `mypy --strict` sees it."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

import seedpress


def smaller(weights: npt.NDArray[np.float32]) -> float:
    def told(done: int, total: int, name: str) -> None:
        print(done, total, name)

    known = seedpress.Calibration.from_inputs(weights)
    data: bytes = seedpress.compress(weights, "trellis:bits=3", calibration=known, progress=told)
    back = seedpress.decompress(data)
    summary: seedpress.Summary = seedpress.save_file({"w": weights}, Path("w.sdp"), {"*": "rtn"})
    loaded = seedpress.load_file("w.sdp", layers=1, max_bytes=1000)
    with seedpress.open("w.sdp") as file:
        rows = file["w"][1:2]
        names: list[str] = list(file)
    options = seedpress.codecs()["trellis"].options
    try:
        seedpress.inspect(data)["tensors"]
    except seedpress.DecodeError as error:
        print(error.tensor, error.layer)
    print(rows, names, options, loaded["w"].shape, back.dtype)
    return summary.ratio
