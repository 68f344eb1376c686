# SPDX-License-Identifier: BSD-3-Clause
"""Values packed into stream words: value i of a word takes bits ``[i * bits, (i + 1) * bits)``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def pack(codes: Iterable[int], bits: int) -> int:
    """Return one word made of ``codes``; the first code has the lowest bits."""
    word = 0
    for place, code in enumerate(codes):
        word |= int(code) << (place * bits)
    return word


def unpack(word: int, bits: int, count: int) -> list[int]:
    """Return the ``count`` codes of ``bits`` bits in a word, the lowest bits first."""
    mask = (1 << bits) - 1
    return [word >> (place * bits) & mask for place in range(count)]


def pack_rows(codes: NDArray[Any], bits: int) -> list[int]:
    """Return n words, one made of each row of ``codes`` (n, lanes)."""
    lanes = codes.shape[1]
    planes = (codes[:, :, None].astype(np.int64) >> np.arange(bits)) & 1
    packed = np.packbits(
        planes.reshape(len(codes), lanes * bits).astype(np.uint8), axis=1, bitorder="little"
    )
    return [int.from_bytes(row.tobytes(), "little") for row in packed]


def unpack_rows(words: Sequence[int], bits: int, lanes: int) -> NDArray[np.int64]:
    """Return the codes (n, lanes) in n words."""
    size = (bits * lanes + 7) // 8
    raw = np.frombuffer(b"".join(word.to_bytes(size, "little") for word in words), np.uint8)
    planes = np.unpackbits(raw.reshape(len(words), size), axis=1, bitorder="little")
    planes = planes[:, : bits * lanes].reshape(len(words), lanes, bits)
    codes: NDArray[np.int64] = planes.astype(np.int64) @ (1 << np.arange(bits, dtype=np.int64))
    return codes
