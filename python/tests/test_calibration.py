"""Statistics from numpy."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import seedpress
from seedpress import Calibration


def inputs(columns: int, seed: int = 0, rows: int = 1000) -> np.ndarray:
    random = np.random.default_rng(seed)
    mixed = random.normal(size=(rows, columns)) @ random.normal(size=(columns, columns)) * np.geomspace(1, 30, columns)
    return mixed.astype(np.float32)


def test_moments_are_those_of_numpy() -> None:
    x = inputs(48).reshape(10, 100, 48)
    found, flat = Calibration.from_inputs(x), x.reshape(-1, 48).astype(np.float64)
    assert (found.samples, found.columns) == (1000, 48)
    assert found.second_moment is not None and found.mean_abs is not None
    expected = flat.T @ flat / 1000
    np.testing.assert_allclose(found.second_moment, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_allclose(found.mean_square, (flat**2).mean(0), rtol=1e-6)
    np.testing.assert_allclose(found.mean_abs, np.abs(flat).mean(0), rtol=1e-6)
    again = Calibration.from_second_moment(found.second_moment, samples=1000, mean_abs=found.mean_abs)
    assert again == found == pickle.loads(pickle.dumps(found))
    squares = Calibration.from_mean_square(found.mean_square, samples=3)
    assert squares != found and squares.second_moment is None and pickle.loads(pickle.dumps(squares)) == squares
    assert repr(found) == "Calibration(second moment of 48 columns over 1000 samples)"


def test_calibrated_codecs_err_less_at_the_output(weights: np.ndarray) -> None:
    x = inputs(256)
    known = Calibration.from_inputs(x)

    def output_error(data: bytes) -> float:
        return float(np.linalg.norm((seedpress.decompress(data) - weights) @ x.T) / np.linalg.norm(weights @ x.T))

    for codec in ["trellis:bits=2,hessian=full", "rtn:bits=3,hessian=full", "gptq"]:
        with_it = output_error(seedpress.compress(weights, codec, calibration=known))
        without = output_error(seedpress.compress(weights, codec))
        assert with_it < 0.95 * without, (codec, with_it, without)


def test_statistics_of_other_layers_are_refused(weights: np.ndarray, tmp_path: object) -> None:
    known = Calibration.from_inputs(inputs(64))
    with pytest.raises(seedpress.CalibrationError, match="multiplies 256 inputs, the calibration is of 64"):
        seedpress.compress(weights, "trellis:hessian=full", calibration=known)
    with pytest.raises(seedpress.CalibrationError, match="`other`, which is no tensor"):
        seedpress.save_file({"w": weights}, f"{tmp_path}/w.sdp", "rtn", calibration={"other": known})


def test_what_is_no_statistics_is_refused() -> None:
    moment = np.eye(4, dtype=np.float32)
    moment[0, 1] = moment[1, 0] = 5
    cases = [
        lambda: Calibration.from_inputs(np.zeros((0, 4), np.float32)),
        lambda: Calibration.from_inputs(np.zeros((4, 0), np.float32)),
        lambda: Calibration.from_inputs(np.full((3, 4), np.nan, np.float32)),
        lambda: Calibration.from_second_moment(np.zeros((3, 4), np.float32)),
        lambda: Calibration.from_second_moment(moment),
        lambda: Calibration.from_second_moment(np.eye(3), samples=0),
        lambda: Calibration.from_mean_square([-1.0, 2.0]),
        lambda: Calibration.from_mean_square([1.0, 2.0], mean_abs=[1.0]),
    ]
    for case in cases:
        with pytest.raises(seedpress.CalibrationError):
            case()
    for other in [np.ones((3, 4), complex), np.array([["1", "2"]]), np.array([[None]]), np.zeros((3, 4), "M8[s]")]:
        with pytest.raises(TypeError):
            Calibration.from_inputs(other)
    with pytest.raises(TypeError):
        Calibration()


def test_bytes_do_not_depend_on_how_statistics_came(weights: np.ndarray) -> None:
    """What hooks collect and what is computed outside are the same to a codec, if they are the same numbers."""
    known = Calibration.from_inputs(inputs(256))
    assert known.second_moment is not None
    again = Calibration.from_second_moment(known.second_moment.astype(np.float64), samples=known.samples)
    codec = "trellis:bits=2,hessian=full"
    assert seedpress.compress(weights, codec, calibration=known) == seedpress.compress(weights, codec, calibration=again)
