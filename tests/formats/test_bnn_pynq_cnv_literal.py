# SPDX-License-Identifier: BSD-3-Clause
"""CNV sets against sections 1 to 5 of the specification read literally, without our layers.

The sets are random and balanced, so that about half of all thresholds fire; thresholds of a
pair are not in order, and carry rubbish above the bits that count.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bnn

SHAPES = (
    *((64, 27), (64, 576), (128, 576), (128, 1152), (256, 1152), (256, 2304)),
    *((512, 256), (512, 512), (64, 512)),
)
W1 = ((16, 3), (32, 32), (16, 32), (16, 32), (4, 32), (1, 32), (1, 4), (1, 8), (4, 1))
W2 = ((8, 3), (16, 16), (8, 16), (8, 16), (4, 8), (1, 8), (1, 2), (2, 2), (4, 1))
CLASSES = 37

Layers = list[tuple[Any, Any]]


def _made(folder: Path, weight_bits: int, levels: int) -> Layers:
    """Write a set to ``folder``; its weights (rows, columns) and thresholds (rows, levels)."""
    random = np.random.default_rng(weight_bits + levels)
    folder.mkdir(parents=True)
    (folder / "classes.txt").write_text("\n".join(f"c{index}" for index in range(CLASSES)))
    layers: Layers = []
    for index, ((rows, columns), (pe, simd)) in enumerate(
        zip(SHAPES, W1 if weight_bits == 1 else W2, strict=True)
    ):
        weights = random.choice([-1, 1] if weight_bits == 1 else [-1, 0, 1], (rows, columns))
        thresholds = random.normal(0, columns**0.5 / 2, (rows, levels))
        if index == 0:
            thresholds *= 256
        elif levels == 1:
            thresholds += columns / 2
        thresholds = np.floor(thresholds).astype(np.int64)
        layers.append((weights, thresholds))
        codes = (weights > 0 if weight_bits == 1 else weights & 3).astype(np.uint64)
        lanes = np.arange(simd, dtype=np.uint64) * np.uint64(weight_bits)
        words = (codes.reshape(rows // pe, pe, -1, simd) << lanes).sum(3, dtype=np.uint64)
        bits = 24 if index == 0 else 16
        raw = (thresholds & ((1 << bits) - 1)) | (0xABC << 40)
        for one in range(pe):
            (folder / f"{index}-{one}-weights.bin").write_bytes(words[:, one].tobytes())
            if index < len(SHAPES) - 1:
                (folder / f"{index}-{one}-thres.bin").write_bytes(raw[one::pe].tobytes())
    return layers


def _scores(layers: Layers, picture: Any) -> Any:
    byte = picture.astype(int)
    value = np.where(byte <= 127, byte - 128, np.minimum(byte - 127, 127))
    for index, (weights, thresholds) in enumerate(layers):
        if index < 6:
            side = len(value) - 2
            parts = [value[y : y + side, x : x + side] for y in range(3) for x in range(3)]
            value = np.concatenate(parts, axis=2)
        else:
            value = value.reshape(1, 1, -1)
        binary = thresholds.shape[1] == 1
        sums = value @ weights.T
        if index == 0:
            sums = 2 * sums
        elif binary:  # equal bits
            sums = (value > 0) @ (weights > 0).T.astype(int) + (value < 0) @ (weights < 0).T.astype(
                int
            )
        if index == len(layers) - 1:
            return sums.ravel()[:CLASSES]
        fired = (thresholds < sums[..., None]).sum(3)
        value = 2 * fired - 1 if binary else fired - 1
        if index in (1, 3):
            half = len(value) // 2
            value = value.reshape(half, 2, half, 2, -1).max((1, 3))
    raise AssertionError("the last layer has scores")


@pytest.mark.parametrize(("weight_bits", "levels"), [(1, 1), (1, 2), (2, 2)])
def test_cnv_equals_the_specification(tmp_path: Path, weight_bits: int, levels: int) -> None:
    name = f"cnvW{weight_bits}A{levels}"
    layers = _made(tmp_path / "made" / name, weight_bits, levels)
    pictures = np.random.default_rng(5).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    expected = np.stack([_scores(layers, picture) for picture in pictures])
    assert np.ptp(expected) > 20, "a set that says nothing proves nothing"
    assert (expected[0] != expected[1]).any()
    model = bnn.load(tmp_path / "made" / name)
    for runtime in ("cpu", "reference"):
        np.testing.assert_array_equal(bnn.Classifier(model, runtime).scores(pictures), expected)
