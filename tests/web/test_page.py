# SPDX-License-Identifier: BSD-3-Clause
"""The page as a user meets it: drawing, pictures, models, languages, mistakes."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import bnn
from bnn.commands.tables import percent_text
from bnn.data.pictures.preprocess import KINDS
from bnn.web.machine import RUNTIMES
from bnn.web.serve import PageServer
from bnn.web.site import files
from web.camera import write_y4m
from web.conftest import chromium

SAMPLES = Path(bnn.__file__).parent / "samples"
#: Sample pictures, in the order of the page.
CIFAR = sorted((SAMPLES / "cifar10").iterdir())
MODELS = Path(bnn.__file__).parent / "models"
#: The text of the answer of lfc-w1a1, in the page.
ANSWER = "document.querySelector('[data-model=lfc-w1a1] .answer').textContent"
THREE = ((190, 60), (140, 130), (190, 190), (140, 230), (90, 210))


def _until(page: Any, expression: str) -> None:
    """Wait until an expression is true; the page's policy forbids Playwright's own way."""
    for _ in range(1200):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(100)
    raise AssertionError(expression)


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
    page.wait_for_selector(".panels .histogram .threshold", state="attached")
    assert re.search(r"(\d+) of 576 bits are equal", page.inner_text(".panels"))


def test_several_models_answer_side_by_side(page: Any) -> None:
    page.click("#tab-file")
    page.click("#samples-cifar10 .sample >> nth=6")
    for name in ("cnv-w1a2", "cnv-w2a2"):
        page.check(f"label:has(b:text-is('{name}')) input")
    for name in ("cnv-w1a1", "cnv-w1a2", "cnv-w2a2"):
        page.wait_for_selector(f"[data-model={name}] .best")
        assert page.inner_text(f"[data-model={name}] .answer") == "Frog"
    page.uncheck("label:has(b:text-is('cnv-w1a2')) input")
    page.wait_for_selector("[data-model=cnv-w1a2]", state="detached")


def drop(page: Any, *files: tuple[str, bytes] | str | bytes) -> None:
    """Drop files on the page: a name and its bytes, or pairs of them."""
    pairs = [files] if isinstance(files[0], str) else files
    page.evaluate(
        """(files) => {
          const data = new DataTransfer();
          for (const [name, text] of files) {
            const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
            data.items.add(new File([bytes], name));
          }
          document.body.dispatchEvent(
            new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
        }""",
        [[name, base64.b64encode(content).decode()] for name, content in pairs],  # type: ignore[arg-type,misc]
    )


def test_a_dropped_picture_and_a_dropped_model_are_used(page: Any) -> None:
    drop(page, "frog.png", (SAMPLES / "cifar10/Frog.png").read_bytes())
    page.wait_for_selector("[data-model=cnv-w1a1] .best")
    assert page.locator("#tab-file").get_attribute("aria-selected") == "true"
    drop(page, "mine.bnn", (MODELS / "cnv-w1a2.bnn").read_bytes())
    page.wait_for_selector("[data-model=mine] .best")
    assert page.inner_text("[data-model=mine] .answer") == "Frog"
    page.click("#model-list button[aria-label='Remove mine']")
    page.wait_for_selector("[data-model=mine]", state="detached")


def test_what_is_no_picture_is_an_error_by_name(page: Any) -> None:
    drop(page, "text.png", b"no picture at all")
    page.wait_for_selector("#picture-error:not([hidden])")
    assert "text.png: it is not a picture" in page.inner_text("#picture-error")
    drop(page, "frog.png", (SAMPLES / "cifar10/Frog.png").read_bytes())
    page.wait_for_selector("#picture-error", state="hidden")


def test_a_picture_that_cannot_be_used_takes_the_one_before_away(page: Any) -> None:
    drop(page, "frog.png", (SAMPLES / "cifar10/Frog.png").read_bytes())
    page.wait_for_selector("[data-model=cnv-w1a1] .best")
    drop(page, "text.png", b"no picture at all")
    page.wait_for_selector("#picture-error:not([hidden])")
    assert page.locator("#cards").is_hidden()
    assert page.locator("#nothing").is_visible()
    page.click("#walk")
    page.wait_for_selector("#bits-error:not([hidden])")
    assert "draw or choose a picture first" in page.inner_text("#bits-error")
    drop(page, "frog.png", (SAMPLES / "cifar10/Frog.png").read_bytes())
    page.wait_for_selector("[data-model=cnv-w1a1] .best")
    for place in ("#picture-error", "#bits-error", "#model-error"):
        page.wait_for_selector(place, state="hidden")


def test_several_pictures_are_said(page: Any) -> None:
    frog, ship = ((SAMPLES / f"cifar10/{name}.png").read_bytes() for name in ("Frog", "Ship"))
    drop(page, ("frog.png", frog), ("ship.png", ship), ("bad.bnn", b"{}"))
    page.wait_for_selector("#model-error:not([hidden])")
    assert page.inner_text("[data-model=cnv-w1a1] .answer") == "Frog"
    told = page.inner_text("#picture-error")
    assert told == "2 pictures were given, and one is shown at a time: this is frog.png"
    page.select_option("#language", "ja")
    assert "2 枚の画像" in page.inner_text("#picture-error")
    drop(page, "ship.png", ship)
    _until(page, "document.querySelector('.answer').textContent === 'Ship'")
    assert page.locator("#model-error").is_hidden()
    assert page.locator("#picture-error").is_hidden()


def test_an_error_of_a_model_is_said_in_the_chosen_language(page: Any) -> None:
    draw(page, ((2, 60),))
    _until(page, ANSWER + ".includes('touches the border')")
    assert page.locator("[data-model=lfc-w1a1] canvas").is_hidden()
    page.select_option("#language", "ja")
    assert "touches" not in page.inner_text("[data-model=lfc-w1a1] .answer")
    page.select_option("#language", "en")
    assert "touches the border" in page.inner_text("[data-model=lfc-w1a1] .answer")


def test_a_picture_of_too_many_pixels_is_an_error(page: Any) -> None:
    file = BytesIO()
    Image.new("1", (9000, 9000)).save(file, "PNG")
    drop(page, "huge.png", file.getvalue())
    page.wait_for_selector("#picture-error:not([hidden])")
    assert "64 million pixels" in page.inner_text("#picture-error")


def test_two_digits_and_ink_at_the_border_are_refused(page: Any) -> None:
    draw(page, ((90, 200),))
    box = page.locator("#pad").bounding_box()
    page.mouse.move(box["x"] + 190, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 190, box["y"] + 200, steps=5)
    page.mouse.up()
    _until(page, ANSWER + ".includes('more than one digit')")
    page.click("#clear")
    draw(page, ((2, 60),))
    _until(page, ANSWER + ".includes('touches the border')")
    page.click("#clear")
    draw(page)
    page.wait_for_selector("[data-model=lfc-w1a1] .best")


def test_the_language_is_chosen_and_kept(page: Any) -> None:
    draw(page)
    page.wait_for_selector(".bar.best")
    page.select_option("#language", "ja")
    assert page.inner_text("#models-title") == "モデル"
    assert page.locator("html").get_attribute("lang") == "ja"
    assert "枚/秒" in page.inner_text("[data-model=lfc-w1a1]")
    page.reload()
    page.wait_for_selector("html[data-ready=true]", state="attached")
    assert page.inner_text("#result-title") == "答え"


def test_both_languages_have_the_same_texts_and_places(page: Any) -> None:
    found = page.evaluate(
        """async () => {
          const [en, ja] = await Promise.all(["en", "ja"].map((l) => import(`./words/${l}.js`)));
          return [en.default, ja.default];
        }"""
    )
    english, japanese = found
    assert english.keys() == japanese.keys()
    for key, text in english.items():
        names = sorted(re.findall(r"\{[a-z]+\}", text))
        assert sorted(re.findall(r"\{[a-z]+\}", japanese[key])) == names, key
    used = set(re.findall(r'data-t(?:-label)?="([^"]+)"', files()["index.html"].decode()))
    assert used <= english.keys()
    script = "".join(text.decode() for name, text in files().items() if name.startswith("js/"))
    keys = set(re.findall(r'"((?:error|bits|result|models|camera|about)\.[a-z0-9.-]+)"', script))
    assert keys - {"models.json"} <= english.keys()
    # Keys that are put together when the page runs.
    assert {f"models.kind.{kind}" for kind in (*KINDS, "null")} <= english.keys()
    assert {f"machine.{runtime}" for runtime in RUNTIMES} <= english.keys()
    chosen = set(re.findall(r"text\(`([a-z.]+)\.\$", script))
    assert chosen == {"about.kernel", "bits", "bits.kind", "machine", "models.kind"}


def test_no_key_is_shown_instead_of_its_text(page: Any) -> None:
    for language in ("en", "ja"):
        page.select_option("#language", language)
        shown = page.inner_text("body")
        assert not re.findall(r"\b[a-z]+\.[a-z]+\.[a-z-]+\b", shown)


def test_the_whole_page_works_by_keyboard(page: Any) -> None:
    page.focus("#tab-draw")
    page.keyboard.press("ArrowRight")
    assert page.locator("#tab-file").get_attribute("aria-selected") == "true"
    page.focus("#samples-cifar10 .sample >> nth=6")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-model=cnv-w1a1] .best")
    page.focus("#walk")
    page.keyboard.press("Enter")
    page.wait_for_selector("#steps .step >> nth=5")
    page.focus("#steps .step >> nth=5")
    page.keyboard.press("Enter")
    page.wait_for_selector("#choice-channel")
    page.fill("#choice-channel", "7")
    page.keyboard.press("Tab")
    page.wait_for_selector("h4:text('Weights of channel 7')")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "ja"])
def test_axe_finds_nothing_serious(page: Any, scheme: str, language: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe here")
    page.emulate_media(color_scheme=scheme)
    page.select_option("#language", language)
    page.click("#tab-file")
    page.click("#samples-cifar10 .sample >> nth=6")
    page.wait_for_selector("[data-model=cnv-w1a1] .best")
    page.click("#walk")
    page.wait_for_selector("#steps .step >> nth=5")
    page.click("#steps .step >> nth=5")
    page.wait_for_selector(".histogram")
    found = axe.Axe().run(page).response["violations"]
    serious = [v for v in found if v["impact"] in ("serious", "critical")]
    assert not serious, [(v["id"], v["nodes"][0]["html"]) for v in serious]


def test_nothing_is_loaded_from_elsewhere(browser: Any, server: PageServer) -> None:
    context = browser.new_context()
    opened = context.new_page()
    asked: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(server.url)
    opened.wait_for_selector("html[data-ready=true]", state="attached")
    assert asked
    assert all(url.startswith((server.url, "data:", "blob:")) for url in asked), asked
    context.close()


def test_without_simd_the_portable_core_is_used(browser: Any, server: PageServer) -> None:
    context = browser.new_context(locale="en-GB")
    opened = context.new_page()
    opened.set_default_timeout(120_000)
    opened.add_init_script("WebAssembly.validate = () => false;")
    opened.goto(server.url)
    opened.wait_for_selector("html[data-ready=true]", state="attached")
    assert "without SIMD" in opened.inner_text("#core")
    draw(opened)
    opened.wait_for_selector(".bar.best")
    assert opened.inner_text("[data-model=lfc-w1a1] .answer") == "3"
    context.close()


def test_no_camera_is_said(page: Any) -> None:
    page.click("#tab-camera")
    page.click("#camera-button")
    page.wait_for_selector("#picture-error:not([hidden])")
    assert re.search("no camera found|not allowed", page.inner_text("#picture-error"))


def test_the_camera_is_classified_frame_by_frame(
    playwright: Any, server: PageServer, tmp_path: Path
) -> None:
    write_y4m(tmp_path / "camera.y4m", [Image.open(SAMPLES / "cifar10/Frog.png")])
    flags = [
        "--no-sandbox",
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={tmp_path / 'camera.y4m'}",
    ]
    started = playwright.chromium.launch(executable_path=chromium(), args=flags)
    opened = started.new_page(locale="en-GB")
    opened.set_default_timeout(120_000)
    opened.goto(server.url)
    opened.wait_for_selector("html[data-ready=true]", state="attached")
    opened.click("#tab-camera")
    opened.click("#camera-button")
    opened.wait_for_selector("[data-model=cnv-w1a1] .best dt:text('Frog')")
    _until(opened, "document.querySelector('#camera-rate').value.includes('frames/s')")
    opened.click("#camera-button")
    assert opened.inner_text("#camera-button") == "Start the camera"
    started.close()


def test_another_picture_hides_the_steps_of_the_one_before(page: Any) -> None:
    page.click("#samples-mnist .sample >> nth=3")
    page.wait_for_selector("[data-model=lfc-w1a1] .best")
    page.click("#walk")
    page.wait_for_selector("#walked:not([hidden])")
    page.click("#samples-mnist .sample >> nth=4")
    page.wait_for_selector("#walked", state="hidden")


def test_the_slow_walk_plays_and_stops(page: Any) -> None:
    page.click("#samples-mnist .sample >> nth=3")
    page.wait_for_selector("[data-model=lfc-w1a1] .best")
    page.click("#walk")
    page.wait_for_selector("#steps .step[aria-current=step]")
    page.click("#play")
    assert page.get_attribute("#play", "aria-pressed") == "true"
    page.wait_for_selector("#steps li:nth-child(3) .step[aria-current=step]")
    _until(page, "Number(document.querySelector('#choice-channel')?.value) > 0")
    page.click("#play")
    assert page.get_attribute("#play", "aria-pressed") == "false"
    assert page.inner_text("#play") == "Play slowly"


def test_bars_are_probabilities_where_there_is_a_calibration(page: Any, tmp_path: Path) -> None:
    page.click("#tab-file")
    page.click("#samples-cifar10 .sample >> nth=3")
    page.wait_for_selector("[data-model=cnv-w1a1] .bar.best")
    expected = bnn.Classifier("cnv-w1a1").probabilities(CIFAR[3])[0]
    shown = page.locator("[data-model=cnv-w1a1] .number").all_inner_texts()
    assert shown == [percent_text(share) for share in expected]
    assert "probabilities" in page.inner_text("[data-model=cnv-w1a1]")
    plain = tmp_path / "plain.bnn"
    bnn.save(replace(bnn.load("cnv-w1a1"), calibration=None), plain)
    page.set_input_files("#open", plain)
    page.wait_for_selector("[data-model=plain] .bar.best")
    scores = bnn.Classifier("cnv-w1a1").scores(CIFAR[3])[0]
    assert page.locator("[data-model=plain] .number").all_inner_texts() == list(map(str, scores))
    assert "no calibration" in page.inner_text("[data-model=plain]")


def test_a_sample_that_a_model_gets_wrong_is_shown_as_wrong(page: Any) -> None:
    from playwright.sync_api import expect

    page.click("#tab-file")
    page.click("label:has(b:text-is('cnv-w2a2')) input")
    clf = {name: bnn.Classifier(name) for name in ("cnv-w1a1", "cnv-w2a2")}
    for at, path in enumerate(CIFAR):
        page.click(f"#samples-cifar10 .sample >> nth={at}")
        for name, each in clf.items():
            answer = each.classes[each.classify(path)[0]]
            place = page.locator(f"[data-model={name}]")
            place.locator(f".answer:text-is('{answer}')").wait_for()
            # It waits: the sample before may have had the same answer.
            expect(place.locator("p.error:visible")).to_have_count(int(answer != path.stem))


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_address_asks_for_the_bits(page: Any, server: PageServer, language: str) -> None:
    """As the site's page on networks of bits shows it in a frame."""
    page.goto(f"{server.url}?show=bits&lang={language}")
    page.wait_for_selector("html[data-ready=true]", state="attached")
    page.wait_for_selector(".panels .histogram")
    assert page.locator("html").get_attribute("lang") == language
    assert page.locator("#steps [aria-current=step]").inner_text().startswith("layer1")
    assert page.locator("#result").is_hidden()
    assert page.locator("#pad").is_visible()
