# SPDX-License-Identifier: BSD-3-Clause
"""Accuracy of the bundled models, from docs/results/accuracy.json: docs/faq.md shows it."""

import json
from pathlib import Path

#: What the notebooks of BNN-PYNQ recorded on the board: docs/specification.md, section 10.
ORIGINAL = {"lfc-w1a1": 98.40, "lfc-w1a2": 98.49}
ORIGINAL |= {"cnv-w1a1": 79.22, "cnv-w1a2": 82.66, "cnv-w2a2": 84.29}

measured = json.loads((Path(__file__).parents[1] / "results" / "accuracy.json").read_text())
print(f"{'bundled model':18} {'test set':14} {'right answers':>13} {'BNN-PYNQ':>9}")
for each in measured["models"]:
    share = "not measured"
    if each["images"]:
        share = f"{100 * each['correct'] / each['images']:.2f} %"
    original = f"{ORIGINAL[each['model']]:.2f} %" if each["model"] in ORIGINAL else ""
    print(f"{each['model']:18} {each['data']:14} {share:>13} {original:>9}")
print(f"(measured at commit {measured['commit']} by: {measured['command']})")
