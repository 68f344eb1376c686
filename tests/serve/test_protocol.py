# SPDX-License-Identifier: BSD-3-Clause
"""The protocol over the wire: equal to the reference, and what it tells of itself."""

from __future__ import annotations

import base64
import io
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

import bnn
from bnn.program.inputs import RealInput
from support.programs import SMALL, batches, networks
from support.served import binary, outputs, tensor

if TYPE_CHECKING:
    from .conftest import Running, Start

SAMPLES = Path(bnn.__file__).parent / "samples"


def _random(model: bnn.Model, count: int, seed: int = 1) -> Any:
    shape = (count, *model.program.input.shape)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("count", [0, 1, 3, 300])
@pytest.mark.parametrize("name", ["lfc-w1a1", "cnv-w1a1"])
def test_binary_and_json_answers_equal_the_reference(
    server: Running, name: str, count: int
) -> None:
    reference = bnn.Classifier(name, "reference")
    images = _random(reference.model, count)
    body, length = binary(images)
    headers = {"Inference-Header-Content-Length": str(length)}
    for sent, more in ((body, headers), ({"inputs": [tensor(images)]}, {})):
        status, found, answer = server.ask("POST", f"/v2/models/{name}/infer", sent, more)
        assert status == 200, answer
        if sent is body:
            length = int(found["inference-header-content-length"])
            answer = _without_labels(found, answer)
        got = outputs(found, answer)
        scores, classes = reference.run(images)
        np.testing.assert_array_equal(got["scores"], scores)
        np.testing.assert_array_equal(got["classes"], classes)
        np.testing.assert_array_equal(got["logits"], reference.logits(images))
        np.testing.assert_array_equal(got["probabilities"], reference.probabilities(images))


def _without_labels(headers: dict[str, str], body: bytes) -> bytes:
    """Cut the labels, which come last, from a binary answer (Triton's client reads them)."""
    length = int(headers["inference-header-content-length"])
    top = json.loads(body[:length])
    last = top["outputs"].pop()
    assert last["name"] == "labels"
    text = json.dumps(top).encode()
    size = last["parameters"]["binary_data_size"]
    headers["inference-header-content-length"] = str(len(text))
    return text + body[length : len(body) - size]


@pytest.mark.parametrize("seed", range(12))
def test_any_program_is_served_as_the_reference_computes_it(
    start: Start, tmp_path: Path, seed: int
) -> None:
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import strategies as st

    found: list[Any] = []

    @settings(max_examples=1, phases=[Phase.generate], database=None, derandomize=False,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(networks(SMALL), st.integers(0, 1 << 30))
    def drawn(program: Any, number: int) -> None:
        found.append((program, number))

    drawn()
    program, number = found[-1]
    names = [str(index) for index in range(program.classes)]
    model = bnn.Model(program, names)
    bnn.save(model, tmp_path / "drawn.bnn")
    images = batches(program, 5, number + seed)
    if isinstance(program.input, RealInput):
        images = np.random.default_rng(number).normal(0, 2, images.shape).astype(np.float32)
    elif images.dtype != np.uint8:
        wide = program.input.precision.bits > 8
        if program.input.precision.low < 0:
            images = images.astype(np.int16 if wide else np.int8)
        elif not wide:
            images = images.astype(np.uint8)
        else:
            pytest.skip("no datatype name in the test's table")
    server = start(str(tmp_path / "drawn.bnn"))
    reference = bnn.Classifier(model, "reference")
    for sent, headers in _both(images, "scores", "classes", "logits"):
        status, more, answer = server.ask("POST", "/v2/models/drawn/infer", sent, headers)
        assert status == 200, answer
        got = outputs(more, answer)
        np.testing.assert_array_equal(got["scores"], reference.scores(images))
        np.testing.assert_array_equal(got["classes"], reference.classify(images))
        np.testing.assert_array_equal(got["logits"], reference.logits(images))


def _both(images: Any, *wanted: str) -> list[tuple[Any, dict[str, str]]]:
    body, length = binary(images, *wanted)
    plain = {"inputs": [tensor(images)], "outputs": [{"name": name} for name in wanted]}
    return [(body, {"Inference-Header-Content-Length": str(length)}), (plain, {})]


def test_pictures_go_through_the_models_preparation(server: Running) -> None:
    for name, folder in (("lfc-w1a1", "mnist"), ("cnv-w1a1", "cifar10")):
        files = sorted((SAMPLES / folder).glob("*.png"))
        expected = bnn.Classifier(name, "reference")
        for file in files:
            status, headers, answer = server.ask(
                "POST", f"/v2/models/{name}/infer", file.read_bytes(), {"Content-Type": "image/png"}
            )
            assert status == 200, answer
            got = outputs(headers, answer)
            np.testing.assert_array_equal(got["scores"], expected.scores([file]))
            assert got["labels"] == [expected.classes[expected.classify([file])[0]]]
        coded = [base64.b64encode(file.read_bytes()).decode() for file in files]
        body = {
            "inputs": [
                {"name": "pictures", "datatype": "BYTES", "shape": [len(files)], "data": coded}
            ]
        }
        status, headers, answer = server.ask("POST", f"/v2/models/{name}/infer", body)
        assert status == 200, answer
        got = outputs(headers, answer)
        np.testing.assert_array_equal(got["scores"], expected.scores(files))


def test_a_large_jpeg_is_prepared_as_its_file_is(server: Running, tmp_path: Path) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (400, 600, 3), np.uint8)
    picture = Image.fromarray(noise)
    exif = picture.getexif()
    exif[274] = 6  # lies on its side
    picture.save(tmp_path / "large.jpg", exif=exif)
    status, headers, answer = server.ask(
        "POST",
        "/v2/models/cnv-w1a1/infer",
        (tmp_path / "large.jpg").read_bytes(),
        {"Content-Type": "image/jpeg"},
    )
    assert status == 200, answer
    expected = bnn.Classifier("cnv-w1a1", "reference").scores([tmp_path / "large.jpg"])
    np.testing.assert_array_equal(outputs(headers, answer)["scores"], expected)


def test_nested_data_and_the_requests_id(server: Running) -> None:
    images = _random(bnn.load("lfc-w1a1"), 2)
    body = {"id": "mine", "inputs": [tensor(images, data=images.tolist())],
            "outputs": [{"name": "scores"}]}  # fmt: skip
    status, headers, answer = server.ask(
        "POST", "/v2/models/lfc-w1a1/versions/1/infer", body, {"X-Request-ID": "trace-7"}
    )
    assert status == 200, answer
    told = json.loads(answer)
    assert (told["id"], told["model_name"], told["model_version"]) == ("mine", "lfc-w1a1", "1")
    assert [each["name"] for each in told["outputs"]] == ["scores"]
    assert headers["x-request-id"] == "trace-7"
    expected = bnn.Classifier("lfc-w1a1", "reference").scores(images)
    np.testing.assert_array_equal(outputs(headers, answer)["scores"], expected)


def test_metadata_and_health(server: Running) -> None:
    for path in ("/v2", "/v2/"):
        assert json.loads(server.ask("GET", path)[2]) == {
            "name": "bnn",
            "version": bnn.__version__,
            "extensions": ["binary_tensor_data", "model_repository"],
        }
    for path in ("/v2/models/cnv-w1a1", "/v2/models/cnv-w1a1/versions/1"):
        told = json.loads(server.ask("GET", path)[2])
        assert told["inputs"] == [
            {"name": "input", "datatype": "UINT8", "shape": [-1, 32, 32, 3]},
            {"name": "pictures", "datatype": "BYTES", "shape": [-1]},
        ]
        assert told["outputs"] == [
            {"name": "scores", "datatype": "INT32", "shape": [-1, 10]},
            {"name": "logits", "datatype": "FP64", "shape": [-1, 10]},
            {"name": "classes", "datatype": "INT64", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP64", "shape": [-1, 10]},
            {"name": "labels", "datatype": "BYTES", "shape": [-1]},
        ]
        assert json.loads(told["properties"]["classes"])[0] == "Airplane"
        assert told["versions"] == ["1"]
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/cnv-w1a1/ready",
                 "/v2/models/cnv-w1a1/versions/1/ready"):  # fmt: skip
        assert server.ask("GET", path)[0] == 200, path


def test_versions_and_loading_again(start: Start, tmp_path: Path) -> None:
    models = Path(bnn.__file__).parent / "models"
    shutil.copy(models / "lfc-w1a1.bnn", tmp_path / "digits.bnn")
    server = start(f"digits={tmp_path / 'digits.bnn'}", "digits:3=lfc-w1a2")
    images = _random(bnn.load("lfc-w1a1"), 4)

    def scores(path: str) -> Any:
        sent, headers = _both(images, "scores")[0]
        status, more, answer = server.ask("POST", f"/v2/models/digits{path}/infer", sent, headers)
        assert status == 200, answer
        return outputs(more, answer)["scores"]

    first, third = (
        bnn.Classifier(name, "reference").scores(images) for name in ("lfc-w1a1", "lfc-w1a2")
    )
    assert (first != third).any()
    np.testing.assert_array_equal(scores("/versions/1"), first)
    np.testing.assert_array_equal(scores("/versions/3"), third)
    np.testing.assert_array_equal(scores(""), third)  # the latest
    # The file changes: nothing until it is loaded, then all of it.
    shutil.copy(models / "lfc-w1a2.bnn", tmp_path / "digits.bnn")
    np.testing.assert_array_equal(scores("/versions/1"), first)
    assert server.ask("POST", "/v2/repository/models/digits/load")[0] == 200
    np.testing.assert_array_equal(scores("/versions/1"), third)
    # A damaged file: an error, and the old model stays.
    (tmp_path / "digits.bnn").write_bytes(b"damaged")
    status, message = server.error("POST", "/v2/repository/models/digits/load", {})
    assert (status, "digits.bnn" in message) == (400, True)
    np.testing.assert_array_equal(scores("/versions/1"), third)
    assert server.ask("GET", "/v2/health/ready")[0] == 200
    assert server.ask("POST", "/v2/repository/models/digits/unload")[0] == 200
    assert server.error("GET", "/v2/models/digits")[0] == 404
    assert server.ask("GET", "/v2/health/ready")[0] == 503
    states = json.loads(server.ask("POST", "/v2/repository/index")[2])
    assert [(one["version"], one["state"]) for one in states] == [
        ("1", "UNAVAILABLE"),
        ("3", "UNAVAILABLE"),
    ]


def test_loading_again_under_load_answers_every_request(start: Start) -> None:
    import threading

    server = start("lfc-w1a1")
    images = _random(bnn.load("lfc-w1a1"), 1)
    expected = bnn.Classifier("lfc-w1a1", "reference").scores(images)
    sent, headers = _both(images, "scores")[0]
    wrong: list[Any] = []
    ended = threading.Event()
    asked = 0

    def client() -> None:
        nonlocal asked
        connection = server.connect()
        while not ended.is_set():
            connection.request("POST", "/v2/models/lfc-w1a1/infer", sent, headers)
            answer = connection.getresponse()
            body = answer.read()
            more = {k.lower(): v for k, v in answer.getheaders()}
            if answer.status != 200 or (outputs(more, body)["scores"] != expected).any():
                wrong.append((answer.status, body))
            asked += 1
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        assert server.ask("POST", "/v2/repository/models/lfc-w1a1/load")[0] == 200
    ended.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert asked > 5


def test_metrics_and_log(start: Start) -> None:
    server = start("lfc-w1a1")
    images = _random(bnn.load("lfc-w1a1"), 7)
    sent, headers = _both(images, "scores")[0]
    server.ask("POST", "/v2/models/lfc-w1a1/infer", sent, {**headers, "X-Request-ID": "abc"})
    server.ask("GET", "/v2/models/never-heard-of")
    text = server.ask("GET", "/metrics")[2].decode()
    labels = 'model="lfc-w1a1",version="1"'
    assert f"bnn_images_total{{{labels}}} 7.0" in text
    assert f"bnn_infer_seconds_count{{{labels}}} 1.0" in text
    assert f"bnn_batch_images_sum{{{labels}}} 7.0" in text
    assert 'bnn_requests_total{code="404",kind="metadata"} 1.0' in text
    assert "never-heard-of" not in text
    lines = [json.loads(line) for line in server.log.getvalue().splitlines()]
    told = next(line for line in lines if line.get("id") == "abc")
    assert (told["event"], told["status"], told["images"]) == ("request", 200, 7)
    assert (told["model"], told["path"]) == ("lfc-w1a1", "/v2/models/lfc-w1a1/infer")


def test_a_harmful_request_id_is_replaced(server: Running) -> None:
    for given in ("a b", "x" * 65, '"', ""):
        _, headers, _ = server.ask("GET", "/v2", headers={"X-Request-ID": given})
        assert headers["x-request-id"] != given
        assert len(headers["x-request-id"]) == 16


def test_the_picture_may_be_as_large_as_the_limit(start: Start) -> None:
    server = start("cnv-w1a1", pixels=100 * 100)
    for size, expected in (((100, 100), 200), ((101, 100), 400)):
        data = io.BytesIO()
        Image.new("RGB", size, (9, 99, 199)).save(data, "PNG")
        status, _, answer = server.ask(
            "POST", "/v2/models/cnv-w1a1/infer", data.getvalue(), {"Content-Type": "image/png"}
        )
        assert status == expected, answer
    assert json.loads(answer)["error"] == (
        "picture 0: has 101 x 100 pixels; at most 10000, the limit of this server (bnn serve "
        "--max-pixels)"
    )
