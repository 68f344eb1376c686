# SPDX-License-Identifier: BSD-3-Clause
"""Settings and variations of training against their definitions, written a second time."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs bnn-pynq[train]")

from bnn.errors import TrainError  # noqa: E402
from bnn.program.precision import BIPOLAR, INT, TERNARY, UINT, Precision  # noqa: E402
from bnn.train import augment, quantizers, recipes  # noqa: E402

#: Field: allowed values at both ends, and those next to them that are refused.
LIMITS: dict[str, tuple[list[Any], list[Any]]] = {
    "epochs": ([1, 1_000_000], [0, 1_000_001, 1.5, True]),
    "batch": ([2, 1_000_000], [1, 1_000_001]),
    "rate": ([1e-12, 1000.0], [0.0, -1e-12, 1000.1, math.nan, math.inf]),
    "norm_rate": ([1e-12, 1000.0], [0.0, 1000.1]),
    "warm_up": ([0, 1_000_000_000], [-1, 1_000_000_001]),
    "smoothing": ([0.0, 1.0], [-1e-9, 1.001]),
    "augment": (["none", "shift", "flip-shift", "flip-shift-cut", "distort"], ["flip", ""]),
    "mix": ([0.0, 1000.0], [-1e-9, 1000.1]),
    "estimator": (["ste", "approx"], ["sign"]),
    "taught": ([0.0, 1.0], [-1e-9, 1.001]),
    "temperature": ([1e-12, 1000.0], [0.0, 1000.1]),
}


def test_every_setting_at_its_limits() -> None:
    assert {one.name for one in fields(recipes.Recipe)} == set(LIMITS) == set(recipes.RANGES)
    for name, (taken, refused) in LIMITS.items():
        for value in taken:
            assert getattr(replace(recipes.DENSE, **{name: value}), name) == value
        for value in refused:
            with pytest.raises(TrainError, match=name):
                replace(recipes.DENSE, **{name: value})


def test_settings_that_nobody_gave() -> None:
    plain = recipes.Recipe(epochs=1, batch=2, rate=1.0)
    told = (plain.norm_rate, plain.warm_up, plain.smoothing, plain.augment, plain.mix)
    assert told == (0.002, 200, 0.0, "none", 0.0)
    assert (plain.estimator, plain.taught, plain.temperature) == ("ste", 0.8, 2.0)
    dense, conv = recipes.DENSE, recipes.CONVOLUTIONAL
    assert (dense.epochs, dense.batch, dense.rate, dense.smoothing) == (60, 256, 0.02, 0.1)
    assert (conv.epochs, conv.batch, conv.rate, conv.warm_up) == (100, 125, 0.03, 500)
    assert replace(conv, rate=0.01) == recipes.FINE


def test_distortions_reach_their_limits_and_no_further() -> None:
    torch.manual_seed(3)
    maps = augment._affine(40_000, torch.device("cpu")).double().numpy()
    sine = maps[:, 1, 0]
    cosine = np.sqrt(1 - sine**2)
    found = {
        "angle": (np.arcsin(sine), -math.pi / 15, math.pi / 15),
        "wide": (maps[:, 0, 0] / cosine, 0.88, 1.14),
        "high": (maps[:, 1, 1] / cosine, 0.88, 1.14),
        "shear": (maps[:, 0, 1] + sine, -0.2, 0.2),
        "right": (maps[:, 0, 2], -1 / 7, 1 / 7),
        "down": (maps[:, 1, 2], -1 / 7, 1 / 7),
    }
    for name, (values, low, high) in found.items():
        reach = high - low
        assert low - 1e-6 <= values.min() < low + 0.002 * reach, name
        assert high - 0.002 * reach < values.max() <= high + 1e-6, name
        assert abs(values.mean() - (low + high) / 2) < 0.01 * reach, name
    for one in ("wide", "high", "shear", "right", "down"):  # each drawn for itself
        assert abs(np.corrcoef(found["angle"][0], found[one][0])[0, 1]) < 0.03


def test_an_undistorted_picture_stays_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """The grid of pixels is that of `grid_sample`: no half pixel is lost."""

    def still(count: int, device: Any) -> Any:
        return torch.eye(2, 3, device=device).repeat(count, 1, 1)

    monkeypatch.setattr(augment, "_affine", still)
    monkeypatch.setattr(torch, "randn", lambda *shape, device: torch.zeros(shape, device=device))
    pictures = torch.randint(0, 256, (3, 9, 14, 3), dtype=torch.uint8)
    assert torch.equal(augment.distort(pictures), pictures)
    monkeypatch.setattr(torch, "randn", lambda *shape, device: torch.ones(shape, device=device))
    # A bend of one everywhere is 0.035 of half the size to the right and down.
    flat = torch.arange(0, 200, 2, dtype=torch.uint8).view(1, 1, 100, 1).repeat(1, 100, 1, 1)
    moved = augment.distort(flat)[0, 50, 10:90, 0].int() - flat[0, 50, 10:90, 0].int()
    assert set(moved.tolist()) <= {3, 4}  # 1.75 pixels of two levels each
    rows = augment.distort(flat.permute(0, 2, 1, 3))[0, 10:90, 50, 0].int()
    assert set((rows - flat[0, 50, 10:90, 0].int()).tolist()) <= {3, 4}


@pytest.mark.parametrize("reach", [1, 3])
def test_shifts_reach_every_place(reach: int) -> None:
    torch.manual_seed(2)
    found = augment._shifted(4000, 9, reach, torch.device("cpu"))
    moves, counts = np.unique(found[:, 4].numpy() - 4, return_counts=True)
    assert moves.tolist() == list(range(-reach, reach + 1))
    assert counts.min() > 0.8 * 4000 / (2 * reach + 1)
    for row in found[:50].tolist():
        move = row[4] - 4
        wanted = [min(abs(place + move), 16 - abs(place + move)) for place in range(9)]
        assert row == wanted


def test_contrast_and_brightness_reach_their_limits() -> None:
    torch.manual_seed(4)
    pictures = torch.full((6000, 4, 4, 1), 128, dtype=torch.uint8)
    grey = augment.flip_shift_and_cut(pictures, side=0)[:, 0, 0, 0].int()
    assert grey.min().item() == 103
    assert grey.max().item() == 152
    dark = torch.full((6000, 4, 4, 1), 28, dtype=torch.uint8)
    levels = augment.flip_shift_and_cut(dark, side=0)[:, 0, 0, 0].int()
    assert 0 <= levels.min().item() <= 2  # 128 - 125 - 25
    assert 76 <= levels.max().item() <= 78  # 128 - 75 + 25


@pytest.mark.parametrize("precision", [BIPOLAR, TERNARY, INT(2), INT(4), UINT(1), UINT(3)])
def test_activations_and_their_gradients(precision: Precision) -> None:
    x = torch.linspace(-20, 20, 1601, dtype=torch.float64)
    for estimator in ("ste", "approx"):
        given = x.clone().requires_grad_()
        made = quantizers.quantize_activation(given, precision, estimator)
        made.backward(torch.full_like(x, 3.0))
        if precision == BIPOLAR:
            wanted = np.where(x.numpy() >= 0, 1.0, -1.0)
            slope = (np.abs(x.numpy()) < 1) * 1.0
            if estimator == "approx":
                slope = np.maximum(2 - 2 * np.abs(x.numpy()), 0)
        else:
            wanted = np.floor(np.clip(x.numpy(), precision.low, precision.high) + 0.5)
            slope = ((x.numpy() > precision.low) & (x.numpy() < precision.high)) * 1.0
        assert np.array_equal(made.detach().numpy(), wanted)
        assert given.grad is not None
        np.testing.assert_allclose(given.grad.numpy(), 3 * slope, atol=1e-12)


@pytest.mark.parametrize("precision", [BIPOLAR, TERNARY, INT(3), INT(8)])
def test_weights_and_their_gradients(precision: Precision) -> None:
    x = torch.linspace(-1, 1, 2001, dtype=torch.float64).requires_grad_()
    made = quantizers.quantize_weight(x, precision)
    made.sum().backward()
    values = x.detach().numpy()
    wanted = np.where(values >= 0, 1.0, -1.0)
    if precision != BIPOLAR:
        wanted = np.floor(np.clip(values * precision.high, precision.low, precision.high) + 0.5)
    assert np.array_equal(made.detach().numpy(), wanted)
    assert x.grad is not None
    assert bool((x.grad == 1).all())


def test_settings_at_their_limits() -> None:
    from bnn.train.run import MIN_BATCH, Settings

    given = Settings("tfc-w1a1", "mnist", None, 0, recipes.DENSE)
    assert (given.init, given.teachers, given.whole, given.skip_broken) == (None, (), False, False)
    assert MIN_BATCH == 16
    for seed in (0, 1, 2**32 - 1):
        assert replace(given, seed=seed).seed == seed
    for seed in (-1, 2**32, 0.5, True):
        with pytest.raises(TrainError, match="seed"):
            replace(given, seed=seed)
    with pytest.raises(TrainError, match="preprocess"):
        replace(given, preprocess="other")


@pytest.mark.parametrize("kind", [ValueError, TypeError, "misconfigured"])
def test_devices_that_lightning_refuses_are_one_line(
    kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    from lightning.fabric.utilities.exceptions import MisconfigurationException

    from bnn.train import loop

    error = MisconfigurationException if kind == "misconfigured" else kind

    def refuses(**_: Any) -> None:
        raise error("no such\n  device")

    monkeypatch.setattr(loop.L, "Trainer", refuses)
    task: Any = SimpleNamespace(
        stack=SimpleNamespace(uses_luts=False), recipe=SimpleNamespace(epochs=1)
    )
    options: Any = SimpleNamespace(devices="1")
    logger: Any = None
    with pytest.raises(TrainError, match=r"^devices .1. are not available: no such device$"):
        loop._trainer(task, options, "32-true", [], logger)


def test_what_a_training_says_at_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    from pathlib import Path
    from types import SimpleNamespace

    from bnn.commands.train import _show

    found: Any = SimpleNamespace(
        error=0.0123,
        no_calibration="",
        network="net",
        dataset="set",
        accuracy={"cpu": 0.98765},
        labels=np.array([0, 1]),
        predicted=np.array([0, 1]),
        classes=("a", "b", "c"),
        scores=np.zeros((2, 3)),
        differing={"reference": 0, "cpu": 0},
    )
    _show(found, Path("run"), json=False)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "probabilities: expected calibration error 1.23 %"
    assert said[1] == (
        "net on set: 98.77 % of 2 test pictures right; 6 scores equal on PyTorch, "
        f"reference and cpu; see {Path('run') / 'report.html'}"
    )
    found.error, found.no_calibration = None, "too few pictures"
    _show(found, Path("run"), json=False)
    assert capsys.readouterr().out.startswith("no probabilities: too few pictures\n")
    found.as_json = lambda: {"a": 1}
    _show(found, Path("run"), json=True)
    assert capsys.readouterr().out == '{"a": 1}\n'
