# SPDX-License-Identifier: BSD-3-Clause
"""Only one process at a time may work in a run's folder."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bnn.errors import TrainError

LOCK = "run.lock"
#: Error numbers of file systems without locks.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Lock ``folder`` for this process; the lock also ends when the process is killed.

    The other processes that Lightning starts for the same run do not lock the folder again.
    Windows has no such lock.

    Raises:
        TrainError: another process has locked the folder, or it cannot be locked.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    if os.environ.get("LOCAL_RANK", "0") != "0":
        yield
        return
    try:
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as reason:
        raise TrainError(f"{folder}: cannot be written: {reason.strerror}") from reason
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrainError(_taken(folder, handle)) from None
        except OSError as reason:
            if reason.errno not in _NO_LOCKS:
                raise TrainError(f"{folder}: cannot be locked: {reason.strerror}") from reason
        with suppress(OSError):  # the number is for the message only
            os.ftruncate(handle, 0)
            os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)


def _taken(folder: Path, handle: int) -> str:
    number = os.pread(handle, 20, 0).decode("ascii", "replace")
    who = f"process {number}" if number.isdecimal() else "another process"
    return f"{folder}: {who} is using it; wait until it ends, or train into another folder"
