# SPDX-License-Identifier: BSD-3-Clause
"""Take pictures of the page of ``bnn web``: of all views, or the one in README.md.

    python tools/shoot_web.py build/shots          # each view, three widths, two languages
    python tools/shoot_web.py --readme docs/web.png
    python tools/shoot_web.py --readme docs/web.ja.png --language ja
    python tools/shoot_web.py build/shots --runtime sim   # only the view with this machine

Needs Chromium and Playwright: ``pip install '.[test]'``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import threading
from pathlib import Path
from typing import Any

from bnn.web.machine import Machine
from bnn.web.serve import PageServer
from bnn.web.site import files

WIDTHS = (360, 800, 1600)
LANGUAGES = {"en": "en-GB", "ja": "ja-JP"}
#: Strokes of a three, in parts of the pad's width.
STROKE = ((0.32, 0.2), (0.7, 0.2), (0.48, 0.45), (0.7, 0.7), (0.5, 0.84), (0.3, 0.76))


def opened(browser: Any, url: str, width: int, language: str, scheme: str) -> Any:
    """Return the page, ready."""
    page = browser.new_page(
        viewport={"width": width, "height": 900}, locale=LANGUAGES[language], color_scheme=scheme
    )
    page.set_default_timeout(120_000)
    page.goto(url)
    page.wait_for_selector("html[data-ready=true]", state="attached")
    return page


def draw(page: Any) -> None:
    """Draw a three."""
    page.locator("#pad").scroll_into_view_if_needed()
    box = page.locator("#pad").bounding_box()
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in STROKE]
    page.mouse.move(*points[0])
    page.mouse.down()
    for x, y in points[1:]:
        page.mouse.move(x, y, steps=8)
    page.mouse.up()
    page.wait_for_selector(".bar.best")


def compare(page: Any) -> None:
    """Show a frog on three models."""
    page.click("#tab-file")
    page.click("#samples-cifar10 .sample >> nth=6")
    for name in ("cnv-w1a2", "cnv-w2a2"):
        page.click(f"label:has(b:text-is('{name}')) input")
        page.wait_for_selector(f"[data-model={name}] .best")
    page.wait_for_selector("[data-model=cnv-w1a1] .best")


def walk(page: Any, step: int) -> None:
    """Show one step of the program."""
    page.click("#walk")
    page.wait_for_selector(f"#steps .step >> nth={step}")
    page.click(f"#steps .step >> nth={step}")
    page.wait_for_selector(".panels .histogram")
    page.wait_for_timeout(300)


def shoot(browser: Any, url: str, folder: Path) -> None:
    """Take a picture of each view, width and language, light and dark in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    for at, width in enumerate(WIDTHS):
        for language in LANGUAGES:
            scheme = ("light", "dark")[(at + (language == "ja")) % 2]
            page = opened(browser, url, width, language, scheme)

            def save(view: str, page: Any = page, name: str = f"{width}-{language}") -> None:
                page.screenshot(path=folder / f"{name}-{view}.png", full_page=True)
                print(folder / f"{name}-{view}.png", flush=True)

            save("empty")
            draw(page)
            save("draw")
            walk(page, 2)
            save("draw-bits")
            compare(page)
            save("compare")
            walk(page, 5)
            save("bits")
            page.click("#tab-camera")
            page.click("#camera-button")
            page.wait_for_selector("#picture-error:not([hidden])")
            save("camera")
            page.close()


def shoot_machine(browser: Any, url: str, folder: Path) -> None:
    """Take browser, CPU and accelerator for one digit."""
    folder.mkdir(parents=True, exist_ok=True)
    for at, width in enumerate(WIDTHS):
        for language in LANGUAGES:
            scheme = ("light", "dark")[(at + (language == "ja")) % 2]
            page = opened(browser, url, width, language, scheme)
            page.set_default_timeout(600_000)  # the simulator is compiled once
            page.click("#samples-mnist .sample >> nth=3")
            page.wait_for_selector(".on-machine .one")
            page.wait_for_timeout(3000)
            page.screenshot(path=folder / f"{width}-{language}-machine.png", full_page=True)
            page.close()


def readme(browser: Any, url: str, target: Path, language: str) -> None:
    """Take the small picture of the page with a frog and its maps in the second convolution."""
    from PIL import Image

    page = opened(browser, url, 1200, language, "light")
    page.click("#tab-file")
    page.click("#samples-cifar10 .sample >> nth=6")
    page.wait_for_selector(".bar.best")
    walk(page, 5)
    area = {"x": 0, "y": 0, "width": 1200, "height": 1490}
    page.screenshot(path=target, clip=area, full_page=True)
    with Image.open(target) as shot:
        small = shot.convert("RGB").resize((800, 993), Image.Resampling.LANCZOS)
    small.quantize(96).save(target, optimize=True)
    page.close()


def main() -> None:
    """Take the pictures that the options name."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="for pictures of all views")
    parser.add_argument("--readme", type=Path, help="the one picture of README.md")
    parser.add_argument("--language", choices=LANGUAGES, default="en", help="of that picture")
    parser.add_argument("--runtime", help="cpu, sim or board: the view with this machine")
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("BNN_CHROMIUM") or shutil.which("chromium")
    machine = None if options.runtime is None else Machine(options.runtime)
    with PageServer(files(), machine=machine) as server, sync_playwright() as playwright:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        if options.runtime is not None:
            shoot_machine(browser, server.url, options.folder or Path("build/shots"))
        elif options.folder is not None:
            shoot(browser, server.url, options.folder)
        if options.readme is not None:
            readme(browser, server.url, options.readme, options.language)
        browser.close()


if __name__ == "__main__":
    main()
