# SPDX-License-Identifier: BSD-3-Clause
"""Checkpoints: one safetensors file each. Nothing is pickled, so nothing can run when one is read.

The metadata entry ``bnn_checkpoint`` is a JSON text: everything but the tensors, in lists that
begin with their kind (``["dict", [key, value], ...]``, ``["list", ...]``, ``["tuple", ...]``,
``["tensor", name, order of its axes in memory]``). The entry ``digest`` is the SHA-256 of this
text and of all tensors, so that damage is seen.

A run keeps three checkpoints: :data:`LAST`, of the last epoch; :data:`PREVIOUS`, of the epoch
before, in case the last one is damaged; and :data:`BEST`, of the best epoch.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import CheckpointIO
from torch import Tensor

from bnn.errors import TrainError
from bnn.system.files import parse_json, read_file, write_whole
from bnn.train.early import LAST, PREVIOUS

#: Larger files are refused unread: values and two moments of 2^28 weights.
MAX_FILE_BYTES = 4 << 30
FORMAT = 1
#: Keys of the metadata.
HEAD, DIGEST = "bnn_checkpoint", "digest"
#: First bytes of files that PyTorch or ``pickle`` wrote.
_PICKLED = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_PICKLED_HINT = (
    "it is a zip or pickle file, as PyTorch writes them; these can run programs when they are "
    "opened, so it was not opened (to continue a run of an older version, use --init with its "
    "model.bnn)"
)


def to_bytes(checkpoint: dict[str, Any]) -> bytes:
    """Return the bytes of a checkpoint file of nested dicts, lists, tuples, tensors and values."""
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {}
    head = json.dumps({"format": FORMAT, "tree": _encoded(checkpoint, tensors)})
    return save(tensors, {HEAD: head, DIGEST: _digest(head, tensors)})


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return the contents of a checkpoint: nested dicts, lists, tuples, tensors and plain values.

    No code is run.

    Raises:
        TrainError: the file is missing, damaged or not a checkpoint of this package.
    """
    data = read_file(path, MAX_FILE_BYTES, TrainError)
    try:
        return _from_bytes(data)
    except TrainError as reason:
        why = _PICKLED_HINT if data.startswith(_PICKLED) else reason
        raise TrainError(f"{path}: cannot be used: {why}") from None


def _from_bytes(data: bytes) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors = load(data)
        size = int.from_bytes(data[:8], "little")
        metadata = parse_json(data[8 : 8 + size]).get("__metadata__", {})
        head = metadata[HEAD]
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RuntimeError):
        raise TrainError("it is damaged, or another program's file") from None
    if metadata.get(DIGEST) != _digest(head, tensors):
        raise TrainError("it is damaged: its contents do not match its digest")
    try:
        content = parse_json(head)
        if content["format"] != FORMAT:
            raise TrainError("it was written by another version of this package")
        checkpoint = _decoded(content["tree"], tensors)
    except (ValueError, LookupError, TypeError, RuntimeError, RecursionError):
        raise TrainError("it is damaged") from None
    if not isinstance(checkpoint, dict):
        raise TrainError("it has no values")
    return checkpoint


def _digest(head: str, tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(head.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _encoded(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Return ``value`` as JSON values; its tensors are put into ``tensors``."""
    match value:
        case Tensor():
            name = str(len(tensors))
            # The optimiser's steps depend on the order of the axes in memory, so it is kept.
            strides: tuple[int, ...] = value.stride()
            order = sorted(range(value.dim()), key=lambda axis: (-strides[axis], axis))
            tensors[name] = value.detach().cpu().permute(order).contiguous().clone()
            return ["tensor", name, order]
        case dict():
            return ["dict", *([_plain(key), _encoded(one, tensors)] for key, one in value.items())]
        case list():
            return ["list", *(_encoded(one, tensors) for one in value)]
        case tuple():
            return ["tuple", *(_encoded(one, tensors) for one in value)]
    return _plain(value)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a checkpoint cannot hold a {type(value).__name__}")


def _decoded(value: Any, tensors: dict[str, Tensor]) -> Any:
    match value:
        case ["tensor", str(name), [*order]]:
            stored = tensors.pop(name)
            back = [order.index(axis) for axis in range(stored.dim())]
            return stored.permute(back)
        case ["dict", *pairs]:
            return {key: _decoded(one, tensors) for key, one in pairs}
        case ["list", *items]:
            return [_decoded(one, tensors) for one in items]
        case ["tuple", *items]:
            return tuple(_decoded(one, tensors) for one in items)
        case list() | dict():
            raise TrainError("it is damaged")
    return value


class CheckpointFiles(CheckpointIO):
    """Writes and reads checkpoints for Lightning.

    A checkpoint is written whole or not at all, and it is on the disk when the call returns.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write ``checkpoint`` to ``path`` (an interface of Lightning's CheckpointIO)."""
        del storage_options  # of remote file systems
        data = to_bytes(checkpoint)
        if Path(path).name == LAST:
            _keep_previous(Path(path))
        write_whole(path, data, TrainError)

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Return the checkpoint at ``path`` (an interface of Lightning's CheckpointIO)."""
        del map_location, weights_only  # the caller copies values to its device
        return read_checkpoint(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        """Delete the checkpoint at ``path`` (an interface of Lightning's CheckpointIO)."""
        Path(path).unlink(missing_ok=True)


def _keep_previous(last: Path) -> None:
    """Keep the file of the last checkpoint as the previous one, before a new one replaces it."""
    previous, linked = last.with_name(PREVIOUS), last.with_name(".previous.tmp")
    with contextlib.suppress(FileNotFoundError):
        linked.unlink(missing_ok=True)
        try:
            os.link(last, linked)
        except FileNotFoundError:
            raise
        except OSError:  # without links: copy, so that one of the two always exists
            last.replace(previous)
        else:
            linked.replace(previous)
            # Two names of one file are left as they are: so after a kill before last is replaced.
            linked.unlink(missing_ok=True)


def newest(folder: Path, say: Callable[[str], None]) -> Path | None:
    """Return the checkpoint to resume from: the last, or the previous one if the last is damaged.

    Return None if there is no checkpoint.

    Args:
        folder: folder of the run.
        say: called with a message if the previous checkpoint is returned.

    Raises:
        TrainError: there are checkpoints, but none can be used.
    """
    there = [path for name in (LAST, PREVIOUS) if (path := folder / name).exists()]
    wrong: list[TrainError] = []
    for path in there:
        try:
            read_checkpoint(path)
        except TrainError as reason:
            wrong.append(reason)
            continue
        if wrong:
            say(f"{wrong[0]}; going on from {path.name}, one epoch before")
        return path
    if wrong:
        raise wrong[0]
    return None
