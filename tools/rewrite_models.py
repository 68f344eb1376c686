# SPDX-License-Identifier: BSD-3-Clause
"""Write the bundled models again in today's file format, and prove that nothing else changed.

Each is loaded and saved; what is read back must have the same program (every weight and
threshold), classes, provenance and name. Models of MNIST's digits get the preparation that places
digits as MNIST has them; that of Fashion-MNIST the one that makes grounds black, and its own name;
others keep theirs. The digest in its card follows. A file
that is in today's format already stays as it is: running this twice changes nothing.

    python tools/rewrite_models.py
"""

from __future__ import annotations

import hashlib
import re
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

from bnn.data.pictures.preprocess import Digit, OnBlack
from bnn.errors import OldFormatWarning
from bnn.library import MODELS
from bnn.model.file import load, save
from bnn.model.model import Model
from bnn.run import prepare


def main() -> int:
    for path in sorted(MODELS.glob("*.bnn")):
        before = _prepared(_loaded(path))
        save(before, path)
        check_equal(before, load(path), path)
        card = path.with_suffix(".md")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        text = card.read_text(encoding="utf-8")
        card.write_text(re.sub(r"(SHA-256: `)[0-9a-f]{64}", rf"\g<1>{digest}", text), "utf-8")
        sys.stdout.write(f"{path.name}: {digest}\n")
    return 0


def _loaded(path: Path) -> Model:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OldFormatWarning)
        return load(path)


def _prepared(model: Model) -> Model:
    """Return a model of MNIST or Fashion-MNIST with today's preparation, others as they are."""
    if model.provenance.get("dataset") == "fashion-mnist":
        return replace(model, preprocess=OnBlack(), name="lfc-fashion-w1a1")
    if not isinstance(model.preprocess, Digit):
        return model
    return replace(model, preprocess=replace(model.preprocess, like_mnist=True))


def check_equal(before: Model, after: Model, path: Path) -> None:
    """Raise AssertionError unless two models have equal contents and equal scores."""
    for what in ("classes", "preprocess", "provenance", "name"):
        assert getattr(before, what) == getattr(after, what), f"{path}: {what} differs"
    assert before.program.digest() == after.program.digest(), f"{path}: the programs differ"
    shape = before.program.input.shape
    pictures = np.random.default_rng(1).integers(0, 256, (64, *shape), dtype=np.uint8)
    one, two = (prepare("cpu", model.program).run(pictures) for model in (before, after))
    assert np.array_equal(one.scores, two.scores), f"{path}: scores differ"


if __name__ == "__main__":
    sys.exit(main())
