# SPDX-License-Identifier: BSD-3-Clause
"""The page as a user meets it: drawing, pictures, models, languages, mistakes."""

from __future__ import annotations

import re
from typing import Any

THREE = ((190, 60), (140, 130), (190, 190), (140, 230), (90, 210))


def draw(page: Any, strokes: tuple[tuple[int, int], ...] = THREE) -> None:
    """Draw a line on the pad, from (90, 60)."""
    box = page.locator("#pad").bounding_box()
    page.mouse.move(box["x"] + 90, box["y"] + 60)
    page.mouse.down()
    for x, y in strokes:
        page.mouse.move(box["x"] + x, box["y"] + y, steps=6)
    page.mouse.up()


def test_a_drawn_digit_is_classified(page: Any) -> None:
    draw(page)
    page.wait_for_selector(".bar.best")
    card = page.locator("[data-model=lfc-w1a1]")
    assert card.locator(".answer").inner_text() == "3"
    assert card.locator(".bar").count() == 10
    assert re.search(r"[\d.]+ µs per image", card.inner_text())
    page.click("#clear")
    assert page.locator("#cards").is_hidden()


def test_every_step_of_a_picture_is_shown(page: Any) -> None:
    page.click("#tab-file")
    page.click("#samples-cifar10 .sample >> nth=6")
    page.wait_for_selector("[data-model=cnv-w1a1] .best")
    assert page.inner_text("[data-model=cnv-w1a1] .answer") == "Frog"
    page.click("#walk")
    page.wait_for_selector("#steps .step")
    assert "equal" in page.inner_text("#walk-check")
    steps = page.locator("#steps .step")
    for number in range(steps.count()):
        steps.nth(number).click()
        page.wait_for_selector(f"#step h3:text('Step {number + 1} of {steps.count()}')")
    steps.nth(5).click()
    page.wait_for_selector(".panels .histogram .threshold")
    assert re.search(r"(\d+) of 576 bits are equal", page.inner_text(".panels"))
