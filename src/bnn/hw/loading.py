# SPDX-License-Identifier: BSD-3-Clause
"""The register writes that load a design's parameters, and the design's metadata."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.errors import DriverError
from bnn.hw.design import Design
from bnn.hw.registers import parameter_target
from bnn.hw.render import Sources, memories

#: Loads of one memory: (value of PARAMETER_TARGET, data words).
Loads = Iterable[tuple[int, NDArray[np.uint32]]]


@dataclass(frozen=True)
class Metadata:
    """Properties of a design that the driver needs; ``bnn build`` writes them to a file.

    Attributes:
        design_id: value that the register with the design's identity must have.
        words_in, words_out: 64-bit words that one image and one result need.
        parameter_writes: number of register writes that load all parameters; 0 if parameters are
            constants.
        probes: names of the streams with a probe, in the order of the probes' numbers; empty if
            there are no probes.
        input: how images are stored (:mod:`bnn.hw.memory_layout`): ``bytes`` or ``packed``.
        bytes_in: bytes from one image to the next; 0: those of ``words_in`` words.
        output: how results are stored: ``int32`` or ``packed``.
    """

    design_id: int
    words_in: int
    words_out: int
    parameter_writes: int
    probes: tuple[str, ...] = ()
    input: str = "packed"
    bytes_in: int = 0
    output: str = "packed"

    @property
    def image_bytes(self) -> int:
        """Bytes from one image to the next."""
        return self.bytes_in or 8 * self.words_in

    def input_words(self, images: int) -> int:
        """Return how many 64-bit words ``images`` images need; the last one may be partial."""
        return -(-images * self.image_bytes // 8)

    def as_json(self) -> dict[str, Any]:
        """Return the metadata as plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Any) -> Metadata:
        """Return the metadata from values of :meth:`as_json`; DriverError if a value is wrong."""
        try:
            numbers = [
                values[n] for n in ("design_id", "words_in", "words_out", "parameter_writes")
            ]
            probes = tuple(values["probes"])
            # Folders that earlier versions built do not have these keys: all is packed.
            results = values.get("output", "packed")
            stored, numbers = values.get("input", "packed"), [*numbers, values.get("bytes_in", 0)]
        except KeyError as reason:
            raise DriverError(f"driver metadata: {reason} is missing") from reason
        except (TypeError, AttributeError):
            raise DriverError(
                "driver metadata must be a JSON object, and its probes a list of names"
            ) from None
        if not all(type(n) is int and 0 <= n < 1 << 32 for n in numbers):
            raise DriverError(
                "driver metadata: design_id, words_in, words_out, parameter_writes and bytes_in "
                "must be whole numbers of 32 bits"
            )
        if not all(isinstance(name, str) for name in probes):
            raise DriverError("driver metadata: probes must be a list of names")
        if stored not in ("bytes", "packed"):
            raise DriverError(f"driver metadata: input must be bytes or packed, not {stored!r:.40}")
        if results not in ("int32", "packed"):
            raise DriverError(f"driver metadata: output must be int32 or packed: {results!r:.40}")
        design, words_in, words_out, writes, bytes_in = numbers
        if bytes_in > 0 if stored == "packed" else -(-bytes_in // 8) != words_in:
            raise DriverError(
                f"driver metadata: bytes_in {bytes_in} does not fit input {stored} and words_in "
                f"{words_in}"
            )
        return cls(design, words_in, words_out, writes, probes, stored, bytes_in, results)


def loads(design: Design) -> Iterator[tuple[int, NDArray[np.uint32]]]:
    """Yield (target, data) for each 32-bit slice of each parameter memory.

    ``target`` is the value of PARAMETER_TARGET, ``data`` are the values to write to PARAMETER_DATA.
    If the design's parameters are constants in the circuit, nothing is yielded.
    """
    if not design.folding.loadable:
        return
    for instance in design.instances:
        if instance.unit is None:
            continue
        for kind, (words, bits) in enumerate(memories(design, instance.name)):
            if not words:
                continue
            data = chunked(words, bits)
            chunks = data.shape[1]
            for item in range(data.shape[0] * chunks):
                target = parameter_target(instance.unit, bool(kind), item)
                yield target, np.ascontiguousarray(data[item // chunks, item % chunks])


def parameter_fingerprint(data: Loads) -> int:
    """Return the number that identifies parameters in PARAMETER_ID; never 0.

    It is 32 bits of the SHA-256 of all loads, or 1 if these are 0.
    """
    hasher = hashlib.sha256()
    for target, words in data:
        kept = np.ascontiguousarray(words, "<u4")
        hasher.update(target.to_bytes(4, "little") + len(kept).to_bytes(8, "little"))
        hasher.update(kept.tobytes())
    return int.from_bytes(hasher.digest()[:4], "big") or 1


def metadata(design: Design, sources: Sources) -> Metadata:
    """Return the driver's metadata of ``design``."""
    return Metadata(
        sources.design_id,
        design.source.memory_words,
        design.target.memory_words,
        sources.parameter_writes,
        design.probes,
        design.input,
        design.source.image_bytes if design.input == "bytes" else 0,
        design.output,
    )


def chunked(words: Sequence[Sequence[int]], bits: int) -> NDArray[np.uint32]:
    """Return the parameter words [fold][PE] as 32-bit chunks, uint32 (PE, chunks, folds).

    ``bits``: width of a word; its lowest 32 bits are chunk 0.
    """
    chunks = -(-bits // 32)
    size = 4 * chunks
    raw = b"".join(word.to_bytes(size, "little") for row in words for word in row)
    data = np.frombuffer(raw, "<u4").reshape(len(words), len(words[0]), chunks)
    return data.transpose(1, 2, 0)
