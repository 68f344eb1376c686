# SPDX-License-Identifier: BSD-3-Clause
"""Any model in the browser: random programs equal the reference, bad files are refused alike."""

from __future__ import annotations

import base64
import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from safetensors.numpy import load as parse
from safetensors.numpy import save as serialize

import bnn
from bnn.errors import BnnError
from bnn.model.file import _digest, load, save
from bnn.model.model import Model
from bnn.program.grouping import without_groups
from bnn.program.inputs import IntegerInput, PictureInput
from bnn.program.operations import Dot
from bnn.program.precision import BIPOLAR
from bnn.program.program import Program
from bnn.run import prepare
from bnn.run.edges import reference_edges
from support.mutated import VALUES
from support.programs import FULL, batches, networks

#: Scores, decisions and edges of a file's program for inputs, on one kernel set.
RUN = """
async ([text, kernel, numbers, bytes]) => {
  const { readModel } = await import("./js/modelfile.js");
  const { Core } = await import("./js/core.js");
  const { coreModule } = await import("./js/engine.js");
  const model = readModel(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)));
  const core = new Core(await coreModule(kernel), model);
  const batch = bytes ? Uint8Array.from(numbers) : Int16Array.from(numbers);
  const { scores, decisions } = core.run(batch);
  const one = batch.length / (scores.length / model.classes.length);
  const edges = [...core.walk(batch.slice(0, one))].map(([name, v]) => [name, Array.from(v)]);
  return { scores: Array.from(scores), decisions, edges };
}
"""
#: Of each file its error, or null.
READ = """
async (texts) => {
  const { readModel } = await import("./js/modelfile.js");
  return texts.map((text) => {
    try {
      readModel(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)));
      return null;
    } catch (error) {
      return `${error.name}: ${error.message}`;
    }
  });
}
"""


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


#: Random programs, the same in each run, none of them kept or made smaller.
DRAWN = {
    "deadline": None,
    "database": None,
    "phases": [Phase.generate],
    "suppress_health_check": list(HealthCheck),
}


@pytest.mark.parametrize("kernel", ["relaxed", "simd128", "portable"])
def test_random_programs_equal_the_reference(page: Any, kernel: str, tmp_path: Path) -> None:
    @hypothesis.seed(7)
    @settings(max_examples=60, **DRAWN)
    @given(program=networks())
    def run(program: Program) -> None:
        program = without_groups(program)  # the page refuses them
        path = tmp_path / "m.bnn"
        save(Model(program, tuple(map(str, range(program.classes)))), path)
        batch = batches(program, 3, seed=1)
        picture = isinstance(program.input, PictureInput)
        given_ = [_text(path.read_bytes()), kernel, batch.reshape(-1).tolist(), picture]
        found = page.evaluate(RUN, given_)
        expected = prepare("reference", program).run(batch)
        assert found["scores"] == expected.scores.reshape(-1).tolist()
        wanted = None if expected.decisions is None else expected.decisions.tolist()
        assert found["decisions"] == wanted
        edges = reference_edges(program, batch[:1])
        assert [name for name, _ in found["edges"]] == list(edges)
        for name, values in found["edges"]:
            assert values == edges[name].reshape(-1).tolist(), name

    run()


def test_what_the_page_cannot_run_is_refused(page: Any, tmp_path: Path) -> None:
    """Programs with every operation: the reference's scores, or a line that says why not."""
    refusals: list[str] = []

    @hypothesis.seed(9)
    @settings(max_examples=60, **DRAWN)
    @given(program=networks(FULL))
    def run(program: Program) -> None:
        path = tmp_path / "m.bnn"
        save(Model(program, tuple(map(str, range(program.classes)))), path)
        text = _text(path.read_bytes())
        (refusal,) = page.evaluate(READ, [text])
        if refusal is not None:
            refusals.append(refusal)
            return
        batch = batches(program, 3, seed=1)
        picture = isinstance(program.input, PictureInput)
        found = page.evaluate(RUN, [text, "simd128", batch.reshape(-1).tolist(), picture])
        expected = prepare("reference", program).run(batch)
        assert found["scores"] == expected.scores.reshape(-1).tolist()

    run()
    assert all(refusal.startswith("UserError: ") for refusal in refusals)
    for reason in ("unknown kind rescale", "8 bits"):
        assert any(reason in refusal for refusal in refusals), reason


def test_dots_in_groups_are_refused_by_name(page: Any, tmp_path: Path) -> None:
    dots = [
        Dot("d", "input", np.ones((4, 2), int), BIPOLAR, groups=2),
        Dot("d", "input", np.ones((4, 4), int), BIPOLAR),
    ]
    texts = []
    for dot in dots:
        program = Program(IntegerInput((4,), BIPOLAR), (dot,), "d")
        save(Model(program, tuple("abcd")), tmp_path / "m.bnn")
        texts.append(_text((tmp_path / "m.bnn").read_bytes()))
    refused, taken = page.evaluate(READ, texts)
    assert "the page does not compute dots in groups yet" in refused
    assert taken is None


def _models(folder: Path) -> Iterator[bytes]:
    """Small models of every kind of input and operation."""
    programs: list[Program] = []

    @hypothesis.seed(11)
    @settings(max_examples=12, **DRAWN)
    @given(program=networks())
    def collect(program: Program) -> None:
        programs.append(without_groups(program))

    collect()
    for program in programs:
        path = folder / "m.bnn"
        rule = bnn.load("lfc-w1a1").preprocess
        names = tuple(f"ä{i}\U0001f600" for i in range(program.classes))
        provenance = {"rate": 1e-07, "big": 1e22, "one": 1.0, "n": [3, None, True, "\ud800"]}
        save(Model(program, names, rule, provenance, "m"), path)
        yield path.read_bytes()


def _head(data: bytes) -> Any:
    size = int.from_bytes(data[:8], "little")
    return json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["bnn"])


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every key and index of a JSON value."""
    pairs: Any = ()
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, list):
        pairs = enumerate(value)
    for key, inner in pairs:
        yield (*place, key)
        yield from _places(inner, (*place, key))


def _mutated(data: bytes, draw: random.Random) -> bytes:
    """One change of the head, of a tensor or of a byte; digests are made to fit, mostly."""
    kind = draw.randrange(4)
    if kind == 0:
        place = draw.randrange(len(data))
        return data[:place] + bytes([data[place] ^ 1 << draw.randrange(8)]) + data[place + 1 :]
    if kind == 1:
        return data[: draw.randrange(len(data))] if draw.randrange(2) else data + b"\0"
    head, tensors = copy.deepcopy(_head(data)), dict(parse(data))
    if kind == 2:
        *keys, last = draw.choice(list(_places(head)))
        target = head
        for key in keys:
            target = target[key]
        if draw.randrange(4):
            target[last] = copy.deepcopy(draw.choice(VALUES))
        elif isinstance(target, dict):
            del target[last]
        else:
            target.append(target[last])
    else:
        name = draw.choice(sorted(tensors))
        array = tensors[name]
        changes = [
            lambda: array.astype(np.int64),
            lambda: array.reshape(-1),
            lambda: array[..., :-1],
            lambda: np.concatenate([array, array]),
            lambda: (array.astype(np.int64) + 1).astype(array.dtype),
            lambda: np.full_like(array, np.nan if array.dtype.kind == "f" else 127),
            lambda: None,
        ]
        changed = draw.choice(changes)()
        if changed is None:
            del tensors[name]
        else:
            tensors[name] = np.ascontiguousarray(changed)
    try:
        if draw.randrange(10):
            head["digest"] = _digest(head, tensors)
        return serialize(tensors, {"bnn": json.dumps(head)})
    except (TypeError, ValueError, AttributeError):
        return data


def test_files_are_refused_and_taken_as_in_python(page: Any, tmp_path: Path) -> None:
    draw = random.Random(5)
    whole = list(_models(tmp_path))
    cases = [*whole, *(_mutated(draw.choice(whole), draw) for _ in range(600))]
    verdicts = page.evaluate(READ, [_text(data) for data in cases])
    taken = 0
    for data, found in zip(cases, verdicts, strict=True):
        path = tmp_path / "case.bnn"
        path.write_bytes(data)
        try:
            load(path)
            wanted = None
        except BnnError as reason:
            wanted = str(reason)
        except ValueError as reason:  # numbers that Python itself cannot print
            wanted = str(reason)
        assert (found is None) == (wanted is None), (found, wanted)
        assert found is None or found.startswith("UserError: "), found
        taken += wanted is None
    assert len(whole) <= taken < len(cases) / 2


@pytest.mark.parametrize(
    "head",
    [
        b'{"a":' * 100_000,
        b"[" * 1_000_000,
        b'{"__metadata__":{"bnn":"' + b"[" * 100_000 + b'"}}',
        b'{"__metadata__":{"bnn":"{\\"format\\":' + b"9" * 100_000 + b'}"}}',
        b'{"x":{"dtype":"U8","shape":[9007199254740991,9007199254740991],"data_offsets":[0,0]}}',
        b'{"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"x":{"dtype":"U8","shape":[0]}}',
        b"\xff\xfe",
        b"",
    ],
)
def test_hostile_headers_end_in_an_error(page: Any, head: bytes) -> None:
    data = len(head).to_bytes(8, "little") + head
    assert page.evaluate(READ, [_text(data)])[0].startswith("UserError: ")
    lying = (1 << 60).to_bytes(8, "little") + head
    assert page.evaluate(READ, [_text(lying)])[0].startswith("UserError: is not a .bnn file")


def test_a_model_that_never_ends_is_ended(page: Any) -> None:
    """A worker that does not answer is closed after its time, and the page goes on."""
    told = page.evaluate(
        """async () => {
          const { Engine } = await import("./js/engine.js");
          const data = new Uint8Array(await (await fetch("models/lfc-w1a1.bnn")).arrayBuffer());
          const engine = await Engine.load(data);
          const batch = new Uint8Array(784);
          const slow = engine.ask("run", { batch, atLeast: 600_000 }, [], 300);
          const first = await slow.catch((error) => error.key);
          const after = await engine.ask("run", { batch }).catch((error) => error.key);
          return [first, after];
        }"""
    )
    assert told == ["error.slow", "error.slow"]


def test_a_damaged_model_is_refused_on_the_page(page: Any) -> None:
    data = bytearray((Path(bnn.__file__).parent / "models/lfc-w1a1.bnn").read_bytes())
    data[-1] ^= 1
    page.evaluate(
        """(text) => {
          const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
          const drop = new DataTransfer();
          drop.items.add(new File([bytes], "evil.bnn"));
          document.body.dispatchEvent(
            new DragEvent("drop", { dataTransfer: drop, bubbles: true, cancelable: true }));
        }""",
        _text(bytes(data)),
    )
    page.wait_for_selector("#model-error:not([hidden])")
    assert "evil.bnn: is damaged" in page.inner_text("#model-error")
