# SPDX-License-Identifier: BSD-3-Clause
"""Pages, pictures and lines of measurements that are made up: whole, as they were."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bnn.data.report import DataReport, Finding
from bnn.data.walk import Unreadable
from bnn.hw.parts import Part
from bnn.measure import page
from bnn.measure.accuracy import Evaluation, Wrong
from bnn.measure.calibration import calibration_error, reliability, trade
from bnn.measure.speed import Timing
from bnn.measure.speed_page import speed_page
from bnn.measure.sureness import Sureness
from bnn.model.calibration import Calibration
from bnn.plan import picture
from bnn.plan.drawing import Drawing
from bnn.plan.pareto import Curve, Point
from support.golden import compare, digest


def data(**more: Any) -> DataReport:
    given: dict[str, Any] = {
        "name": "a <set>",
        "kind": "pictures in folders",
        "classes": ("cat", "dog & co", "owl"),
        "counts": {"training": (30, 7, 0), "test": (4, 4, 1)},
        "origins": {"training": "a folder", "test": "another one"},
        "sizes": {(32, 32): 40, (7, 90): 5, (64, 2): 1},
        "modes": {"RGB": 45, "L": 1},
        "prepared": "by thumbnail",
        "notes": ("one note", "two " * 40),
        "findings": (Finding("few", 5, "too few", ("a", "b")), Finding("blank", 1, "blank")),
        "skipped": (Unreadable(Path("x/y.png"), "is not a picture"),),
        "identity": "abc",
        "arithmetic": "32-true",
    }
    return DataReport(**{**given, **more})


def test_reports_on_data() -> None:
    one = {"test": (9, 0, 0)}
    small = data(
        counts=one,
        origins={"test": "x"},
        sizes={(1, 2): 9},
        findings=(),
        skipped=(),
        arithmetic=None,
    )
    many = data(
        classes=tuple(f"class {n}" for n in range(14)),
        counts={"all": tuple(range(14))},
        origins={"all": "here"},
        sizes={(n, 100 - n): 101 - n for n in range(1, 25)},
        skipped=(Unreadable(data().skipped[0].path, "gone"),) * 3,
    )
    found: dict[str, Any] = {}
    for name, report in {"full": data(), "small": small, "many": many}.items():
        for width in (20, 80, 120):
            found[f"{name} {width}"] = report.lines(width)
        found[f"{name} json"] = report.as_json()
    compare("data-reports", found)


def evaluation(sure: bool) -> Evaluation:
    random = np.random.default_rng(5)
    labels, answers = random.integers(0, 3, 200), random.integers(0, 3, 200)
    answers[:120] = labels[:120]
    labels[labels == 2] = np.where(np.arange(int((labels == 2).sum())) < 9, 2, 1)
    confusion = np.bincount(labels * 3 + answers, minlength=9).reshape(3, 3)
    probability = np.round(random.uniform(0.34, 1, 200), 3) if sure else None
    worst = tuple(
        Wrong(
            np.full((2, 3, 1 + 2 * (n % 2)), 50 * n, np.uint8),
            n % 3,
            (n + 1) % 3,
            3.5 - n,
            0.9 - n / 10 if sure else None,
        )
        for n in range(4)
    )
    return Evaluation(
        confusion, 0.25, data(), labels, answers, probability, ("cat", "dog & co", "owl"), worst
    )


@pytest.mark.parametrize("sure", [True, False])
def test_pages_of_evaluations(sure: bool) -> None:
    result = evaluation(sure)
    found = None
    if result.sure is not None:
        bins = reliability(result.sure, result.right)
        others = {"noise": np.linspace(0.3, 1, 50), "birds": np.array([0.5, 0.5, 0.91])}
        limits = (0.5, 0.91, 0.999)
        trades = tuple(trade(each, result.sure, result.right, others) for each in limits)
        found = Sureness(calibration_error(bins), bins, trades)
    text = page.report("a <model>", "a & set", result, found)
    kept = _without_pictures(text.split("<body", 1)[1])
    told = result.as_json()
    json = None if found is None else found.as_json()
    compare(
        f"evaluation-page-{sure}",
        {"page": kept.split("\n"), "json": _short(told), "sure": _short(json)},
    )


def _without_pictures(text: str) -> str:
    """Pictures are PNG, which versions of zlib pack in other ways."""
    return re.sub(r"base64,[A-Za-z0-9+/=]+", "base64,", text)


def _short(value: Any) -> Any:
    """Numbers of nine digits."""
    if isinstance(value, dict):
        return {key: _short(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_short(one) for one in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value


def test_confusions() -> None:
    random = np.random.default_rng(1)
    found = {}
    for count in (2, 5, 12, 30):
        matrix = random.integers(0, 20, (count, count)) * (random.random((count, count)) < 0.4)
        found[str(count)] = page.confusion([f"c{n}" for n in range(count)], matrix).split("\n")
    compare("confusions", found)


def test_speed_pages() -> None:
    timings = [
        Timing("cpu", 1, 1, 5_000_000, [2e-5, 3e-5, 2.5e-5], [1e-5, 2e-5, 3e-5]),
        Timing("cpu <2>", 1000, 2, 5_000_000, [4e-6, 9e-6, 5e-6], [8e-6, 7e-6, 9e-6]),
    ]
    found = {
        "page": speed_page("m & n", "a <machine>", timings).split("<body")[1].split("\n"),
        "texts": [each.texts for each in timings],
        "json": [_short(each.as_dict()) for each in timings],
    }
    compare("speed-page", found)


PART = Part("xc7z020", 53_200, 106_400, 140, 220, 100)


def curves() -> list[Curve]:
    def points(scale: float, luts: float) -> tuple[Point, ...]:
        made = [
            Point(
                scale * 2**n,
                int(1e8 / (scale * 2**n)),
                luts * 1.5**n,
                3.5 * (n % 3 + 1),
                f"layer{n // 3}",
                luts * 1.5**n < 45_000,
            )
            for n in range(8)
        ]
        return tuple(made)

    return [
        Curve("small <a>", points(700, 3000), 97.5),
        Curve("large", points(120, 9000), 81.25),
        Curve("unrated", points(90_000, 400)),
    ]


def test_pictures_of_plans() -> None:
    found: dict[str, Any] = {}
    for name, chosen in {
        "all": curves(),
        "one": curves()[:1],
        "none": [Curve("none", ())],
        "wide": [
            Curve("w", (Point(0.5, 200, 900, 1, "a", True), Point(3e6, 30, 70_000, 9, "b", False)))
        ],
    }.items():
        drawing = picture.draw(chosen, PART, 87.5)
        found[name] = drawing.svg().replace("><", ">\n<").split("\n")
        text = picture.page(drawing, chosen, PART, 87.5).split("<body")[1]
        found[f"{name} page"] = text.split("</svg>")[1].replace("<tr>", "\n<tr>").split("\n")
        found[f"{name} size"] = [drawing.width, drawing.height]
    compare("plan-pictures", found)


def test_drawings_as_pixels() -> None:
    """Lines, dots and rings, without text, whose pixels are the font's."""
    drawing = Drawing(60, 40)
    drawing.line([(2, 3), (50, 3), (50, 30)], "#ff0000")
    drawing.line([(2, 35), (58, 35)], "#0000ff", dashed=True)
    drawing.line([(5, 5), (20, 28)], "#00aa00", dashed=True)
    drawing.dot(10, 20, "#123456")
    drawing.dot(30, 20, "#654321", full=False, title="a ring")
    image = drawing.image()
    pixels = np.asarray(image)
    colours, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_counts=True)
    told = [f"{tuple(map(int, c))}: {n}" for c, n in zip(colours, counts, strict=True)]
    compare(
        "drawing", {"colours": told, "size": list(image.size), "pixels": digest(pixels.tobytes())}
    )
    assert isinstance(image, Image.Image)


def certificate(**more: Any) -> Any:
    pytest.importorskip("torch", reason="needs bnn-pynq[train]")
    from bnn.train.certificate import Certificate

    random = np.random.default_rng(8)
    labels, predicted = random.integers(0, 3, 60), random.integers(0, 3, 60)
    predicted[:40] = labels[:40]
    scores = random.integers(-9, 10, (60, 3)).astype(np.int32)
    recipe = {"epochs": 3, "batch": 50, "rate": 0.01, "augment": "flip", "taught": 0.75, "mix": 2}
    settings = {
        "network": "nets/a<b>.toml", "data": "some/place/pictures", "seed": 7, "init": "old/run",
        "teachers": ["t/one", "t/two"], "whole": False, "skip_broken": True,
        "arithmetic": "32-true", "recipe": recipe,
    }  # fmt: skip
    history = [
        {"loss": 1.5, "validation_accuracy": 0.5, "seconds": 61.0},
        {"loss": 0.75, "validation_accuracy": 0.875, "seconds": 59.5},
        {"loss": 0.875, "validation_accuracy": 0.75, "seconds": 60.0},
    ]
    given: dict[str, Any] = {
        "network": "a<b>", "dataset": "some/place/pictures", "classes": ("cat", "dog & co", "owl"),
        "sha256": "f" * 64, "differing": {"reference": 0, "cpu": 0},
        "accuracy": {"pytorch": 0.6543, "reference": 0.6543, "cpu": 0.6541}, "labels": labels,
        "predicted": predicted, "scores": scores, "history": history, "settings": settings,
        "machine": "a machine", "data": data(name="some/place/pictures"),
    }  # fmt: skip
    return Certificate(**{**given, **more})


def test_certificates() -> None:
    first = certificate()
    from bnn.train import page as pages

    right = first.labels == first.predicted
    sure = np.linspace(0.34, 1, 60)
    trades = tuple(trade(each, sure, right, {"noise": sure[:9]}) for each in (0.5, 0.9))
    settings = {**first.settings, "whole": True, "init": None, "teachers": [], "skip_broken": False}
    settings |= {"arithmetic": "unknown", "recipe": {**first.settings["recipe"], "mix": 0}}
    kinds = {
        "plain": certificate(no_calibration="for a reason"),
        "sure": certificate(calibration=Calibration(1.25, 2.0), error=0.0312, trades=trades),
        "whole": certificate(settings=settings, history=first.history[:1]),
        "wrong": certificate(differing={"reference": 0, "cpu": 4}, history=[{"loss": 2.0}]),
    }
    pictures = np.arange(60 * 2 * 2, dtype=np.uint8).reshape(60, 2, 2, 1)
    found: dict[str, Any] = {}
    for name, one in kinds.items():
        text = _without_pictures(pages.page(one, pictures).split("<body")[1])
        found[f"{name} page"] = text.split("\n")
        found[f"{name} card"] = pages.card(one).split("\n")
        found[f"{name} json"] = digest(repr(_short(one.as_json())))
    compare("certificates", found)
