# SPDX-License-Identifier: BSD-3-Clause
"""The board's chip: which process owns it, calls of PYNQ, PYNQ's errors as errors of this package.

One process owns the chip, from its first board classifier until its last board classifier is
deleted. A lock file contains the number of this process. The lock file is in ``/run``, so that
processes with different cache folders find the same file; if ``/run`` cannot be written, it is in
the cache folder. All classifiers of the process share the chip.
"""

from __future__ import annotations

import importlib
import math
import os
import re
import threading
import time
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bnn.driver.pool import Pool, on_one_line
from bnn.driver.turn import Turn
from bnn.errors import BnnError, BnnWarning, DriverError, RuntimeUnavailableError
from bnn.system import cache

#: The lock file's name.
LOCK = "board.lock"
#: Folder of the lock file, if this process may write to it (PYNQ needs root); else the cache.
MACHINE = Path("/run")
#: Seconds to wait for another process to end.
LOCK_TIMEOUT_S = 3.0
_NEEDED = "bnn needs PYNQ 3.0 or later (Python 3.10): write a newer image to the board's card"
#: Share by which a clock may exceed the requested clock: PYNQ returns a rounded number.
_CLOCK_TOLERANCE = 0.001
#: PYNQ sets the nearest clock that its dividers make. If it is too high for the design, lower
#: clocks are requested, in steps of this share, down to half of the clock.
_CLOCK_STEP = 0.01


class Ownership:
    """This process' lock on the lock file, which shows other processes that the chip is in use.

    The lock is released when this object is deleted: after the last :class:`Chip` that has it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._take()

    def _take(self) -> None:
        path = self.path
        end = time.monotonic() + LOCK_TIMEOUT_S
        while (lock := cache.lock_file(path, wait=False)) is None and time.monotonic() < end:
            time.sleep(0.05)  # a process that ends gives it back in a moment
        if lock is None:
            raise DriverError(
                f"{path}: another process{_holder(path)} uses the board's chip: "
                "end it, or shut down its notebook"
            )
        with suppress(OSError):
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        self.lock = lock
        self.close = weakref.finalize(self, os.close, lock)

    def is_kept(self) -> bool:
        """Return whether the lock file is still the one that this process locked."""
        try:
            return os.path.samestat(os.fstat(self.lock), self.path.stat())
        except OSError:
            return False

    def take_again(self) -> None:
        """Make a new lock file and lock it, after somebody deleted the old lock file.

        Raises:
            DriverError: another process was faster, and owns the chip now.
        """
        before = self.close
        if self.path.parent != MACHINE:
            cache.folder()  # it may be deleted, too
        self._take()
        before()


def _holder(path: Path) -> str:
    try:
        return f" ({int(path.read_text())})"
    except (OSError, ValueError):
        return ""


_ownerships: weakref.WeakValueDictionary[Path, Ownership] = weakref.WeakValueDictionary()
_current: list[weakref.ref[Chip]] = []
#: In a forked process: what belongs to the parent and must not be given back by the child.
_parents: list[Any] = []
#: Pools of deleted chips with buffers that the accelerator may still write to.
_left: list[Pool] = []
#: Two threads that ask for the chip at once get the same one.
_one = threading.RLock()


def _forked() -> None:
    """In a forked process, close the copy of the lock, and never free the parent's buffers."""
    global _one
    _one = threading.RLock()
    for ownership in list(_ownerships.values()):
        if ownership.close.detach() is not None:
            with suppress(OSError):
                os.close(ownership.lock)
        _parents.append(ownership)
    _ownerships.clear()
    for reference in _current:
        if (chip := reference()) is not None:
            chip.pool_closer.detach()
            _parents.append(chip)
    _current.clear()
    _parents.extend(_left)
    _left.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def the_chip() -> Chip:
    """Return the chip of this board, owned by this process from now on.

    Raises:
        RuntimeUnavailableError: this is not a PYNQ board, or its image is too old.
        DriverError: another process owns the chip.
        CacheError: the lock file cannot be made.
    """
    pynq, clocks = _pynq()
    with _one:
        return _find_chip(pynq, clocks)


def _find_chip(pynq: Any, clocks: Any) -> Chip:
    for reference in _current:
        chip = reference()
        if chip is not None and chip.pynq is pynq and chip.process == os.getpid():
            return chip
    path = _lock_path()
    ownership = _ownerships.get(path)
    if ownership is None:
        ownership = _ownerships[path] = Ownership(path)
    chip = Chip(pynq, clocks, ownership)
    _current[:] = [weakref.ref(chip)]
    return chip


def _lock_path() -> Path:
    if os.access(MACHINE, os.W_OK):
        return MACHINE / f"bnn-{LOCK}"
    return cache.folder() / LOCK


def _pynq() -> tuple[Any, Any]:
    """Return the module ``pynq`` and the class ``pynq.ps.Clocks``."""
    try:
        pynq = importlib.import_module("pynq")
    except ModuleNotFoundError as reason:
        if reason.name == "pynq":
            raise RuntimeUnavailableError(
                "the board runtime needs a PYNQ board: the package pynq is not installed"
            ) from reason
        raise translated(reason, "the package pynq cannot be imported") from reason
    except Exception as reason:
        raise translated(reason, "the package pynq cannot be imported") from reason
    _has(pynq, pynq, "allocate", "Bitstream", "MMIO")
    try:
        ps = importlib.import_module("pynq.ps")
    except Exception as reason:
        raise translated(reason, "the package pynq.ps cannot be imported") from reason
    _has(pynq, ps, "Clocks")
    return pynq, ps.Clocks


def _has(pynq: Any, module: Any, *names: str) -> None:
    for name in names:
        if not hasattr(module, name):
            version = getattr(pynq, "__version__", "of an unknown version")
            raise RuntimeUnavailableError(
                f"this image's pynq ({version}) is too old, it has no {name}: {_NEEDED}"
            )


_ROOT = re.compile(
    r"root (permission|privilege|access|user)|(as|be) root|superuser|permission denied"
    r"|not permitted"
)
_NO_CHIP = re.compile(r"no devices?|\bxrt|xlnx|xlnk|xclbin|/dev/")


def translated(reason: BaseException, what: str, advice: str = "restart the board") -> BnnError:
    """Return an error of this package for ``reason``, an error that PYNQ raised.

    Its message is one line: ``what`` was tried, PYNQ's text, and what to do.
    """
    text = on_one_line(reason)
    lower = text.lower()
    if isinstance(reason, PermissionError) or _ROOT.search(lower):
        return RuntimeUnavailableError(
            f"{what}: PYNQ needs root ({text}): "
            "run it in the board's Jupyter, or with sudo -E and PYNQ's environment"
        )
    if _NO_CHIP.search(lower):
        return RuntimeUnavailableError(
            f"{what}: PYNQ finds no chip ({text}): as root, first source "
            "/etc/profile.d/pynq_venv.sh and /etc/profile.d/xrt_setup.sh"
        )
    if isinstance(reason, ImportError):
        return RuntimeUnavailableError(f"{what} ({text}): {_NEEDED}")
    return DriverError(f"{what}: PYNQ says: {text}: {advice}")


@contextmanager
def translating(what: str, advice: str = "restart the board") -> Iterator[None]:
    """In a ``with`` statement, raise errors of PYNQ as errors of this package.

    ``what`` and ``advice`` go into the message, see :func:`translated`.
    """
    try:
        yield
    except BnnError:
        raise
    except Exception as reason:
        raise translated(reason, what, advice) from reason


def _close(pool: Pool) -> None:
    """Free the buffers of a deleted chip, except those that the accelerator may still write to."""
    pool.is_closed = True
    pool.drop()
    if pool.busy:
        _left.append(pool)


class Chip:
    """The chip's locks, buffers and clock, which all classifiers of this process share.

    Attributes:
        turn: the lock of the accelerator.
        pool: buffers of the reserved memory.
        trusted: whether this process has loaded a bitstream and all starts after that ended
            normally.
    """

    def __init__(self, pynq: Any, clocks: Any, ownership: Ownership) -> None:
        self.pynq = pynq
        self.process = os.getpid()
        self.turn = Turn()
        self.pool = Pool(pynq.allocate)
        self.pool_closer = weakref.finalize(self, _close, self.pool)
        self._clocks = clocks
        self._ownership = ownership
        self._loaded: Any = None

    @property
    def trusted(self) -> bool:
        """Whether this process has loaded a bitstream and all starts after that ended normally."""
        return self._loaded is not None and self.pool.trusted

    def keep(self) -> None:
        """Make sure that this process owns the chip; if the lock file is missing, make it again.

        Raises:
            DriverError: the lock file was deleted, and another process owns the chip now.
        """
        if self._ownership.is_kept():  # nearly always: no lock, which Ctrl-C could leave taken
            return
        with _one:
            if not self._ownership.is_kept():
                self._ownership.take_again()
                self._loaded = None

    def doubt(self) -> None:
        """Remember that a start may still run: no buffer is used again before :meth:`load`."""
        self.pool.trusted = False

    def load(self, bitstream: Path, mhz: float) -> None:
        """Set the clock, then load the bitstream: in this order no design runs at a wrong clock.

        Then all buffers can be used again. Warn if the clock is lower than ``mhz``.
        """
        if not bitstream.is_file():
            raise DriverError(f"{bitstream}: no such bitstream; run Vivado on build.tcl beside it")
        self._loaded = None
        clock = self._set_clock(bitstream, mhz)
        with translating(f"{bitstream}: loading the bitstream", "is it made for this board?"):
            self.pynq.Bitstream(str(bitstream)).download()
        self._loaded = (mhz, clock, self._told())
        if clock < mhz * (1 - _CLOCK_TOLERANCE):
            warnings.warn(
                f"the accelerator runs at {clock:g} MHz: of the clocks that this chip makes, it "
                f"is the next below the {mhz:g} MHz of the design",
                BnnWarning,
                stacklevel=2,
            )
        self.pool.settle()
        while _left:
            _left[-1].settle()
            _left.pop().drop()

    def _set_clock(self, bitstream: Path, mhz: float) -> float:
        """Set the highest clock of at most ``mhz`` that the chip can make; return it in MHz."""
        wanted, clock = mhz, math.inf
        while wanted >= mhz / 2:
            with translating(f"{bitstream}: setting the clock to {wanted:g} MHz"):
                self._clocks.fclk0_mhz = wanted
            clock = self._clock()
            if 0 < clock <= mhz * (1 + _CLOCK_TOLERANCE):
                return clock
            wanted -= mhz * _CLOCK_STEP
        raise DriverError(
            f"{bitstream}: the chip's clock would be {clock:g} MHz, but the design is made for "
            f"{mhz:g} MHz; build it with another clock"
        )

    @property
    def clock_mhz(self) -> float | None:
        """The clock in MHz that was set with the last bitstream; None before the first one."""
        return None if self._loaded is None else float(self._loaded[1])

    def holds(self, mhz: float) -> bool:
        """Return whether the chip still has the bitstream that this process loaded last at ``mhz``.

        The chip's clock and PYNQ's record of the last bitstream are compared with what they were
        after :meth:`load`. If the result is False, do not read registers: the bus may hang if the
        chip has another design without registers at these addresses.
        """
        if not self.trusted:
            return False
        return bool(self._loaded == (mhz, self._clock(), self._told()))

    def _clock(self) -> float:
        """Return the clock in MHz that PYNQ reads from the dividers."""
        with translating("reading the clock"):
            return float(self._clocks.fclk0_mhz)

    def _told(self) -> tuple[str, ...]:
        """Return PYNQ's record (name, time) of the last bitstream; () if PYNQ has no record."""
        try:
            return str(self.pynq.PL.bitfile_name), str(self.pynq.PL.timestamp)
        except Exception:  # not every version has it
            return ()
