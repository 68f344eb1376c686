# SPDX-License-Identifier: BSD-3-Clause
"""From the same pixels, the page and the package prepare the same bytes."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

import bnn
from bnn.data.pictures.pillow import Resampling
from bnn.data.pictures.preprocess import Digit, OnBlack, Preprocess, Stretch, Thumbnail
from bnn.errors import DataError

#: What the page's module makes of RGBA pixels, or the key of its error.
PREPARE = """
async ([width, height, text, shape, preparation]) => {
  const { prepared } = await import("./js/preparation.js");
  const data = Uint8ClampedArray.from(atob(text), (c) => c.charCodeAt(0));
  try {
    const model = { input: { kind: "picture", shape }, preparation };
    return Array.from(prepared(model, { width, height, data }));
  } catch (error) {
    return error.key ?? String(error);
  }
}
"""


def _page_bytes(
    page: Any, rgba: NDArray[np.uint8], shape: tuple[int, int, int], rule: Preprocess
) -> Any:
    text = base64.b64encode(np.ascontiguousarray(rgba).tobytes()).decode()
    height, width = rgba.shape[:2]
    return page.evaluate(PREPARE, [width, height, text, shape, rule.to_json()])


def _package_bytes(
    rgba: NDArray[np.uint8], shape: tuple[int, int, int], rule: Preprocess
) -> list[int]:
    opaque = bool((rgba[..., 3] == 255).all())
    picture = Image.fromarray(rgba[..., :3] if opaque else rgba)
    return rule.to_array(picture, shape).reshape(-1).tolist()


def _noise(seed: int, height: int, width: int, *, alpha: bool = False) -> NDArray[np.uint8]:
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (height // 9 + 2, width // 9 + 2, 4), np.uint8)
    large = np.asarray(Image.fromarray(coarse).resize((width, height), Resampling.BICUBIC))
    rgba = large.copy()
    rgba[::3, ::2] = random.integers(0, 256, rgba[::3, ::2].shape, np.uint8)
    if not alpha:
        rgba[..., 3] = 255
    return rgba


SIZES = [(1, 1), (5, 300), (300, 5), (32, 32), (31, 33), (64, 64), (480, 640), (641, 123), (28, 28)]


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_thumbnails_and_stretched_pictures_are_equal(
    page: Any, size: tuple[int, int], alpha: bool
) -> None:
    rgba = _noise(size[0] * 1000 + size[1], *size, alpha=alpha)
    rules = [Thumbnail(), Thumbnail((7, 200, 31)), Stretch(), OnBlack()]
    rules += [Thumbnail((7, 200, 31), gap=1), Thumbnail(gap=2), Stretch(gap=3), OnBlack(gap=2)]
    for rule in rules:
        for shape in ((32, 32, 3), (28, 28, 1), (20, 45, 3)):
            found = _page_bytes(page, rgba, shape, rule)
            try:
                assert found == _package_bytes(rgba, shape, rule)
            except DataError:  # a single pixel is blank
                assert isinstance(rule, OnBlack)
                assert size == (1, 1)
                assert found == "error.blank"


def _drawing(seed: int, *, thin: bool = False, framed: bool = False) -> NDArray[np.uint8]:
    """Strokes on paper, as a user draws: (height, width, 4)."""
    random = np.random.default_rng(seed)
    width, height = (int(side) for side in random.integers(90, 420, 2))
    paper = int(random.integers(225, 256))
    image = Image.new("RGB", (width, height), (paper, paper, paper))
    pen = ImageDraw.Draw(image)
    across, down = random.uniform(0.3, 0.7, 6) * width, random.uniform(0.3, 0.7, 6) * height
    points = [(float(x), float(y)) for x, y in zip(across, down, strict=True)]
    wide = 2 if thin else int(min(width, height) / random.integers(9, 16))
    ink = int(random.integers(0, 60))
    pen.line(points, fill=(ink, ink, ink), width=wide, joint="curve")
    if framed:
        box = (width * 0.15, height * 0.15, width * 0.85, height * 0.85)
        pen.rectangle(box, outline=(20, 20, 20), width=3)
    return np.asarray(image.convert("RGBA"))


@pytest.mark.parametrize("rule", [Digit(), Digit(like_mnist=False)], ids=["mnist", "filled"])
@pytest.mark.parametrize("kind", ["thick", "thin", "framed"])
def test_drawn_strokes_are_equal_or_refused_by_both(page: Any, kind: str, rule: Digit) -> None:
    equal = 0
    for seed in range(25):
        rgba = _drawing(seed, thin=kind == "thin", framed=kind == "framed")
        found = _page_bytes(page, rgba, (28, 28, 1), rule)
        try:
            wanted: Any = _package_bytes(rgba, (28, 28, 1), rule)
        except DataError as reason:
            wanted = str(reason)
        if isinstance(found, list):
            assert found == wanted, seed
            equal += 1
        elif found == "error.several-digits":
            assert "more than one digit" in wanted
    assert equal > 15


def test_digits_of_the_inputs_size_are_equal(page: Any) -> None:
    """MNIST's own are as they are; dark on light, pale and faint ones are light on black."""
    equal = 0
    for path in sorted((Path(bnn.__file__).parent / "samples/mnist").glob("*.png")):
        with Image.open(path) as image:
            own = np.asarray(image.convert("L")).astype(np.float64) / 255
        for ground, stroke in ((0, 255), (255, 0), (220, 150), (140, 230), (0, 90)):
            levels = (ground + (stroke - ground) * own).astype(np.uint8)
            rgba = np.stack([*[levels] * 3, np.full_like(levels, 255)], axis=2)
            wanted = _package_bytes(rgba, (28, 28, 1), Digit())
            assert _page_bytes(page, rgba, (28, 28, 1), Digit()) == wanted
            equal += wanted[0] == 0
    assert equal == 50


def test_a_panel_is_refused(page: Any) -> None:
    levels = np.pad(np.zeros((28, 28), np.uint8), 30, constant_values=255)
    levels[38:50, 42:46] = 255
    rgba = np.stack([*[levels] * 3, np.full_like(levels, 255)], axis=2)
    assert _page_bytes(page, rgba, (28, 28, 1), Digit()) == "error.no-stroke"


@pytest.mark.parametrize(
    "options",
    [
        Digit(adaptive=False),
        Digit(adaptive=False, like_mnist=False),
        Digit(5.0, 2.0, 180, 80, False, like_mnist=False),
    ],
)
def test_the_fixed_rule_is_equal(page: Any, options: Digit) -> None:
    for seed in range(10):
        rgba = _drawing(seed)
        assert _page_bytes(page, rgba, (28, 28, 1), options) == _package_bytes(
            rgba, (28, 28, 1), options
        )


def test_a_shadow_is_refused_not_guessed(page: Any) -> None:
    rgba = _drawing(1).copy()
    rgba[..., :3] = (rgba[..., :3] * np.linspace(0.15, 1, rgba.shape[1])[None, :, None]).astype(int)
    assert _page_bytes(page, rgba, (28, 28, 1), Digit()) in (
        "error.no-stroke",
        "error.touches-border",
    )


def test_a_decoded_png_gives_the_scores_of_python(page: Any) -> None:
    """Samples go through the browser's own decoder."""
    samples = Path(bnn.__file__).parent / "samples/cifar10"
    classifier = bnn.Classifier("cnv-w1a1", "reference")
    page.click("#tab-file")
    for at, path in enumerate(sorted(samples.glob("*.png"))[:3]):
        page.click(f"#samples-cifar10 .sample >> nth={at}")
        scores, classes = classifier.run(path)
        name = classifier.classes[classes[0]]
        page.wait_for_selector(f"[data-model=cnv-w1a1] .best dt:text('{name}')")
        page.wait_for_timeout(200)
        numbers = page.locator("[data-model=cnv-w1a1] .number")
        shown = numbers.evaluate_all("all => all.map((one) => one.title)")
        assert shown == [f"score {score}" for score in scores[0]]
