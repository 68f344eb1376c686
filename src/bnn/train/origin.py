# SPDX-License-Identifier: BSD-3-Clause
"""The origin of a run: what must stay the same, so that a resumed run equals an uninterrupted one.

It is in every checkpoint. A run is not resumed with other settings, data or teachers. If the
machine or the number of threads is another one, sums may be rounded differently: then a message is
printed, and the run is resumed.
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
from bnn.train.checked import short
from bnn.train.data import Part, Parts
from bnn.train.teach import Teachers

#: Number of pictures on which teachers' scores are compared.
TEACHER_PICTURES = 64
#: Settings that checkpoints of earlier versions do not have -> what these versions did.
_LATER = {"batch_given": True, "gap": None}


@dataclass(frozen=True)
class Origin:
    """Settings, data and teachers that a run was trained with.

    Attributes:
        settings: settings as plain values, without the settings that may change.
        data: SHA-256 of the training and validation part, or "" if it is not known.
        teachers: SHA-256 of each teacher's scores on some pictures.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    data: str = ""
    teachers: tuple[str, ...] = ()

    def as_plain(self) -> dict[str, Any]:
        """Return the origin and this machine as plain values, for a checkpoint."""
        return {
            "settings": dict(self.settings),
            "data": self.data,
            "teachers": list(self.teachers),
            "machine": environment(),
        }

    def check(self, kept: Any, path: Path, say: Callable[[str], None]) -> None:
        """Refuse to resume if the origin in a checkpoint differs from this one.

        Args:
            kept: result of :meth:`as_plain` in the checkpoint.
            path: path of the checkpoint, for messages.
            say: called with a message if this machine or library may round sums differently.

        Raises:
            TrainError: settings, data or teachers differ; the message names what.
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
        """Refuse to go on if the checkpoint has other data than this origin; see :meth:`check`."""
        if kept.get("data") != self.data:
            raise TrainError(
                f"{path}: the data are not those that it was trained on: pictures were added, "
                "removed or changed, or are read in another way; train a new run with --init"
            )

    def check_settings(self, kept: Any, path: Path) -> None:
        """Refuse to go on if the checkpoint has other settings; see :meth:`check`."""
        if not isinstance(kept, dict) or not isinstance(kept.get("settings"), dict):
            raise TrainError(f"{path}: does not name its run: it is damaged")
        later = {key: value for key, value in _LATER.items() if key in self.settings}
        difference = first_difference({**later, **kept["settings"]}, self.settings)
        if difference is not None:
            key, old, new = difference
            raise TrainError(
                f"{path}: was trained with {key} {short(old)}, the settings have {short(new)}"
            )


def first_difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    """Return the first key whose values differ, the old value and the new one; None if all agree.

    Nested tables are compared too.
    """
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
    """Return what decides how sums are rounded: processor, threads, processes and versions."""
    return {
        "PyTorch": torch.__version__,
        "Lightning": lightning.__version__,
        "threads": str(torch.get_num_threads()),
        "processor": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
        "kernel": _native.lut_kernel(),
        "processes": os.environ.get("WORLD_SIZE", "1"),
    }


def digest_of(parts: Parts) -> str:
    """Return the SHA-256 of the training and validation pictures and labels, in their order."""
    digest = hashlib.sha256()
    for part in (parts.training, parts.validation):
        _add(digest, part)
    return digest.hexdigest()


def _add(digest: Any, part: Part) -> None:
    for values in (part.pictures, part.labels):
        digest.update(repr((str(values.dtype), tuple(values.shape))).encode())
        digest.update(values.cpu().contiguous().numpy())


def answers_of(teachers: Teachers | None, parts: Parts) -> tuple[str, ...]:
    """Return the SHA-256 of each teacher's scores on some pictures of the validation part."""
    if teachers is None:
        return ()
    pictures = parts.validation.pictures[:TEACHER_PICTURES].cpu().numpy()
    scores = (prepare("cpu", one.program).run(pictures).scores for one in teachers.teachers)
    return tuple(hashlib.sha256(one.tobytes()).hexdigest() for one in scores)
