# SPDX-License-Identifier: BSD-3-Clause
"""The files of the page, by their paths on a server: ``site/``, models and samples."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from bnn.errors import DataError
from bnn.library import MODELS, bundled, load
from bnn.model.file import SUFFIX
from bnn.model.model import Model
from bnn.program.inputs import PictureInput
from bnn.system.files import write_whole

SITE = Path(__file__).parent / "site"
SAMPLES = Path(__file__).parents[1] / "samples"
#: Ending of a name -> content type; browsers run modules and WebAssembly only with this type.
TYPES: Mapping[str, str] = MappingProxyType(
    {
        ".bnn": "application/octet-stream",
        ".css": "text/css; charset=utf-8",
        ".html": "text/html; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".json": "application/json",
        ".png": "image/png",
        ".svg": "image/svg+xml",
        ".wasm": "application/wasm",
    }
)


def files() -> dict[str, bytes]:
    """Return path on a server, such as ``js/core.js`` -> content, for every file of the page."""
    found = {_name(path, SITE): path.read_bytes() for path in _under(SITE)}
    found |= {f"samples/{_name(path, SAMPLES)}": path.read_bytes() for path in _under(SAMPLES)}
    for model in bundled():
        found[f"models/{model}{SUFFIX}"] = (MODELS / (model + SUFFIX)).read_bytes()
    found["models.json"] = json.dumps({"models": _models(), "samples": _samples()}).encode()
    return found


def export(folder: Path) -> int:
    """Write the page into ``folder``, which is made if it is missing; return how many files.

    Raises:
        DataError: the folder is not empty or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise DataError(f"{folder}: is not empty; give a new folder")
        for name, content in (written := files()).items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            write_whole(target, content, DataError)
    except OSError as reason:
        raise DataError(f"{folder}: cannot be written: {reason.strerror or reason}") from reason
    return len(written)


def _under(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in TYPES)


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _models() -> list[dict[str, object]]:
    """Return a description of each bundled model; the page shows it before it loads a model."""
    return [_listed(name, load(name)) for name in bundled()]


def _listed(name: str, model: Model) -> dict[str, object]:
    pictures = isinstance(model.program.input, PictureInput) and model.preprocess is not None
    return {
        "name": name,
        "file": f"models/{name}{SUFFIX}",
        "bytes": (MODELS / (name + SUFFIX)).stat().st_size,
        "classes": len(model.classes),
        "preparation": model.preprocess.kind if pictures and model.preprocess else None,
    }


def _samples() -> dict[str, list[str]]:
    """Return name of each data set -> paths of its sample pictures on a server."""
    return {
        folder.name: [f"samples/{_name(path, SAMPLES)}" for path in _under(folder)]
        for folder in sorted(SAMPLES.iterdir())
        if folder.is_dir()
    }
