# SPDX-License-Identifier: BSD-3-Clause
"""Every reader of files that others may have made, as fuzzing and its replay call it."""

from __future__ import annotations

import functools
import shutil
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

import bnn.formats.qonnx.rules
from bnn.data import cifar, idx
from bnn.data.pictures.preprocess import Digit, Stretch, Thumbnail
from bnn.driver.recorded import Replay
from bnn.errors import BnnError, BnnWarning
from bnn.formats import bnn_pynq
from bnn.formats.bnn_pynq.networks import NETWORKS, Layer, OriginalNetwork
from bnn.formats.convert import Options, convert, read_classes
from bnn.formats.lstm_pynq import building, reading
from bnn.hw import folding
from bnn.model import file as modelfile
from bnn.model.lines import FrakturLines, PlainLines
from bnn.network import topology
from bnn.program.check import work
from bnn.program.inputs import IntegerInput
from bnn.program.operations import Dot, Threshold
from bnn.program.precision import BIPOLAR, INT
from bnn.program.program import Program
from bnn.run import board
from bnn.run.cpu import prepare

SEEDS = Path(__file__).parent / "seeds"
FAILED = Path(__file__).parent / "failed"
#: What an input may take: seconds of the processor, and bytes above its own size.
MAX_SECONDS = 10.0
MAX_BYTES = 1 << 30
#: Steps for an image up to which a program that was read is also run.
_RUN_WORK = 1 << 24


@dataclass(frozen=True)
class Reader:
    """One reader.

    Attributes:
        read: called with the path of a file; BnnError is its only way to refuse it.
        modules: the modules, below ``bnn``, whose lines are counted as covered or not.
        mutator: how inputs are changed, see ``mutators.py``.
        max_len: bytes of an input.
        fuzzed: its seeds are not only replayed.
    """

    read: Callable[[Path], object]
    modules: tuple[str, ...]
    mutator: str = ""
    max_len: int = 1 << 16
    fuzzed: bool = True


def _bnn(path: Path) -> None:
    program = modelfile.load(path).program
    if sum(work(op, program.edges) for op in program.ops) < _RUN_WORK:
        given = program.input.check(np.zeros((1, *program.input.shape), np.uint8))
        prepare(program, threads=1).run(given)


def _convert(kind: str, stack: str | topology.Topology | None = None) -> Callable[[Path], object]:
    return lambda path: convert(path, kind, Options(topology=stack))


_DENSE = topology.loads(
    'input = 6\nlayers = [{dense=4,bias=true},"norm","act",{dense=3,bias=true},"norm"]'
)
_CONV = topology.loads('input = [4,4,1]\nlayers = [{conv=2},"norm","act",{dense=3},"norm"]')


def _idx(path: Path) -> None:
    reads: tuple[Callable[[Path], object], ...] = (
        idx.read_images,
        functools.partial(idx.read_images, lenient=True),
        idx.read_labels,
    )
    _each(reads, path)


def _cifar(path: Path) -> None:
    reads: tuple[Callable[[Path], object], ...] = (
        cifar.read_records,
        functools.partial(cifar.read_records, lenient=True),
        lambda one: cifar.read_archive(one, ["test_batch.bin"]),
    )
    _each(reads, path)


def _picture(path: Path) -> None:
    kinds = ((Thumbnail(), (8, 8, 3)), (Digit(), (8, 8, 1)), (Stretch(), (8, 8, 1)))
    _each([functools.partial(kind.to_array, shape=shape) for kind, shape in kinds], path)


def _each(reads: Sequence[Callable[[Path], object]], path: Path) -> None:
    """Read a file in every way; BnnError if it is refused in all of them."""
    refused = [reason for read in reads if (reason := _refusal(read, path))]
    if len(refused) == len(reads):
        raise refused[0]


def _refusal(read: Callable[[Path], object], path: Path) -> BnnError | None:
    try:
        read(path)
    except BnnError as reason:
        return reason
    return None


def _small_networks() -> dict[str, OriginalNetwork]:
    """Networks as the original's, of a few rows: a set of full size takes 50 ms to read."""
    dense = (Layer(4, 832, 2, 64, 784), Layer(4, 4, 1, 2, 4), Layer(4, 4, 2, 4, 4))
    lfc = (*dense, Layer(8, 4, 4, 2, 4, last=True))
    cnv = [Layer(2, 27, 2, 9, 27, convolution=True)]
    cnv += [Layer(2, 18, 1, 9, 18, convolution=True, pool=n in (1, 3)) for n in range(1, 6)]
    cnv += [Layer(2, 2, 1, 2, 2), Layer(2, 2, 2, 1, 2), Layer(4, 2, 2, 1, 2, last=True)]
    made = [OriginalNetwork(f"lfcW1A{bits}", 1, bits, lfc) for bits in (1, 2)]
    for weight, activation in ((1, 1), (1, 2), (2, 2)):
        name = f"cnvW{weight}A{activation}"
        made.append(OriginalNetwork(name, weight, activation, tuple(cnv)))
    return {one.name: one for one in made}


SMALL_NETWORKS = _small_networks()


def _original(path: Path) -> None:
    with patch.dict(NETWORKS, SMALL_NETWORKS, clear=True):
        bnn_pynq.load(path)


def _original_folder(path: Path) -> None:
    """A folder from one file: name, ##, contents, ##, and so on."""
    folder = path.with_name(path.name + ".d")
    folder.mkdir()
    try:
        parts = path.read_bytes().split(b"##")
        for name, data in zip(parts[::2], parts[1::2], strict=False):
            text = name.decode("ascii", "replace").strip()
            if text == "hw/config.h":
                (folder / "hw").mkdir(exist_ok=True)
                (folder / text).write_bytes(data)
            elif text.isprintable() and 0 < len(text) < 64 and "/" not in text and text[0] != ".":
                (folder / text).write_bytes(data)
        _original(folder)
    finally:
        shutil.rmtree(folder)


def _small_program() -> Program:
    ops = (
        Dot("d", "input", np.ones((2, 4)), BIPOLAR),
        Threshold("t", "d", np.zeros((2, 1)), BIPOLAR, -1, 2),
        Dot("e", "t", np.ones((2, 2)), BIPOLAR),
    )
    return Program(IntegerInput((4,), INT(2)), ops, "e")


def _driver(path: Path) -> None:
    folder = path.with_name(path.name + ".d")
    folder.mkdir()
    try:
        (folder / "driver.json").write_bytes(path.read_bytes())
        board.Metadata.from_json(board.read_metadata(folder))
    finally:
        shutil.rmtree(folder)


def _lines(path: Path) -> None:
    """The texts beside a network of lines, and prepared pixels, of two rows."""
    reads: tuple[Callable[[Path], object], ...] = (
        functools.partial(reading.read_alphabet, classes=3),
        functools.partial(reading.read_numbers, count=2),
        functools.partial(PlainLines(4).prepared, rows=2),
        functools.partial(FrakturLines((0.5, 0.5), (1.0, 2.0), (1,) * 256).prepared, rows=2),
    )
    _each(reads, path)


_ORIGINAL = ("formats.bnn_pynq.reading", "formats.bnn_pynq.building", "data.tar", "data.files")
_CONVERT = ("formats.convert", "lower.graph", "system.archives", "system.heaps")
_KERAS = tuple(
    f"formats.keras.{name}"
    for name in ("file", "read", "settings", "graph", "quantizers", "qkeras", "fixed_point", "host")
)
_QONNX = tuple(
    f"formats.qonnx.{name}"
    for name in ("onnx_file", "read", "walk", "quantizers", "steps", "constants", "input", "tensor")
)
_RULES = tuple(
    f"formats.qonnx.rules.{path.stem}"
    for path in sorted(Path(bnn.formats.qonnx.rules.__path__[0]).glob("[a-z]*.py"))
)

READERS: dict[str, Reader] = {
    "bnn": Reader(
        _bnn,
        ("model.file", "program.check", "program.inputs", "data.pictures.rules", "model.model"),
        "bnn",
    ),
    "theano": Reader(
        _convert("theano", _DENSE),
        ("formats.theano.archive", "formats.theano.rounded", "system.npz", *_CONVERT),
        "zip",
    ),
    "chainer": Reader(_convert("chainer"), ("formats.chainer", "system.npz", *_CONVERT), "zip"),
    "chainer-conv": Reader(
        _convert("chainer", _CONV),
        ("formats.chainer", "formats.links", "system.npz", *_CONVERT),
        "zip",
    ),
    "keras-h5": Reader(_convert("keras"), (*_KERAS, *_CONVERT), "h5"),
    "keras": Reader(_convert("keras"), (*_KERAS, *_CONVERT), "zip"),
    "qonnx": Reader(
        _convert("qonnx"),
        (*_QONNX, *_RULES, "formats.qonnx.operators", "formats.qonnx.weights"),
        "onnx",
    ),
    "brevitas": Reader(
        _convert("brevitas", "tfc-w1a1"),
        ("formats.brevitas.torch_file", "formats.brevitas.read", *_CONVERT),
        "zip",
    ),
    "pytorch": Reader(
        _convert("brevitas", _CONV),
        ("formats.brevitas.torch_file", "formats.brevitas.state", "formats.links", *_CONVERT),
        "zip",
    ),
    "original": Reader(_original, _ORIGINAL, "packed"),
    "original-whole": Reader(bnn_pynq.load, _ORIGINAL, "packed", 1 << 20, fuzzed=False),
    "original-folder": Reader(_original_folder, _ORIGINAL[:2]),
    "lstm": Reader(
        lambda path: building.program_of(reading.read_plain(path)),
        ("formats.lstm_pynq.reading", "formats.lstm_pynq.building", "data.files"),
        "packed",
    ),
    "lstm-fraktur": Reader(
        lambda path: building.program_of(reading.read_fraktur(path)),
        ("formats.lstm_pynq.reading", "formats.lstm_pynq.building", "system.npz"),
        "zip",
        1 << 20,
    ),
    "lines": Reader(_lines, ("formats.lstm_pynq.reading", "model.lines")),
    "idx": Reader(_idx, ("data.idx", "data.files"), "packed"),
    "cifar": Reader(_cifar, ("data.cifar", "data.tar", "data.files"), "packed"),
    "topology": Reader(topology.load, ("network.topology",)),
    "folding": Reader(lambda path: folding.read(path, _small_program()), ("hw.folding",)),
    "classes": Reader(read_classes, ("formats.bnn_pynq.reading",)),
    "session": Reader(Replay, ("driver.recorded",)),
    "driver": Reader(_driver, ("run.board", "driver.driver")),
    "picture": Reader(
        _picture,
        (
            "data.pictures.seen",
            "data.pictures.depth",
            "data.pictures.digits",
            "data.pictures.preprocess",
        ),
        "png",
    ),
}


class UnfitError(Exception):
    """A reader took too long or too much, or raised what is no BnnError."""


def attempt(reader: Reader, path: Path, size: int) -> bool:
    """Whether ``reader`` takes the file.

    Raises:
        UnfitError: it does worse than to refuse it.
    """
    # Of this input alone: a fuzzer's own changes of files, and its corpus, take memory too.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak is now's memory
    before = _peak()
    start = time.thread_time()  # of all processor's clocks the one that costs nothing to read
    taken = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BnnWarning)
            reader.read(path)
    except BnnError:
        taken = False
    except BaseException as reason:
        if isinstance(reason, KeyboardInterrupt):
            raise
        raise UnfitError(f"{type(reason).__name__}: {reason}") from reason
    seconds = time.thread_time() - start
    if seconds > MAX_SECONDS:
        raise UnfitError(f"took {seconds:.1f} s")
    grown = _peak() - before
    if grown > MAX_BYTES + size:
        raise UnfitError(f"took {grown >> 20} MiB")
    return taken


def _peak() -> int:
    """Return the largest memory of this process since its peak was reset, in bytes."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(text.split("VmHWM:")[1].split()[0]) << 10


def kept(name: str) -> list[Path]:
    """Seeds of a reader, and inputs that failed once."""
    folders = (SEEDS / name, FAILED / name)
    return sorted(path for folder in folders if folder.is_dir() for path in folder.iterdir())


def names() -> list[Any]:
    """Reader and file of everything that is replayed."""
    return [(name, path) for name in READERS for path in kept(name)]
