# SPDX-License-Identifier: BSD-3-Clause
"""An untouched script of the original runs with only ``BNN_PARAMS`` set."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

import bnn
from bnn.data import idx
from bnn.data.files import open_unpacked
from bnn.data.pictures.rules import digit_array

SCRIPT = Path(__file__).parent / "support" / "scripts" / "original_notebooks.py"
WEBCAM = Path(__file__).parent / "support" / "scripts" / "original_webcam.py"


def test_flow_of_the_notebooks(data_dir: Path, params_dir: Path, tmp_path: Path) -> None:
    batch = tmp_path / "test_batch.bin"
    with open_unpacked(data_dir / "cifar10" / "test_batch.bin.xz") as file:
        batch.write_bytes(file.read())
    unpacked = []
    for name in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        unpacked.append(tmp_path / name)
        unpacked[-1].write_bytes(gzip.decompress((data_dir / "mnist" / f"{name}.gz").read_bytes()))
    done = subprocess.run(
        [sys.executable, SCRIPT, data_dir / "images", batch, *unpacked],
        env={"PATH": os.environ["PATH"], "BNN_PARAMS": str(params_dir)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stdout.splitlines() if "took" not in line and "rate" not in line]
    assert said[0] == "['cifar10', 'road-signs']"
    assert said[2:4] == ["Class number: 4", "Class name: Deer"]
    assert said[5:8] == ["cnvW1A1 Deer", "cnvW1A2 Deer", "cnvW2A2 Deer"]
    assert said[8] == "accuracy 0.7922 True"
    assert said[9] == "Identified classes: ['Stop']"
    assert said[-4:] == ["single 3", "accuracy 0.984", "single 3", "accuracy 0.9849"]
    assert done.stdout.count("Classification rate: ") == 12


def _two(path: Path) -> Path:
    """Stands in for the photo of the webcam notebook, which is not in the tree: a dark 2."""
    sheet = Image.new("L", (640, 480), 225)
    draw = ImageDraw.Draw(sheet)
    draw.arc((230, 90, 390, 250), 180, 20, fill=35, width=22)
    draw.line([(382, 200), (235, 370)], fill=35, width=22)
    draw.line([(228, 370), (400, 370)], fill=35, width=22)
    sheet.save(path)
    return path


def _webcam(photo: Path, folder: Path, params: str | None, *filter_: str) -> tuple[str, NDArray]:
    """The class that the notebook's cells print, and the 28x28 pixels that they write."""
    processed = folder / "-".join(("processed", *filter_))
    roots = {} if params is None else {"BNN_PARAMS": params}
    done = subprocess.run(
        [sys.executable, WEBCAM, photo, processed, *filter_],
        env={"PATH": os.environ["PATH"], **roots},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[-1], idx.read_images(processed)[0]


def _check_webcam(folder: Path, params: str | None) -> None:
    photo = _two(folder / "two.png")
    name, pixels = _webcam(photo, folder, params, "NEAREST")
    with Image.open(photo) as image:
        np.testing.assert_array_equal(pixels, digit_array(image))
    model = "lfc-w1a1" if params is None else "mnist-lfcW1A1"
    classifier = bnn.Classifier(model)
    # The notebook's pixels; the package's own preparation places strokes as in MNIST.
    assert name == classifier.classes[classifier.classify(pixels[None])[0]]
    # With Pillow's default since 7, most of the stroke is not exactly black, and is lost.
    _, blurred = _webcam(photo, folder, params)
    assert (blurred == 255).sum() < (pixels == 255).sum()


def test_webcam_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BNN_PARAMS", raising=False)
    _check_webcam(tmp_path, None)


def test_webcam_notebook_with_its_own_parameters(params_dir: Path, tmp_path: Path) -> None:
    _check_webcam(tmp_path, str(params_dir))
