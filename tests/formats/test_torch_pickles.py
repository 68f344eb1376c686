# SPDX-License-Identifier: BSD-3-Clause
"""Pickles are read as Python reads them, and tensors as NumPy's own strides say."""

from __future__ import annotations

import itertools
import pickle  # noqa: TID251 (only written here, and read by the package)
from typing import Any

import numpy as np
import pytest

from bnn.formats.brevitas import torch_file
from bnn.formats.brevitas.torch_file import Inert, _OverlapError, _Program

PLAIN = [
    {},
    [],
    (),
    None,
    True,
    False,
    0,
    -1,
    255,
    256,
    65535,
    65536,
    1 << 40,
    -(1 << 40),
    1.5,
    "text",
    "é" * 300,
    b"bytes",
    (1,),
    (1, 2),
    (1, 2, 3),
    (1, 2, 3, 4),
    [1],
    [1, 2, [3, (4, {"five": 5})]],
    {"a": 1},
    {"a": 1, "b": [2, 3], 7: None},
    {"one": {"two": {"three": (True, False, None)}}},
    [{}, [], ()],
]


def result(program: bytes) -> Any:
    return _Program(lambda key: np.arange(int(key), dtype=np.float32).tobytes()).result(program)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_plain_values(protocol: int, value: Any) -> None:
    if isinstance(value, bytes) and protocol < 3:
        return  # a call of a codec
    for pickler in (pickle.dumps, pickle._dumps):  # type: ignore[attr-defined]
        found = result(pickler(value, protocol))
        assert found == value
        assert type(found) is type(value)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_what_is_there_twice(protocol: int) -> None:
    one = [1]
    found = result(pickle.dumps({"a": one, "b": one, "c": (one, one)}, protocol))
    assert found == {"a": [1], "b": [1], "c": ([1], [1])}


def test_more_items_than_a_batch_of_a_pickle() -> None:
    many = {str(i): i for i in range(2500)}
    assert result(pickle.dumps(many, 2)) == many
    assert result(pickle.dumps(list(many), 2)) == list(many)


@pytest.mark.parametrize(
    "program",
    [b"", b"\x80\x02", b"\x80\x02N", b"\x80\x02t.", b"\x80\x02(Nt", b"\x80\x02Nu.", b"\x80\x02R."],
)
def test_programs_that_do_not_end(program: bytes) -> None:
    with pytest.raises((ValueError, IndexError, TypeError)):
        result(program)


def test_the_longest_program(monkeypatch: pytest.MonkeyPatch) -> None:
    program = pickle.dumps([1, 2, 3], 2)
    count = len(list(torch_file.pickletools.genops(program)))
    monkeypatch.setattr(torch_file, "MAX_OPCODES", count - 1)
    assert result(program) == [1, 2, 3]
    monkeypatch.setattr(torch_file, "MAX_OPCODES", count - 2)
    with pytest.raises(ValueError):  # noqa: PT011 (it has no message)
        result(program)


def test_nothing_is_called() -> None:
    """Calls of what is not known become a thing without effect; the rest of the file is read."""
    for kind in (b"cos\nsystem\n", b"cbuiltins\neval\n", b"cmine\nKind\n"):
        found = result(b"\x80\x02" + kind + b"X\x01\0\0\0a\x85R.")
        assert isinstance(found, Inert)
    made = result(b"\x80\x02ccollections\nOrderedDict\n)R(X\x01\0\0\0aK\x05u}b.")
    assert made == {"a": 5}


def text(value: str) -> bytes:
    return b"X" + len(value.encode()).to_bytes(4, "little") + value.encode()


def numbers(values: Any) -> bytes:
    return b"(" + b"".join(b"J" + int(n).to_bytes(4, "little", signed=True) for n in values) + b"t"


def tensor(
    count: int, offset: int, shape: Any, stride: Any, kind: str = "FloatStorage", view: bytes = b""
) -> bytes:
    """A pickle of a tensor over the numbers 0 to count - 1."""
    storage = b"(" + text("storage") + b"ctorch\n" + kind.encode() + b"\n" + text(str(count))
    storage += text("cpu") + b"J" + count.to_bytes(4, "little") + view + b"tQ"
    call = b"J" + offset.to_bytes(4, "little", signed=True) + numbers(shape) + numbers(stride)
    return b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + storage + call + b"tR."


SHAPES = [(), (1,), (4,), (2, 3), (3, 1, 2), (0,), (2, 0)]


@pytest.mark.parametrize(("shape", "offset"), list(itertools.product(SHAPES, (0, 1, 5))))
def test_tensors_of_any_order(shape: tuple[int, ...], offset: int) -> None:
    for order in itertools.permutations(range(len(shape))):
        stride, step = [0] * len(shape), 1
        for axis in order:
            stride[axis] = step
            step *= max(shape[axis], 1)
        size = max(1, int(np.prod(shape)))
        flat = np.arange(offset + size, dtype=np.float32)
        found = result(tensor(len(flat), offset, shape, stride))
        expected = np.lib.stride_tricks.as_strided(flat[offset:], shape, [4 * n for n in stride])
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == np.float32
        if np.prod(shape) and len(flat) > 1:
            with pytest.raises(ValueError):  # noqa: PT011 (its storage has a number less)
                result(tensor(len(flat) - 1, offset, shape, stride))


def test_a_tensor_with_gaps() -> None:
    assert result(tensor(9, 1, (2, 2), (5, 2))).tolist() == [[1, 3], [6, 8]]
    with pytest.raises(ValueError):  # noqa: PT011
        result(tensor(8, 1, (2, 2), (5, 2)))


@pytest.mark.parametrize(
    ("shape", "stride", "fits"),
    [
        ((2, 2), (2, 1), True),
        ((2, 2), (1, 1), False),
        ((2, 3), (2, 1), False),
        ((2, 3), (3, 1), True),
        ((4,), (0,), False),
        ((1,), (0,), True),
        ((1, 4), (0, 1), True),
        ((2, 2, 2), (4, 2, 1), True),
        ((2, 2, 2), (3, 2, 1), False),
    ],
)
def test_numbers_are_used_once(shape: Any, stride: Any, fits: bool) -> None:
    if fits:
        result(tensor(20, 0, shape, stride))
        return
    with pytest.raises(_OverlapError, match="more than once"):
        result(tensor(20, 0, shape, stride))


@pytest.mark.parametrize(
    ("offset", "shape", "stride"),
    [(-1, (2,), (1,)), (0, (-2,), (1,)), (0, (2,), (-1,)), (0, (2,), (1, 1)), (0, (2, 1), (1,))],
)
def test_sizes_that_are_none(offset: int, shape: Any, stride: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (the reader of the file gives the message)
        result(tensor(20, offset, shape, stride))


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("FloatStorage", "float32"),
        ("DoubleStorage", "float64"),
        ("HalfStorage", "float16"),
        ("LongStorage", "int64"),
        ("IntStorage", "int32"),
        ("ShortStorage", "int16"),
        ("CharStorage", "int8"),
        ("ByteStorage", "uint8"),
        ("BoolStorage", "bool"),
    ],
)
def test_kinds_of_numbers(kind: str, dtype: str) -> None:
    wide = np.dtype(dtype).itemsize
    found = _Program(lambda _: bytes(range(8 * wide))).result(tensor(8, 0, (8,), (1,), kind))
    np.testing.assert_array_equal(found, np.frombuffer(bytes(range(8 * wide)), dtype))


def test_a_kind_that_is_not_known_is_passed_over() -> None:
    assert isinstance(result(tensor(4, 0, (4,), (1,), "ComplexFloatStorage")), Inert)


def test_a_part_of_another_storage_is_refused() -> None:
    assert result(tensor(4, 0, (4,), (1,), view=b"N")).tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError):  # noqa: PT011
        result(tensor(4, 0, (4,), (1,), view=b"K\x01"))
