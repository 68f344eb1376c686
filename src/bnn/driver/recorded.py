# SPDX-License-Identifier: BSD-3-Clause
"""Sessions: what a driver writes to an accelerator and reads from it, recorded and replayed.

A recording is JSON lines, one for each read, write, allocation, copy and wait. Replaying it checks
that the driver does exactly the same again; so a session with a board can be tested without one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.driver.transport import Buffer, Transport
from bnn.errors import DriverError
from bnn.system.files import parse_json, read_file, write_whole

#: Most bytes of a recording.
MAX_FILE_BYTES = 1 << 28

Event = list[Any]


class RecordedBuffer:
    """A buffer that reports its copies to the session, which records or replays them.

    Attributes:
        address: address of its first byte.
        words: its contents, uint64.
    """

    def __init__(self, session: Recorder | Replay, number: int, address: int, words: Any) -> None:
        self._session = session
        self._number = number
        self.address = address
        self.words: NDArray[np.uint64] = words

    def flush(self) -> None:
        """Tell the session that the host has written the buffer."""
        self._session.flush(self._number, self.words)

    def invalidate(self) -> None:
        """Tell the session that the host will read what the accelerator wrote."""
        self._session.invalidate(self._number, self.words)

    def release(self) -> None:
        """Tell the session that the host no longer needs the buffer."""
        self._session.release(self._number)


class Recorder:
    """A transport that passes every call to another transport, and records the session."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._buffers: list[Buffer] = []
        self.events: list[Event] = []
        self.largest = transport.largest

    def save(self, path: Path) -> None:
        """Write the recording to the file ``path``."""
        lines = [json.dumps(["largest", self.largest]), *map(json.dumps, self.events)]
        write_whole(path, ("\n".join(lines) + "\n").encode(), DriverError)

    def begin(self, cycles: int | None) -> None:
        self._transport.begin(cycles)

    def end(self, well: bool, buffers: Sequence[Buffer] = ()) -> None:
        self._transport.end(well, buffers)

    def forked(self) -> None:
        self._transport.forked()

    def known(self) -> bool:
        return self._transport.known()

    def configure(self) -> bool:
        return self._transport.configure()

    def read(self, offset: int) -> int:
        value = self._transport.read(offset)
        self.events.append(["read", offset, value])
        return value

    def write(self, offset: int, value: int) -> None:
        self.events.append(["write", offset, value])
        self._transport.write(offset, value)

    def write_many(self, offset: int, values: NDArray[np.uint32] | Sequence[int]) -> None:
        self.events.append(["write_many", offset, [int(value) for value in values]])
        self._transport.write_many(offset, values)

    def allocate(self, words: int) -> RecordedBuffer:
        return self._taken(words, self._transport.allocate(words))

    def _taken(self, words: int, buffer: Buffer) -> RecordedBuffer:
        self._buffers.append(buffer)
        self.events.append(["allocate", words, buffer.address])
        return RecordedBuffer(self, len(self._buffers) - 1, buffer.address, buffer.words)

    def lend(self, words: int) -> RecordedBuffer:
        return self._taken(words, self._transport.lend(words))

    def flush(self, number: int, words: NDArray[np.uint64]) -> None:
        self._buffers[number].flush()
        self.events.append(["flush", number, words.tolist()])

    def invalidate(self, number: int, words: NDArray[np.uint64]) -> None:
        self._buffers[number].invalidate()
        self.events.append(["invalidate", number, words.tolist()])

    def release(self, number: int) -> None:
        self._buffers[number].release()

    def wait(self) -> bool:
        came = self._transport.wait()
        self.events.append(["wait", came])
        return came

    def now(self) -> dict[str, Any]:
        return self._transport.now()


class Replay:
    """A transport that answers from a recording; a call that is not the recorded one is an error.

    Raises:
        DriverError: the file cannot be read, or is not a recorded session.
    """

    def __init__(self, path: Path) -> None:
        try:
            lines = read_file(path, MAX_FILE_BYTES, DriverError).decode().splitlines()
            events = [parse_json(line) for line in lines]
            self.largest = int(events[0][1])
        except (OSError, ValueError, LookupError, TypeError) as reason:
            raise DriverError(f"{path}: is not a recorded session ({reason})") from reason
        self._events = iter(events[1:])
        self._count = 0
        self._buffers = 0

    def _next(self, *said: Any) -> Event:
        """Return the next event of the recording; DriverError unless it begins with ``said``."""
        event = next(self._events, ["end"])
        self._count += 1
        if event[: len(said)] != list(said):
            raise DriverError(
                f"event {self._count}: the driver calls {list(said)} instead of the recorded "
                f"{event[: len(said)]}"
            )
        return list(event)

    def finished(self) -> bool:
        """Return whether the whole session was replayed."""
        return next(self._events, None) is None

    def begin(self, cycles: int | None) -> None:
        """Do nothing: only one driver uses a recording."""

    def end(self, well: bool, buffers: Sequence[Buffer] = ()) -> None:
        """Do nothing: a recording has no state to release."""

    def forked(self) -> None:
        """Do nothing: a recording has no state to release."""

    def known(self) -> bool:
        """Return True: a recording has registers at any time."""
        return True

    def configure(self) -> bool:
        """Return False: a recording cannot be configured."""
        return False

    def release(self, number: int) -> None:
        """Do nothing: a recording has no state to release."""

    def read(self, offset: int) -> int:
        return int(self._next("read", offset)[2])

    def write(self, offset: int, value: int) -> None:
        self._next("write", offset, value)

    def write_many(self, offset: int, values: NDArray[np.uint32] | Sequence[int]) -> None:
        self._next("write_many", offset, [int(value) for value in values])

    def allocate(self, words: int) -> RecordedBuffer:
        address = int(self._next("allocate", words)[2])
        self._buffers += 1
        return RecordedBuffer(self, self._buffers - 1, address, np.zeros(words, np.uint64))

    def lend(self, words: int) -> RecordedBuffer:
        return self.allocate(words)

    def flush(self, number: int, words: NDArray[np.uint64]) -> None:
        self._next("flush", number, words.tolist())

    def invalidate(self, number: int, words: NDArray[np.uint64]) -> None:
        words[:] = np.array(self._next("invalidate", number)[2], np.uint64)

    def wait(self) -> bool:
        return bool(self._next("wait")[1])

    def now(self) -> dict[str, Any]:
        return {"event": self._count}
