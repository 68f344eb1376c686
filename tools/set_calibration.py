#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Gives every bundled model its calibration, which makes probabilities of its logits.

`bnn train` finds one on the validation part; the bundled models were trained before it did. Five
were trained on all training pictures, and the epoch of lfc-fashion-w1a1 was chosen on its
validation part (85.54 % there, 84.29 % on the test part), so it would be found too sure there. All
are found on the first half of the test part, and their error is measured on the other half.
Tensors, scores and all else in the files stay; two lines of the card are written anew.

    BNN_DATA=... .venv/bin/python tools/set_calibration.py
"""

from __future__ import annotations

import hashlib
import re
import sys
from dataclasses import replace
from pathlib import Path

from rewrite_models import check_equal

from bnn.classifier import Classifier
from bnn.data.sets import DataSet, load_test
from bnn.library import MODELS, bundled
from bnn.measure.calibration import error_of, find_calibration
from bnn.model.file import load, save


def main() -> int:
    for name in bundled():
        path = MODELS / f"{name}.bnn"
        before = load(path)
        test = load_test(before.provenance["dataset"])
        assert isinstance(test, DataSet)
        logits = Classifier(before).logits(test.images)
        half = len(logits) // 2
        found = find_calibration(logits[:half], test.labels[:half])
        assert found is not None
        error = error_of(found, logits[half:], test.labels[half:])
        save(replace(before, calibration=found), path)
        check_equal(before, load(path), path)
        line = (
            f"- Calibration: temperature {found.temperature:.4f}, exponent {found.exponent:g}, "
            f"found on the first {half} pictures of the test part.\n"
            f"  Expected calibration error on the others: **{100 * error:.2f} %**."
        )
        _write_card(path.with_suffix(".md"), line, hashlib.sha256(path.read_bytes()).hexdigest())
        sys.stdout.write(f"{name}: {line}\n")
    return 0


def _write_card(card: Path, line: str, digest: str) -> None:
    text = card.read_text(encoding="utf-8")
    text = re.sub(r"- Calibration:.*?\n(?=- )", "", text, flags=re.DOTALL)
    text = re.sub(r"- SHA-256: `[0-9a-f]{64}`", f"{line}\n- SHA-256: `{digest}`", text)
    card.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
