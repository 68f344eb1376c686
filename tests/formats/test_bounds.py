# SPDX-License-Identifier: BSD-3-Clause
"""Readers bound memory and time before they allocate or loop: hostile files of every kind."""

from __future__ import annotations

import hashlib
import io
import lzma
import os
import resource
import struct
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from bnn.data import cifar, idx, tar
from bnn.data.files import open_unpacked
from bnn.errors import BnnError, DataError, FormatError, NetworkError, ParameterError
from bnn.formats import bnn_pynq, stack
from bnn.formats.brevitas import torch_file
from bnn.formats.convert import Options, convert
from bnn.formats.qonnx import onnx_file
from bnn.network import topology
from bnn.system import archives, heaps, npz

SEEDS = Path(__file__).parents[1] / "fuzz" / "seeds"
CASES = Path(os.environ.get("BNN_CASES", "")) / "robustness"


@contextmanager
def bounded(seconds: float = 10.0, mib: int = 1024) -> Iterator[None]:
    """What is done inside takes at most so much of the processor, and so much memory more."""
    before, start = _peak(), time.process_time()
    yield
    assert time.process_time() - start < seconds
    assert _peak() - before < mib << 20


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def refused(call: Callable[[], object], *words: str) -> None:
    with bounded(), pytest.raises(BnnError) as caught:
        call()
    line = str(caught.value)
    assert "\n" not in line
    assert all(word in line for word in words), line


# --- the cases that failed once ------------------------------------------------------


@pytest.mark.skipif(not CASES.is_dir(), reason="BNN_CASES names no folder of cases")
@pytest.mark.parametrize(
    ("name", "stack", "word"),
    [
        ("stride-zero-tfc-w1a1.tar", "tfc-w1a1", "more than once"),
        ("node-without-input.onnx", None, ""),
        ("pads-of-wrong-type.onnx", None, ""),
    ],
)
def test_case(name: str, stack: str | None, word: str) -> None:
    refused(lambda: convert(CASES / name, None, Options(topology=stack)), name, word)


@pytest.mark.skipif(not CASES.is_dir(), reason="BNN_CASES names no folder of cases")
def test_case_of_equal_names(tmp_path: Path) -> None:
    path = tmp_path / "equal-names.onnx"
    path.write_bytes(lzma.decompress((CASES / "equal-names.onnx.xz").read_bytes()))
    refused(lambda: convert(path), "20000 nodes")


@pytest.mark.skipif(not CASES.is_dir(), reason="BNN_CASES names no folder of cases")
def test_case_of_a_huge_integer() -> None:
    refused(
        lambda: topology.load(CASES / "huge-integer.toml"),
        "huge-integer.toml",
        "a number has more than",
    )


# --- ONNX ----------------------------------------------------------------------------


def chain(path: Path, count: int, name: str = "n", order: int = 1) -> Path:
    """``count`` nodes of one name, each reading the one before, in any order."""
    nodes = [
        helper.make_node("Identity", [f"t{i}" if i else "x"], [f"t{i + 1}"], name)
        for i in range(count)
    ]
    nodes.append(helper.make_node("MatMul", [f"t{count}", "w"], ["y"], name))
    graph = helper.make_graph(
        nodes[::order],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
        [numpy_helper.from_array(np.ones((4, 3), np.float32), "w")],
    )
    onnx.save(helper.make_model(graph), path)
    return path


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("name", ["n", "", "n_2"])
def test_many_equal_names_in_any_order(name: str, order: int, tmp_path: Path) -> None:
    with bounded(5):
        graph = onnx_file.read(chain(tmp_path / "x.onnx", 2000, name, order))
    assert len({node.name for node in graph.nodes}) == 2001
    assert [node.inputs[0] for node in graph.nodes[1:3]] == ["t1", "t2"]
    refused(lambda: onnx_file.read(chain(tmp_path / "x.onnx", 9000)), "nodes")


def test_names_of_layers_are_found_at_once() -> None:
    with bounded(5):
        made = stack.Stack()
        names = {made.name("a") for _ in range(50_000)} | {made.name("a_2") for _ in range(9)}
    assert len(names) == 50_009


@pytest.mark.parametrize("piece", [b"\x0a\x00", b"\x2a\x00", b"\x0a\x02\x0a\x00"])
def test_messages_of_two_bytes_are_counted_before_objects_are_made(
    piece: bytes, tmp_path: Path
) -> None:
    body = piece * (1 << 20)  # empty nodes, constants, nodes with an input
    size, length = len(body), b""
    while size > 127:
        length, size = length + bytes([128 | size & 127]), size >> 7
    (tmp_path / "x.onnx").write_bytes(b"\x3a" + length + bytes([size]) + body)
    refused(lambda: onnx_file.read(tmp_path / "x.onnx"), "fields")


def external(folder: Path, count: int, shape: tuple[int, ...] = (8192, 4096), **where: str) -> Path:
    """A model of ``count`` constants that lie in another file."""
    graph = onnx.load(SEEDS / "qonnx" / "dense.onnx")
    for index in range(count):
        tensor = graph.graph.initializer.add(name=f"e{index}", data_type=1, dims=shape)
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in where.items():
            tensor.external_data.add(key=key, value=value)
    (folder / "x.onnx").write_bytes(graph.SerializeToString())
    return folder / "x.onnx"


def test_constants_elsewhere_are_bounded_together(tmp_path: Path) -> None:
    with (tmp_path / "data").open("wb") as file:
        file.truncate(1 << 27)
    path = external(tmp_path, 40, location="data")
    refused(lambda: onnx_file.read(path), "too large")


@pytest.mark.parametrize("right", [True, False])
def test_the_checksum_of_constants_elsewhere_is_compared(right: bool, tmp_path: Path) -> None:
    data = np.arange(64, dtype="<f4").tobytes()
    (tmp_path / "data").write_bytes(data)
    told = hashlib.sha1(data if right else data[1:]).hexdigest()
    path = external(tmp_path, 2, (64,), location="data", length="256", checksum=told)
    if right:
        assert np.array_equal(onnx_file.read(path).constants["e1"], np.arange(64))
    else:
        refused(lambda: onnx_file.read(path), "checksum")


@pytest.mark.parametrize(
    "where",
    [
        {"location": "../data"},
        {"location": "/etc/passwd"},
        {"location": "link"},
        {"location": "pipe"},
        {"location": "."},
        {"location": ""},
        {"location": "nul\0byte"},
        {"location": "here", "offset": "-5"},
        {"location": "here", "offset": "9" * 5000},
        {"location": "here", "offset": "99999999999"},
        {"location": "here", "offset": "x"},
        {"location": "here", "length": "3"},
        {"location": "missing"},
        {"location": "here", "basepath": "elsewhere"},
    ],
    ids=str,
)
def test_constants_elsewhere_stay_in_the_folder(where: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "data").write_bytes(bytes(1 << 10))
    (folder / "here").write_bytes(bytes(1 << 10))
    (folder / "link").symlink_to(tmp_path / "data")
    os.mkfifo(folder / "pipe")
    refused(lambda: onnx_file.read(external(folder, 1, **where)))


@pytest.mark.parametrize("kind", ["Relu", "Conv", "MatMul", "Quant", "MaxPool", "Reshape", "Add"])
def test_nodes_without_inputs(kind: str, tmp_path: Path) -> None:
    graph = onnx.load(SEEDS / "qonnx" / "conv.onnx")
    for node in graph.graph.node:
        if node.op_type == kind:
            del node.input[:]
    (tmp_path / "x.onnx").write_bytes(graph.SerializeToString())
    if any(node.op_type == kind for node in graph.graph.node):
        refused(lambda: convert(tmp_path / "x.onnx"), "x.onnx")


@pytest.mark.parametrize("name", ["kernel_shape", "pads", "strides", "signed", "epsilon"])
@pytest.mark.parametrize("value", [3, 0.5, "text", [1], [0.5, 2.0], ["a"]], ids=str)
def test_attributes_of_another_type(name: str, value: Any, tmp_path: Path) -> None:
    graph = onnx.load(SEEDS / "qonnx" / "conv.onnx")
    for node in graph.graph.node:
        for item in list(node.attribute):
            if item.name == name:
                node.attribute.remove(item)
                node.attribute.append(helper.make_attribute(name, value))
    (tmp_path / "x.onnx").write_bytes(graph.SerializeToString())
    with bounded():
        try:
            convert(tmp_path / "x.onnx")
        except BnnError as reason:
            assert "x.onnx" in str(reason)  # noqa: PT017 - a number in place of another is legal


def test_zeros_of_groups_and_dilation_are_bounded() -> None:
    wide = np.ones((1 << 14, 1, 1, 1), np.int16)
    refused(lambda: stack.grouped(wide, 1 << 14), "weights")
    refused(lambda: stack.dilated(np.ones((1, 2, 2, 1), np.int16), (1 << 30, 1)), "weights")


# --- PyTorch -------------------------------------------------------------------------


def checkpoint(path: Path, sizes: tuple[int, ...], steps: tuple[int, ...], count: int = 1) -> Path:
    """A checkpoint of ``count`` tensors over one storage of 64 numbers."""
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\n"
    tensor += b"X\x01\0\0\x000X\x03\0\0\0cpuK\x40tQK\0"
    for numbers in (sizes, steps):
        tensor += b"(" + b"".join(b"J" + struct.pack("<i", n) for n in numbers) + b"t"
    tensor += b"tR"
    names = [b"X\x06\0\0\0" + b"w%05d" % n for n in range(count)]
    program = b"\x80\x02}(" + b"".join(name + tensor for name in names) + b"u."
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", program)
        archive.writestr("m/data/0", np.arange(64, dtype=np.float32).tobytes())
    return path


@pytest.mark.parametrize(
    ("sizes", "steps"),
    [
        ((1 << 25,), (0,)),
        ((4, 1 << 20), (1, 0)),
        ((8, 8), (1, 1)),
        ((4, 4), (3, 1)),
        ((2, 2), (0, 1)),
    ],
)
def test_tensors_that_use_a_number_twice(
    sizes: tuple[int, ...], steps: tuple[int, ...], tmp_path: Path
) -> None:
    refused(lambda: torch_file.read(checkpoint(tmp_path / "x", sizes, steps, 40)), "more than once")


@pytest.mark.parametrize(
    ("sizes", "steps"),
    [
        ((8, 8), (8, 1)),
        ((8, 8), (1, 8)),
        ((4, 3), (16, 2)),
        ((1, 64), (0, 1)),
        ((), ()),
        ((0, 9), (0, 0)),
    ],
)
def test_tensors_in_any_order_of_their_axes(
    sizes: tuple[int, ...], steps: tuple[int, ...], tmp_path: Path
) -> None:
    held = torch_file.read(checkpoint(tmp_path / "x", sizes, steps))["w00000"]
    flat = np.arange(64, dtype=np.float32)
    wanted = np.lib.stride_tricks.as_strided(flat, sizes, [4 * step for step in steps])
    np.testing.assert_array_equal(held, wanted)


def test_many_tensors_over_one_storage(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setattr(archives, "MAX_UNPACKED_BYTES", 1 << 14)
    assert len(torch_file.read(checkpoint(tmp_path / "x", (64,), (1,), 60))) == 60
    refused(lambda: torch_file.read(checkpoint(tmp_path / "x", (64,), (1,), 70)), "together")


def test_keys_that_take_for_ever_to_be_hashed(tmp_path: Path) -> None:
    """A tuple of a tuple of a tuple, each twice: 2 to the 60 visits."""
    program = b"\x80\x02}(K\x01q\x00"
    for number in range(60):
        program += b"h%c\x86q%c" % (number, number + 1)  # the last and the one before it, as a pair
    program += b"K\x01u."
    with zipfile.ZipFile(tmp_path / "x", "w") as archive:
        archive.writestr("m/data.pkl", program)
    with bounded():
        assert torch_file.read(tmp_path / "x") == {}


# --- archives ------------------------------------------------------------------------


def test_zip_of_many_members(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        for number in range(60_000):
            archive.writestr(f"{number}.npy", b"")
    refused(lambda: npz.read(tmp_path / "x.npz"), "x.npz")
    refused(lambda: archives.members(tmp_path / "x.npz"), "x.npz")


def test_zip_bombs(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(100 << 20))
    refused(lambda: npz.read(tmp_path / "x.npz"), "unpacks to")
    refused(lambda: archives.member(tmp_path / "x.npz", "a.npy"), "unpacks to")


def test_zip_members_of_decoders_without_a_bound(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.npy", b"")
    refused(lambda: npz.read(tmp_path / "x.npz"), "unknown way")


def test_npy_with_a_long_header(tmp_path: Path) -> None:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b"1," * 400_000 + b")}"
    data = b"\x93NUMPY\x02\x00" + struct.pack("<I", len(header)) + header + bytes(4)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("a.npy", data)
    refused(lambda: npz.read(tmp_path / "x.npz"), "header")


@pytest.mark.parametrize("chunks", [None, (1 << 20,), (1 << 26,)])
def test_hdf5_of_huge_declared_arrays(chunks: Any, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for name in "abcd":
            file.create_dataset(name, (1 << 26,), "f8", chunks=chunks)
        file.attrs.create("big", np.zeros(1 << 10), dtype="f8")
    with archives.Hdf5(tmp_path / "x.h5") as file:
        refused(lambda: [file.array(name) for name in "abcd"], "x.h5")


def test_hdf5_of_many_names(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for number in range(archives.MAX_NAMES + 1):
            file.create_group(f"g/{number}")
    with archives.Hdf5(tmp_path / "x.h5") as file:
        refused(lambda: file.keys("g"), "names")


# --- tar and packed files ------------------------------------------------------------


def tarred(*members: tuple[str, bytes, bytes], size: int | None = None) -> bytes:
    """An archive of (name, kind, contents); ``size`` is what the last header says."""
    made = []
    for name, kind, data in members:
        info = tarfile.TarInfo(name)
        info.type, info.size = kind, len(data) if size is None else size
        made += [info.tobuf(tarfile.USTAR_FORMAT), data, bytes(-len(data) % 512)]
    return b"".join([*made, bytes(1024)])


def contents(data: bytes, limit: int = 1 << 20) -> dict[str, bytes]:
    with open_unpacked(data) as stream:
        return dict(tar.members(stream, lambda _: True, limit))


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("name", ["a", "b" * 90 + "/" + "c" * 90, "ä" * 45, "d/" * 40 + "e"])
def test_names_as_tarfile_writes_them(form: int, name: str) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        member = tarfile.TarInfo(name)
        member.size, member.mtime = 3, 1.5  # type: ignore[assignment]  # a pax header for each
        archive.addfile(member, io.BytesIO(b"abc"))
        archive.addfile(tarfile.TarInfo("last"))
    assert contents(buffer.getvalue()) == {name: b"abc", "last": b""}


@pytest.mark.parametrize(
    "data",
    [
        tarred(("x", b"x", b"0" * (1 << 20))),  # an extended header of a million digits
        tarred(("x", b"L", b""), size=(1 << 33) - 1),
        tarred(*[("x", b"x", b"9 a=bcd\n\n")] * 9),
        tarred(*[("x", b"x", b"")] * 9),  # headers in a row
        tarred(("x", b"0", b""), size=(1 << 33) - 512),
        tarred(("x", b"x", b"99 path=x\n")),
        b"\xff" * 512,
        b"",
        tarred(("a", b"0", b"abc"))[:700],
    ],
    ids=lambda data: f"{len(data)} bytes",
)
def test_hostile_tars(data: bytes) -> None:
    refused(lambda: contents(data), "tar archive")


def test_a_tar_of_many_members(monkeypatch: Any) -> None:
    monkeypatch.setattr(tar, "_MAX_MEMBERS", 100)
    refused(lambda: contents(tarred(*[(f"{n}", b"0", b"") for n in range(101)])), "100 members")


def test_sparse_members_are_no_files() -> None:
    assert contents(tarred(("x", b"S", b"abc"), ("z", b"0", b"1"))) == {"z": b"1"}


def test_a_bomb_of_a_parameter_set(tmp_path: Path) -> None:
    data = tarred(("a/0-0-weights.bin", b"0", bytes(80 << 20)))
    (tmp_path / "x.tar.xz").write_bytes(lzma.compress(data, preset=0))
    refused(lambda: bnn_pynq.load(tmp_path / "x.tar.xz"), "x.tar.xz")


def test_bombs_are_bounded_by_their_own_size(tmp_path: Path) -> None:
    (tmp_path / "x.xz").write_bytes(lzma.compress(bytes(80 << 20), preset=0))
    refused(lambda: cifar.read_records(tmp_path / "x.xz"), "when unpacked")
    head = b"\0\0\x08\x03" + struct.pack(">3i", 10_000, 100, 80)
    (tmp_path / "y.xz").write_bytes(lzma.compress(head + bytes(80_000_000), preset=0))
    refused(lambda: idx.read_images(tmp_path / "y.xz"), "when unpacked")


def test_gz_headers_without_end_and_empty_streams() -> None:
    import gzip

    refused(lambda: contents(b"\x1f\x8b\x08\x08" + bytes(6) + b"n" * (4 << 20)), "<bytes>")
    refused(lambda: contents(gzip.compress(b"") * 100_000), "<bytes>")


@pytest.mark.parametrize("name", ["gzip", "lzma", "bz2"])
def test_streams_one_after_the_other(name: str) -> None:
    pack = __import__(name).compress
    with open_unpacked(pack(b"one") + bytes(8) + pack(b"") + pack(b"two")) as file:
        assert file.read() == b"onetwo"
    with pytest.raises(DataError, match="bytes follow"), open_unpacked(pack(b"1") + b"no") as file:
        file.read()


@pytest.mark.parametrize("name", ["gzip", "lzma", "bz2"])
def test_as_many_streams_as_a_packed_file_may_have(name: str) -> None:
    empty = __import__(name).compress(b"")
    with open_unpacked(empty * 4096) as file:
        assert file.read() == b""
    with pytest.raises(DataError, match="4096 packed"), open_unpacked(empty * 4097) as file:
        file.read()


# --- TOML ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "1" * 5000,
        "x = " + "[" * 100_000,
        "a." * 200_000 + "b = 1",
        "[" + "a." * 200_000 + "b]",
        'input = "' + "9" * 5000 + '"',
    ],
    ids=lambda text: text[:8],
)
def test_hostile_toml(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(text)
    refused(lambda: topology.load(tmp_path / "x.toml"), "x.toml")


def test_errors_are_of_the_formats(tmp_path: Path) -> None:
    """The one class that each reader documents."""
    for call, kind in (
        (topology.load, NetworkError),
        (npz.read, ParameterError),
        (archives.members, FormatError),
        (onnx_file.read, FormatError),
        (idx.read_images, DataError),
    ):
        (tmp_path / "x").write_bytes(b"\xff\xfe")
        with pytest.raises(kind):
            call(tmp_path / "x")
    assert sys.version_info >= (3, 10)


# --- heaps of HDF5 that lead nowhere -------------------------------------------------


@pytest.mark.parametrize("index", [0, 1, 65535])
@pytest.mark.parametrize("size", [0, 8, 24, 1 << 12, 1 << 63, (1 << 64) - 16, (1 << 64) - 32])
@pytest.mark.parametrize("which", [0, 1])
def test_a_heap_without_end_is_refused(index: int, size: int, which: int, tmp_path: Path) -> None:
    """Each file is read to its end or refused, at every place where an object is."""
    data = bytearray((SEEDS / "keras-h5" / "larq.h5").read_bytes())
    assert heaps.ends(bytes(data))
    start = [at for at in range(len(data)) if data[at : at + 4] == b"GCOL"][which]
    struct.pack_into("<HHIQ", data, start + 16, index, 0, 0, size)
    path = tmp_path / "x.h5"
    path.write_bytes(data)
    if size >= 1 << 63 or (index, size) == (0, 0):
        refused(lambda: convert(path, "keras"), "has no end")
    else:
        with bounded(), suppress(BnnError):
            convert(path, "keras")


@pytest.mark.parametrize("inside", [True, False])
def test_heaps_are_looked_at_before_the_library_opens_a_file(
    inside: bool, tmp_path: Path, monkeypatch: Any
) -> None:
    """The library would not come back from one without an end."""
    import h5py

    opened: list[object] = []
    monkeypatch.setattr(h5py, "File", lambda *given, **_: opened.append(given[0]))
    whole = (SEEDS / "keras-h5" / "larq.h5").read_bytes()
    data = bytearray(whole)
    start = data.index(b"GCOL")
    struct.pack_into("<HHIQ", data, start + 16, 0, 0, 0, 0)
    path = tmp_path / "x.h5"
    path.write_bytes(data)
    with pytest.raises(FormatError, match="has no end"):
        archives.Hdf5(path, bytes(data) if inside else None)
    assert not opened
    path.write_bytes(whole)
    archives.Hdf5(path, whole if inside else None)
    assert len(opened) == 1


def test_sizes_of_other_widths_are_refused() -> None:
    data = bytearray((SEEDS / "keras-h5" / "larq.h5").read_bytes())
    data[14 if data[8] < 2 else 10] = 4
    assert not heaps.ends(bytes(data))
    many = b"GCOL\x01\0\0\0" + (1 << 40).to_bytes(8, "little")
    many += struct.pack("<HHIQ", 1, 0, 0, 0) * (heaps.MAX_OBJECTS + 1)
    with bounded():
        assert not heaps.ends(many)
