# SPDX-License-Identifier: BSD-3-Clause
"""Pages that commands write, in a browser: they fit 360 pixels, and axe finds nothing serious."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import bnn
from bnn.commands.main import app
from bnn.measure.calibration import Bin
from bnn.measure.page import STYLE, confusion, picture, reliability_svg
from bnn.system import page as frame

CAT = Path(bnn.__file__).parent / "samples" / "cifar10" / "Cat.png"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of each kind that takes seconds."""
    folder = tmp_path_factory.mktemp("pages")
    found = {name: folder / f"{name}.html" for name in ("inspect", "bench", "parts")}
    for command in (
        ["inspect", "cnv-w1a1", str(CAT), "-o", str(found["inspect"])],
        ["bench", "lfc-w1a1", "--batch", "1", "--report", str(found["bench"])],
    ):
        assert CliRunner().invoke(app, command).exit_code == 0
    names = [f"a rather long name {n}" for n in range(43)]
    matrix = np.random.default_rng(1).integers(0, 50, (43, 43))
    body = (
        confusion(names, matrix)
        + confusion(names[:9], matrix[:9, :9])
        + reliability_svg((Bin(3, 0.2, 0.3), Bin(9, 0.8, 0.7)))
        + picture(np.zeros((8, 8, 3), np.uint8), names[0], names[1], "99.0\u00a0%")
        + frame.both("English", "日本語")
    )
    found["parts"].write_text(frame.page("parts", body, STYLE), encoding="utf-8")
    return found


@pytest.mark.parametrize("name", ["inspect", "bench", "parts"])
@pytest.mark.parametrize(("locale", "scheme"), [("en-GB", "light"), ("ja-JP", "dark")])
def test_it_fits_and_can_be_read(
    browser: Any, pages: dict[str, Path], name: str, locale: str, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe here")
    size = {"width": 360, "height": 800}
    context = browser.new_context(locale=locale, color_scheme=scheme, viewport=size)
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.goto(pages[name].as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate("document.documentElement.lang") == locale[:2]
    found = axe.Axe().run(page).response["violations"]
    assert not [(v["id"], v["nodes"][0]["html"]) for v in found]
    page.click("#language")
    assert page.evaluate("document.documentElement.lang") != locale[:2]
    context.close()
