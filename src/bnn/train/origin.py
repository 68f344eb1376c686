# SPDX-License-Identifier: BSD-3-Clause
"""Where a run comes from: what must be the same for a resumed run to be the uninterrupted one.

It is kept in every checkpoint. Other settings, data or teachers are refused; another machine
or another number of threads may round differently, which is said.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning
import torch

from bnn import _native
from bnn.errors import TrainError
from bnn.run import prepare
from bnn.train.checked import told
from bnn.train.data import Part, Parts
from bnn.train.teach import Teachers

#: Pictures whose answers tell one teacher from another.
ASKED = 64


@dataclass(frozen=True)
class Origin:
    """Of a run.

    Attributes:
        settings: as plain values, those that may change left out.
        data: digest of the training and validation part, or nothing.
        teachers: digests of the answers of each.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    data: str = ""
    teachers: tuple[str, ...] = ()

    def as_plain(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {
            "settings": dict(self.settings),
            "data": self.data,
            "teachers": list(self.teachers),
            "machine": environment(),
        }

    def check(self, kept: Any, path: Path, say: Callable[[str], None]) -> None:
        """Compare with what a checkpoint kept.

        Args:
            kept: what :meth:`as_plain` gave.
            path: of the checkpoint.
            say: told what may round differently.

        Raises:
            TrainError: names what differs.
        """
        self.check_settings(kept, path)
        self.check_data(kept, path)
        if list(kept.get("teachers", [])) != list(self.teachers):
            raise TrainError(f"{path}: a teacher is not the network that it was; train a new run")
        before, now = kept.get("machine", {}), environment()
        changed = [
            f"{key} {before.get(key)} then, {now[key]} now"
            for key in now
            if before.get(key) != now[key]
        ]
        if changed:
            say(f"going on, but sums may be rounded differently: {'; '.join(changed)}")

    def check_data(self, kept: Any, path: Path) -> None:
        """The second part of :meth:`check`."""
        if kept.get("data") != self.data:
            raise TrainError(
                f"{path}: the data are not those that it was trained on: pictures were added, "
                "removed or changed, or are read in another way; train a new run with --init"
            )

    def check_settings(self, kept: Any, path: Path) -> None:
        """The first part of :meth:`check`."""
        if not isinstance(kept, dict) or not isinstance(kept.get("settings"), dict):
            raise TrainError(f"{path}: does not tell which run it belongs to, it is damaged")
        difference = first_difference(kept["settings"], self.settings)
        if difference is not None:
            key, old, new = difference
            raise TrainError(
                f"{path}: was trained with {key} {told(old)}, the settings say {told(new)}"
            )


def first_difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    """The first key whose values differ, in tables within tables too, with both values."""
    for key in (*old, *(key for key in new if key not in old)):
        one, other = old.get(key), new.get(key)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            within = first_difference(one, other)
            if within is not None:
                return within
        elif _plain(one) != _plain(other):
            return key, one, other
    return None


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def environment() -> dict[str, str]:
    """What may change how sums are rounded."""
    return {
        "PyTorch": torch.__version__,
        "Lightning": lightning.__version__,
        "threads": str(torch.get_num_threads()),
        "processor": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
        "kernel": _native.lut_kernel(),
        "processes": os.environ.get("WORLD_SIZE", "1"),
    }


def digest_of(parts: Parts) -> str:
    """SHA-256 of the pictures and labels that are trained on and validated with, in their order."""
    digest = hashlib.sha256()
    for part in (parts.training, parts.validation):
        _add(digest, part)
    return digest.hexdigest()


def _add(digest: Any, part: Part) -> None:
    for values in (part.pictures, part.labels):
        digest.update(repr((str(values.dtype), tuple(values.shape))).encode())
        digest.update(values.cpu().contiguous().numpy())


def answers_of(teachers: Teachers | None, parts: Parts) -> tuple[str, ...]:
    """SHA-256 of every teacher's scores on some pictures."""
    if teachers is None:
        return ()
    pictures = parts.validation.pictures[:ASKED].cpu().numpy()
    scores = (prepare("cpu", one.program).run(pictures).scores for one in teachers.teachers)
    return tuple(hashlib.sha256(one.tobytes()).hexdigest() for one in scores)
