# SPDX-License-Identifier: BSD-3-Clause
"""What the functions of the package return while something runs: one number for each function.

A digest of a result only tells that something changed. These numbers tell which function returned
something else, also where the end is the same by chance: bounds, orders, steps, choices.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import re
import sys
from collections.abc import Callable, Mapping
from enum import Enum
from inspect import CO_GENERATOR, CO_OPTIMIZED
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np

import bnn

_ROOT = Path(bnn.__file__).parent
#: Of nested values so many levels are looked at, of long lists so many items.
_DEPTH, _ITEMS = 5, 100
#: Of each function so many calls are looked at: the first ones.
_CALLS = 60
_FOLDERS = re.compile(r"(/[\w.+-]+)+/")


def returned(work: Callable[[], object], modules: tuple[str, ...]) -> dict[str, str]:
    """Run ``work``; return for each function of ``modules`` a digest of all that it returned.

    The order of calls does not count. Of a function that returns nothing its arguments count,
    as they are at its end. ``modules``: the beginnings of paths below ``src/bnn``.
    """
    sums: dict[str, int] = {}
    calls: dict[str, int] = {}
    names: dict[CodeType, str | None] = {}

    def name_of(code: CodeType) -> str | None:
        path = Path(code.co_filename)
        is_function = code.co_flags & CO_OPTIMIZED and not code.co_name.startswith("<")
        if not is_function or not path.is_relative_to(_ROOT):
            return None
        place = path.relative_to(_ROOT).as_posix()
        return f"{place} {code.co_name}" if place.startswith(modules) else None

    def look(frame: FrameType, event: str, value: Any) -> None:
        if event != "return":
            return
        code = frame.f_code
        if code not in names:
            names[code] = name_of(code)
        name = names[code]
        if name is None or calls.get(name, 0) == _CALLS:
            return
        if value is None and code.co_flags & CO_GENERATOR:
            return  # some are closed when memory is tidied up, at any time
        calls[name] = calls.get(name, 0) + 1
        if value is None:
            value = [frame.f_locals.get(each) for each in code.co_varnames[: code.co_argcount]]
        found: list[str] = []
        _tell(value, found, _DEPTH)
        number = int(hashlib.sha256("\n".join(found).encode()).hexdigest()[:16], 16)
        sums[name] = (sums.get(name, 0) + number) % (1 << 64)

    _prepare(modules)
    sys.setprofile(look)
    try:
        work()
    finally:
        sys.setprofile(None)
    return {name: f"{total:016x}" for name, total in sums.items()}


def _prepare(modules: tuple[str, ...]) -> None:
    """Import what is looked at, and empty the package's caches: what ran before does not count."""
    for path in sorted(_ROOT.rglob("*.py")):
        place = path.relative_to(_ROOT).with_suffix("").as_posix()
        if place.startswith(modules) and path.stem != "__main__":
            importlib.import_module("bnn." + place.replace("/", ".").removesuffix(".__init__"))
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "bnn":
            for one in list(vars(module).values()):
                if callable(getattr(one, "cache_clear", None)):
                    one.cache_clear()


def _tell(value: Any, found: list[str], depth: int) -> None:
    """Add lines that are the same for equal values, in every run and on every machine."""
    if isinstance(value, Enum):
        found.append(value.name)
    elif value is None or isinstance(value, bool | np.bool_):
        found.append(str(value))
    elif isinstance(value, int | np.integer):
        found.append(str(int(value)))
    elif isinstance(value, float | np.floating):
        found.append(f"{float(value):.6g}")
    elif isinstance(value, str):
        found.append(_FOLDERS.sub("/", value))
    elif isinstance(value, bytes | bytearray):
        found.append(hashlib.sha256(value).hexdigest()[:12])
    elif isinstance(value, np.ndarray):
        found.append(_array(value))
    elif depth == 0:
        found.append(type(value).__name__)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        found.append(type(value).__name__)
        for field in dataclasses.fields(value):
            _tell(getattr(value, field.name, None), found, depth - 1)
    elif isinstance(value, Mapping):
        found.append(f"{len(value)} keys")
        for key, held in list(value.items())[:_ITEMS]:
            _tell(key, found, 1)
            _tell(held, found, depth - 1)
    elif isinstance(value, list | tuple):
        found.append(f"{type(value).__name__} of {len(value)}")
        for each in value[:_ITEMS]:
            _tell(each, found, depth - 1)
    elif isinstance(value, set | frozenset):
        found.append(f"set {sorted(_FOLDERS.sub('/', str(each)) for each in value)}"[:4000])
    elif isinstance(value, BaseException):
        found.append(type(value).__name__)
    else:
        found.append(type(value).__name__)


def _array(value: np.ndarray) -> str:
    """Shape, kind, and of real numbers a few sums with four digits: processors differ in more."""
    told = f"{value.shape} {value.dtype}"
    if value.dtype.kind not in "fiub":
        return f"{value.shape} {value.dtype.kind}"
    if value.dtype.kind != "f":
        return f"{told} {hashlib.sha256(np.ascontiguousarray(value)).hexdigest()[:12]}"
    real = value.astype(np.float64).reshape(-1)
    if not real.size:
        return told
    safe = np.where(np.isfinite(real), real, 3.0)
    along = safe * np.arange(1, len(safe) + 1) / len(safe)
    odd = int((~np.isfinite(real)).sum())
    ends = (safe[0], safe[-1], safe.min(), safe.max(), safe.sum(), along.sum())
    most = max(float(np.abs(safe).sum()), 1e-30)
    return f"{told} {odd} " + " ".join(
        f"{end:.4g}" if abs(end) > 1e-7 * most else "0" for end in ends
    )
