# SPDX-License-Identifier: BSD-3-Clause
"""Tiny networks of every quantizer, layer kind, padding and order: the framework's own answers.

``fixtures/keras/matrix-*.tar.xz`` hold what Larq and Keras made and answered. Each is either
converted with equal classes and logits, or refused with a line that names the layer; which of
the two is told here, so that nothing becomes refused, or converted, unseen.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np

import bnn
from bnn.convert import Options, convert
from bnn.errors import BnnError
from converted import FIXTURES

#: Of the largest logit: how far float32 sums of a framework may be off.
RELATIVE = 1e-5


def differing(path: Path, inputs: Any, logits: Any, given: str | None) -> int:
    """Rows whose class or logits are not the framework's."""
    model = convert(path, None, Options(input=given)).model
    found = bnn.Classifier(model, "reference").logits(inputs)
    if logits.shape[1] == 1:
        logits = np.concatenate([-logits, logits], axis=1)
    close = np.abs(found - logits).max(1) <= RELATIVE * max(1e-2, np.abs(logits).max())
    first = logits.max(1) - np.take_along_axis(logits, found.argmax(1)[:, None], 1)[:, 0]
    return int((~close | (first > RELATIVE * np.abs(logits).max())).sum())


def outcomes(archive: str, tmp_path: Path) -> dict[str, str]:
    """ "equal", "n differ", or the refusal, of every network in ``archive``."""
    with tarfile.open(FIXTURES / "keras" / archive) as packed:
        files = {
            member.name: packed.extractfile(member).read()  # type: ignore[union-attr]
            for member in packed.getmembers()
        }
    found = {}
    for name in files:
        if name.endswith(".npz"):
            continue
        path = tmp_path / name
        path.write_bytes(files[name])
        with np.load(io.BytesIO(files[f"{path.stem}.npz"])) as arrays:
            inputs, logits = arrays["inputs"], arrays["logits"]
            given = bytes(arrays["given"]).decode() if "given" in arrays else None
        try:
            wrong = differing(path, inputs, logits, given)
            found[path.stem] = "equal" if not wrong else f"{wrong} of {len(inputs)} differ"
        except BnnError as error:
            line = str(error)
            assert "\n" not in line
            assert line.startswith(f"{path}: ")
            found[path.stem] = line.removeprefix(f"{path}: ")
    return found
