# SPDX-License-Identifier: BSD-3-Clause
"""Programs of ``tools/`` and ``fixtures/`` as modules: they are in no package."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]


def load(*path: str) -> ModuleType:
    """Import the file at ``path`` below the repository's root, under the name of the file."""
    file = ROOT.joinpath(*path)
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module  # dataclasses look for their module there
    spec.loader.exec_module(module)
    return module
