# SPDX-License-Identifier: BSD-3-Clause
"""Pieces of the server alone: which batch is computed next, datatypes, sizes, lines of the log."""

from __future__ import annotations

import io
import json
import logging
import sys
from concurrent.futures import Future
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from bnn.errors import InputError
from bnn.program.inputs import IntegerInput, PictureInput, RealInput, identity_table
from bnn.program.precision import BIPOLAR, INT, TERNARY, UINT, Precision
from bnn.run import Outputs
from bnn.serve import app, batching, logs, outputs, wire
from bnn.serve.asgi import RefusedError

if TYPE_CHECKING:
    from .conftest import Running

PRECISIONS = [
    *((UINT(bits), "UINT8" if bits <= 8 else "UINT16") for bits in range(1, 16)),
    *((INT(bits), "INT8" if bits <= 8 else "INT16") for bits in range(2, 17)),
    *((INT(bits, narrow=True), "INT8" if bits <= 8 else "INT16") for bits in range(2, 17)),
    *((BIPOLAR, "INT8"), (TERNARY, "INT8")),
]


@pytest.mark.parametrize(("precision", "name"), PRECISIONS, ids=str)
def test_the_datatype_holds_every_value(precision: Precision, name: str) -> None:
    """And no smaller one does."""
    assert outputs.datatype(IntegerInput((3,), precision)) == name


def test_datatypes_of_other_inputs() -> None:
    picture = PictureInput((2, 2, 1), UINT(8), identity_table())
    one: Any = [1.0]
    assert outputs.datatype(picture) == "UINT8"
    assert outputs.datatype(RealInput((3,), INT(8), one, one)) == "FP32"


# --- batches -----------------------------------------------------------------------------


def waiting(*sizes: int, gone: tuple[int, ...] = ()) -> Any:
    """A batcher that has requests of so many images; those of ``gone`` were cancelled."""
    made = batching.Batcher.__new__(batching.Batcher)
    made._waiting = []
    for index, size in enumerate(sizes):
        future: Any = Future()
        if index in gone:
            future.cancel()
        made._waiting.append((np.full((size, 1), index, np.int16), future))
    return made


@pytest.mark.parametrize(
    ("sizes", "gone", "taken", "left"),
    [
        ((), (), [], 0),
        ((1,), (), [0], 0),
        ((1, 2, 3), (), [0, 1, 2], 0),
        ((1, 2, 3), (1,), [0, 2], 0),
        ((1, 2, 3), (0, 1, 2), [], 0),
        ((255, 1, 1), (), [0, 1], 1),
        ((256, 1), (), [0], 1),
        ((255, 2, 1), (), [0], 2),
        ((257, 1), (), [0], 1),  # a large request is computed alone, never refused
        ((1, 257, 1), (), [0], 2),
        ((1, 257, 1), (0,), [1], 1),
        ((200, 9, 100), (1,), [0], 1),
        ((200, 9, 100), (0,), [1, 2], 0),
    ],
)
def test_which_requests_are_next(
    sizes: tuple[int, ...], gone: tuple[int, ...], taken: list[int], left: int
) -> None:
    batcher = waiting(*sizes, gone=gone)
    assert [int(batch[0, 0]) for batch, _ in batcher._take()] == taken
    assert len(batcher._waiting) == left


@pytest.mark.parametrize("decided", [False, True])
def test_each_request_has_its_own_answer(decided: bool) -> None:
    batcher = waiting(2, 1, 3)
    batcher._seconds = 0.8
    taken = batcher._take()
    taken[1][1].set_result("before")
    scores = np.arange(12, dtype=np.int32).reshape(6, 2)
    decisions = np.arange(6) if decided else None
    batcher._answer(taken, Outputs(scores, decisions, 6 * 1.6), 6)
    assert batcher._seconds == pytest.approx(0.9)  # an eighth of the way to 1.6 s per image
    for (_, future), first, last in ((taken[0], 0, 2), (taken[2], 3, 6)):
        found = future.result(0)
        assert np.array_equal(found.scores, scores[first:last])
        if decided:
            assert np.array_equal(found.decisions, np.arange(first, last))
        else:
            assert found.decisions is None
        assert found.seconds == 6 * 1.6
    assert taken[1][1].result(0) == "before"


def test_one_request_has_the_answer_itself() -> None:
    batcher = waiting(0)
    batcher._seconds = 0.5
    taken = batcher._take()
    whole = Outputs(np.zeros((0, 2), np.int32), None, 3.0)
    batcher._answer(taken, whole, 0)
    assert taken[0][1].result(0) is whole
    assert batcher._seconds == 0.5  # nothing was learned of no image
    batcher._answer(taken, Outputs(np.zeros((0, 2), np.int32), None, 0.0), 0)
    assert taken[0][1].result(0) is whole


@pytest.mark.parametrize(
    ("end", "kind", "text"),
    [("cancel", RuntimeError, "the server ends"), ("fail", ZeroDivisionError, "one")],
)
def test_an_end_without_an_answer(end: str, kind: type[Exception], text: str) -> None:
    batcher = waiting(1, 1, 1)
    begun: list[int] = []
    batcher._begin = lambda: begun.append(1)
    taken = batcher._take()
    taken[0][1].set_result("before")
    done: Any = Future()
    done.cancel() if end == "cancel" else done.set_exception(ZeroDivisionError("one"))
    batcher._end(taken, done, 3)
    assert taken[0][1].result(0) == "before"
    for _, future in taken[1:]:
        with pytest.raises(kind, match=f"^{text}$"):
            future.result(0)
    assert begun == [1]


# --- sizes and refusals --------------------------------------------------------------------


def test_the_largest_answer() -> None:
    """8 bytes for each class and score; the limit itself is taken."""
    program: Any = SimpleNamespace(classes=3, score_count=2)
    made: Any = app.Service.__new__(app.Service)
    made._limits = SimpleNamespace(held=40 * 7 + 39)
    served: Any = SimpleNamespace(model=SimpleNamespace(program=program))
    made._check_size(served, 7)
    with pytest.raises(InputError, match=r"of 8 images is too large; send at most 7$"):
        made._check_size(served, 8)


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b"\x89PNG\r\n\x1a\n...", "image/png"), (b"\xff\xd8\xff\xe0", "image/jpeg")],
)
def test_a_picture_that_is_not_called_one(body: bytes, kind: str) -> None:
    with pytest.raises(RefusedError, match=f"set Content-Type: {kind}$") as caught:
        app._check_no_picture(body)
    assert caught.value.status == 415
    app._check_no_picture(b"{" + body)
    app._check_no_picture(body[:2])


# --- the log ---------------------------------------------------------------------------------


def test_records_of_the_server_are_lines() -> None:
    file = io.StringIO()
    handler = logs.Handler(logs.Log(file))
    assert handler.level == logging.INFO
    handler.emit(logging.LogRecord("x", logging.WARNING, "p", 1, "of %d", (3,), None))
    try:
        raise ZeroDivisionError("two")
    except ZeroDivisionError:
        told = sys.exc_info()
    handler.emit(logging.LogRecord("x", logging.ERROR, "p", 1, "bad", (), told))
    empty: Any = (None, None, None)
    handler.emit(logging.LogRecord("x", logging.ERROR, "p", 1, "none", (), empty))
    found = [json.loads(line) for line in file.getvalue().splitlines()]
    assert [(one["event"], one.get("level"), one.get("message")) for one in found] == [
        ("server", "warning", "of 3"),
        ("error", None, None),
        ("server", "error", "bad"),
        ("server", "error", "none"),
    ]
    assert found[1]["error"].endswith("ZeroDivisionError: two\n")
    assert found[1]["id"] == ""


def test_a_log_that_is_closed_is_no_error() -> None:
    file = io.StringIO()
    log = logs.Log(file, requests=False)
    log.request(id="x")
    assert file.getvalue() == ""
    file.close()
    log.event("server")


@pytest.mark.parametrize("images", [0, 1, 3])
@pytest.mark.parametrize("name", [None, "mine"])
def test_answers_of_binary_outputs_say_their_own_sizes(images: int, name: str | None) -> None:
    scores = np.arange(images * 10, dtype=np.int32).reshape(images, 10)
    outputs = [("scores", "INT32", scores, True), ("labels", "BYTES", [b"ab"] * images, True)]
    for count in (1, 2, 1):  # a text that is kept must not be that of another answer
        body, length = wire.respond(("model", "2"), name, outputs[:count])
        assert length is not None
        told = json.loads(body[:length])
        assert [told["model_name"], told["model_version"], told.get("id")] == ["model", "2", name]
        sizes = [each["parameters"]["binary_data_size"] for each in told["outputs"]]
        assert sizes == [40 * images, 6 * images][:count]
        assert [each["shape"] for each in told["outputs"]] == [[images, 10], [images]][:count]
        assert body[length:][: 40 * images] == scores.tobytes()
        assert len(body) == length + sum(sizes)


def test_the_short_way_to_a_model_is_that_of_the_router(server: Running) -> None:
    body = json.dumps({"inputs": []})
    statuses = {
        "/v2/models/lfc-w1a1/infer": 400,
        "/v2/models/lfc%2Dw1a1/infer": 400,
        "/v2/models/none/infer": 404,
        "/v2/models//infer": 404,
        "/v2/models/infer": 405,
        "/v2/models/lfc-w1a1/infer/": 404,
        "/v2/models/a/b/infer": 404,
        "/v2//models/lfc-w1a1/infer": 404,
    }
    assert {path: server.ask("POST", path, body)[0] for path in statuses} == statuses
    assert server.ask("GET", "/v2/models/lfc-w1a1/infer")[0] == 405
