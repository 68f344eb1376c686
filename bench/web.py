# SPDX-License-Identifier: BSD-3-Clause
"""Compare the page's core in Chromium with the native kernels: one thread, batch 1.

Then the page classifies the frames of a camera, a film that Chromium plays in its place.

Rounds alternate between all of them, and the best round of each counts, so that another program on
the machine disturbs none of them more than the others.

    python bench/web.py            # needs Chromium and Playwright: pip install '.[test]'
    python bench/web.py --write docs/results/web.json   # what docs/web.md shows
"""

from __future__ import annotations

import argparse
import base64
import gzip
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from results_file import write

import bnn
from bnn.run import prepare
from bnn.run.cpu import kernels
from bnn.web.serve import PageServer
from bnn.web.site import files

MODELS = ("lfc-w1a1", "lfc-w1a2", "cnv-w1a1", "cnv-w1a2", "cnv-w2a2")
#: Models that look at the camera; digits are drawn, or held before it.
CAMERA_MODELS = ("cnv-w1a1", "cnv-w2a2")
SAMPLE = Path(bnn.__file__).parent / "samples/cifar10/Frog.png"
#: Names of the page's kernel sets.
BROWSER = ("relaxed", "simd128", "portable")
#: Files that the page loads before its first answer.
FIRST_VIEW = ("index.html", "style.css", "icon.svg", "models.json", "bnn-relaxed.wasm")
LOAD = """
async ([name, kernel]) => {
  const { Engine } = await import("./js/engine.js");
  const data = new Uint8Array(await (await fetch(`models/${name}.bnn`)).arrayBuffer());
  window.engines ??= {};
  window.engines[`${name} ${kernel}`] = await Engine.load(data, { kernel });
}
"""
ROUND = """
async ([name, kernel, text, ms]) => {
  const batch = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const told = await window.engines[`${name} ${kernel}`].ask("run", { batch, atLeast: ms });
  return [told.ms / 1000, Array.from(told.scores)];
}
"""


def native(runtime: Any, batch: Any, seconds: float) -> float:
    """Return the seconds of a run."""
    runtime.run(batch)
    runs, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds or not runs:
        runtime.run(batch)
        runs += 1
    return spent / runs


def measure(page: Any, name: str, rounds: int, seconds: float) -> dict[str, float]:
    """Return the images per second of each kernel, the best of all rounds."""
    program = bnn.load(name).program
    batch = np.random.default_rng(1).integers(0, 256, (1, *program.input.shape)).astype(np.uint8)
    text = base64.b64encode(batch.tobytes()).decode()
    expected = prepare("reference", program).run(batch).scores[0].tolist()
    runtimes = {
        kernel.name: prepare("cpu", program, kernel=kernel.name, threads=1)
        for kernel in kernels()
        if kernel.available
    }
    for kernel in BROWSER:
        page.evaluate(LOAD, [name, kernel])
    best: dict[str, float] = {}
    for _ in range(rounds):
        for kernel in BROWSER:
            spent, scores = page.evaluate(ROUND, [name, kernel, text, 1000 * seconds])
            assert scores == expected, "the browser's scores differ"
            key = f"browser {kernel}"
            best[key] = min(best.get(key, spent), spent)
        for kernel, runtime in runtimes.items():
            spent = native(runtime, batch, seconds)
            best[f"native {kernel}"] = min(best.get(f"native {kernel}", spent), spent)
    return {key: 1 / spent for key, spent in best.items()}


def first_view(model: str) -> tuple[int, int]:
    """Return the bytes of the first view, as they are and packed with gzip."""
    names = [*FIRST_VIEW, f"models/{model}.bnn"]
    parts = files()
    names += [name for name in parts if name.startswith(("js/", "words/", "samples/mnist/"))]
    return (
        sum(len(parts[name]) for name in names),
        sum(len(gzip.compress(parts[name], 9)) for name in names),
    )


def first_result(browser: Any, url: str, rounds: int) -> tuple[float, float]:
    """Return the best seconds from the request until the page is ready, and to a first answer."""
    ready, answered = [], []
    for _ in range(rounds):
        context = browser.new_context()
        page = context.new_page()
        began = time.perf_counter()
        page.goto(url)
        page.wait_for_selector("html[data-ready=true]", state="attached")
        ready.append(time.perf_counter() - began)
        page.evaluate("document.querySelector('#samples-mnist .sample').click()")
        page.wait_for_selector(".bar.best")
        answered.append(time.perf_counter() - began)
        context.close()
    return min(ready), min(answered)


def write_camera(path: Path, rate: int) -> None:
    """Write a y4m film of 640 x 480 pixels: a picture that moves by 4 pixels a frame."""
    sheet = Image.open(SAMPLE).convert("RGB").resize((480, 480))
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W640 H480 F{rate}:1 Ip A1:1 C420jpeg\n".encode())
        for left in range(0, 160, 4):
            frame = Image.new("RGB", (640, 480), "white")
            frame.paste(sheet, (left, 0))
            luma, blue, red = frame.convert("YCbCr").split()
            halves = b"".join(plane.resize((320, 240)).tobytes() for plane in (blue, red))
            file.write(b"FRAME\n" + luma.tobytes() + halves)


def camera_rate(chromium: Any, executable: str | None, url: str, model: str, seconds: float) -> str:
    """Return what the page itself says of its rate, with a camera of 30 frames a second."""
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / "camera.y4m"
        write_camera(film, 30)
        flags = ["--no-sandbox", "--use-fake-ui-for-media-stream"]
        flags += ["--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={film}"]
        browser = chromium.launch(executable_path=executable, args=flags)
        page = browser.new_page()
        page.goto(url)
        page.wait_for_selector("html[data-ready=true]", state="attached")
        page.click("#tab-camera")
        for label in page.locator("#model-list label").all():
            label.locator("input").set_checked(label.locator("b").inner_text() == model)
        page.click("#camera-button")
        page.wait_for_selector(f"[data-model={model}] .best")
        page.wait_for_timeout(1000 * seconds)
        said = str(page.locator("#camera-rate").evaluate("output => output.value"))
        browser.close()
    return said


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each round")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--write", type=Path, help="put the figures into this JSON file, too")
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("BNN_CHROMIUM") or shutil.which("chromium")
    with PageServer(files()) as server, sync_playwright() as playwright:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        size, packed = first_view("lfc-w1a1")
        print(f"first view: {size / 1e6:.2f} MB, {packed / 1e6:.2f} MB packed with gzip")
        ready, answered = first_result(browser, server.url, options.rounds)
        print(f"ready after {ready:.2f} s, first answer after {answered:.2f} s (best of rounds)")
        page = browser.new_page()
        page.goto(server.url)
        print(f"Chromium {browser.version}, one thread, batch 1, images/s:")
        rates = {}
        for name in options.models.split(","):
            rates[name] = found = measure(page, name, options.rounds, options.seconds)
            told = ", ".join(f"{key} {value:,.0f}" for key, value in found.items())
            share = found["browser relaxed"] / found.get("native avx2", float("nan"))
            print(f"{name}: {told}; browser relaxed is {100 * share:.0f} % of native avx2")
        version = browser.version
        browser.close()
        cameras = {}
        for name in CAMERA_MODELS:
            cameras[name] = camera_rate(playwright.chromium, chromium, server.url, name, 6)
            print(f"{name}: camera of 640 x 480, 30 frames a second: {cameras[name]}")
    if options.write:
        values = {
            "chromium": version, "bytes": size, "packed": packed, "ready_s": round(ready, 2),
            "first_answer_s": round(answered, 2), "camera": cameras,
            "images_per_s": {
                name: {key: round(rate) for key, rate in found.items()}
                for name, found in rates.items()
            },
        }  # fmt: skip
        write(options.write, "python bench/web.py", values)


if __name__ == "__main__":
    main()
