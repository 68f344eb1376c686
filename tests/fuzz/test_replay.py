# SPDX-License-Identifier: BSD-3-Clause
"""Every seed, and every input that failed once, is taken or refused as it must be."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
if not Path("/proc/self/clear_refs").exists():
    pytest.skip("needs Linux: an input's memory is measured there", allow_module_level=True)

import mutators
import readers

#: Readers whose seeds are all valid; others have seeds that other readers' branches take.
WHOLE = ("bnn", "theano", "chainer", "chainer-conv", "keras", "keras-h5", "qonnx", "brevitas")
WHOLE += ("pytorch", "original-whole", "topology", "folding", "classes", "session", "driver")
WHOLE += ("lstm", "lstm-fraktur", "lines")


@pytest.mark.parametrize(
    ("name", "kept"), [pytest.param(n, p, id=f"{n}-{p.name}") for n, p in readers.names()]
)
def test_replay(name: str, kept: Path, tmp_path: Path) -> None:
    data = kept.read_bytes()
    path = tmp_path / f"input{kept.suffix}"
    path.write_bytes(data)
    taken = readers.attempt(readers.READERS[name], path, len(data))
    if name in WHOLE and kept.parent.parent == readers.SEEDS:
        assert taken, "a seed must be a valid file"


def test_every_reader_has_seeds() -> None:
    assert all(readers.kept(name) for name in readers.READERS)


def test_the_modules_that_are_counted_are_there() -> None:
    """`make fuzz` imports them by name: a module that moved would stop it."""
    for reader in readers.READERS.values():
        for module in reader.modules:
            importlib.import_module(f"bnn.{module}")


@pytest.mark.parametrize("name", readers.READERS)
def test_changed_seeds_are_taken_or_refused(name: str, tmp_path: Path) -> None:
    """A few hundred inputs as fuzzing would make them, without atheris."""
    import random

    rng = random.Random(name)

    def mutate(data: bytes) -> bytes:
        changed = bytearray(data or b"\0")
        for _ in range(rng.randrange(1, 4)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        return bytes(changed[: rng.randrange(len(changed)) + 1] if rng.random() < 0.1 else changed)

    reader, seeds = readers.READERS[name], readers.kept(name)
    path = tmp_path / "input"
    for _ in range(40):
        data = mutators.changed(
            reader.mutator, rng.choice(seeds).read_bytes(), mutate, rng.randrange(1 << 32)
        )
        path.write_bytes(data)
        readers.attempt(reader, path, len(data))


def test_the_watch_itself(tmp_path: Path, monkeypatch: Any) -> None:
    """What is no BnnError, too slow or too large is noticed."""

    def wrong(_: Path) -> None:
        raise IndexError("oh")

    path = tmp_path / "x"
    path.write_bytes(b"")
    with pytest.raises(readers.UnfitError, match="IndexError: oh"):
        readers.attempt(readers.Reader(wrong, ()), path, 0)
    monkeypatch.setattr(readers, "MAX_SECONDS", -1.0)
    with pytest.raises(readers.UnfitError, match=r"took \d"):
        readers.attempt(readers.Reader(lambda _: None, ()), path, 0)
