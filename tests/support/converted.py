# SPDX-License-Identifier: BSD-3-Clause
"""The fixtures of other frameworks: how to convert each, and what it was fed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bnn.data.idx import read_images
from bnn.formats.convert import Options

FIXTURES = Path(__file__).parents[2] / "fixtures"
ANSWERS = 1000


def unit(pictures: Any) -> Any:
    """Bytes / 255, channels last."""
    return pictures[..., None] / np.float32(255)


def symmetric(pictures: Any) -> Any:
    """Bytes / 127.5 - 1, channels last."""
    return pictures[..., None] / np.float32(127.5) - np.float32(1)


def real_bytes(pictures: Any) -> Any:
    """Bytes as real numbers, channels last."""
    return pictures[..., None].astype(np.float32)


def row(pictures: Any) -> Any:
    """Return pictures scaled to [-1, 1], one per row."""
    return (pictures.reshape(len(pictures), -1) / np.float32(255) * 2 - 1).astype(np.float32)


def symmetric_row(pictures: Any) -> Any:
    """As :func:`symmetric`, a picture a row."""
    return symmetric(pictures).reshape(len(pictures), -1)


def unit_row(pictures: Any) -> Any:
    """As :func:`unit`, a picture a row."""
    return unit(pictures).reshape(len(pictures), -1)


def flat_unit(pictures: Any) -> Any:
    """Bytes / 255 without a channel axis."""
    return pictures / np.float32(255)


def bordered(pictures: Any) -> Any:
    """As :func:`unit`, with a black border of two."""
    return np.pad(unit(pictures), ((0, 0), (2, 2), (2, 2), (0, 0)))


@dataclass(frozen=True)
class Case:
    """One file.

    Attributes:
        file: below ``fixtures``. answers: npz of the framework's own logits.
        prepare: MNIST bytes (N, 28, 28) to what the framework was fed, channels last.
        format: what it must be recognised as.
    """

    file: str
    answers: str
    prepare: Callable[[Any], Any]
    format: str
    options: Options = field(default_factory=Options)

    @property
    def path(self) -> Path:
        """Of the file."""
        return FIXTURES / self.file

    def logits(self) -> Any:
        """The framework's own, float32 (1000, classes)."""
        with np.load(FIXTURES / self.answers) as arrays:
            return arrays["logits"]


def _chainer(file: str, answers: str, prepare: Any, **options: Any) -> Case:
    return Case(
        f"chainer/{file}", f"chainer/{answers}.answers.npz", prepare, "chainer", Options(**options)
    )


def _keras(file: str, answers: str, prepare: Any, **options: Any) -> Case:
    return Case(
        f"keras/{file}", f"keras/{answers}.answers.npz", prepare, "keras", Options(**options)
    )


def _brevitas(name: str, prepare: Any) -> list[Case]:
    """The export, with Brevitas' answers and those of qonnx's executor."""
    file = f"brevitas/{name}.onnx"
    return [
        Case(file, f"{by}/{name}.answers.npz", prepare, "qonnx") for by in ("brevitas", "qonnx")
    ]


def _checkpoint(name: str, prepare: Any) -> Case:
    return Case(f"brevitas/{name}.tar", f"brevitas/{name}.answers.npz", prepare, "brevitas")


def _pytorch(file: str, name: str, prepare: Any) -> Case:
    topology = str(FIXTURES / "pytorch" / f"{name}.toml")
    options = Options(topology=topology, input="unit")
    return Case(f"pytorch/{file}", f"pytorch/{name}.answers.npz", prepare, "brevitas", options)


def _topology(name: str) -> str:
    return str(FIXTURES / "chainer" / f"{name}.toml")


CASES = [
    _chainer("mlp.npz", "mlp", row, input="bipolar"),
    _chainer("snapshot_iter_800", "snapshot", row, input="bipolar"),
    _chainer("guinness.model", "guinness", real_bytes, topology=_topology("guinness")),
    _chainer("cnn.npz", "cnn", symmetric, topology=_topology("cnn"), input="symmetric"),
    _keras("keras3-cnn.h5", "keras3-cnn", real_bytes),
    _keras("keras3-cnn.keras", "keras3-cnn", real_bytes),
    _keras("keras3-mlp.keras", "keras3-mlp", symmetric_row),
    _keras("larq-tutorial.h5", "larq-tutorial", symmetric),
    _keras("larq-tutorial-quantized.h5", "larq-tutorial", symmetric),
    _keras("larq-padded.keras", "larq-padded", symmetric),
    _keras("larq-bordered.h5", "larq-bordered", symmetric),
    _keras("larq-quantizers.h5", "larq-quantizers", flat_unit),
    _keras("larq-quantizers.keras", "larq-quantizers", flat_unit),
    *_brevitas("tfc-w1a1", unit),
    *_brevitas("tfc-w1a2", unit),
    *_brevitas("tfc-w2a2", unit),
    *_brevitas("cnv-w1a1", bordered),
    *_brevitas("cnv-w2a2", bordered),
    *_brevitas("mixed", unit),
    *_brevitas("narrow", unit),
    *(
        Case(f"qonnx/{file}.onnx", f"qonnx/{file.split('.')[0]}.answers.npz", prepare, "qonnx")
        for file, prepare in (
            ("cnv-w2a2.channels-last", bordered),
            ("cnv-w2a2.lowered", bordered),
            ("mixed.scales", unit),
        )
    ),
    *(_checkpoint(f"tfc-{bits}", unit) for bits in ("w1a1", "w1a2", "w2a2")),
    *(_checkpoint(f"cnv-{bits}", bordered) for bits in ("w1a1", "w2a2")),
    Case("brevitas/qcdq.onnx", "brevitas/qcdq.answers.npz", unit, "qonnx"),
    _pytorch("mlp.pt", "mlp", unit_row),
    _pytorch("mlp-old.pth", "mlp", unit_row),
    _pytorch("cnn.pt", "cnn", unit),
    Case("pytorch/cnn.onnx", "pytorch/cnn.answers.npz", unit, "qonnx", Options(input="unit")),
]
IDS = [f"{case.file}-{case.answers.split('/')[0]}" for case in CASES]


def mnist(data_dir: Path) -> Any:
    """The first 1 000 test pictures of MNIST, bytes (1000, 28, 28)."""
    images = read_images(data_dir / "mnist" / "t10k-images-idx3-ubyte.gz")
    return np.asarray(images)[:ANSWERS].reshape(ANSWERS, 28, 28)
