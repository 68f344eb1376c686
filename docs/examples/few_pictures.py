# SPDX-License-Identifier: BSD-3-Clause
"""What 200 pictures give, from docs/results/few-pictures.json: docs/tutorial.md shows it."""

import json
from pathlib import Path

STARTS = {"advised": "as above", "random": "no --init"}

results = Path(__file__).parents[1] / "results" / "few-pictures.json"
measured = json.loads(results.read_text(encoding="utf-8"))
print(f"{'cnv-w1a1, 200 pictures':31} {'options':12} {'right':>7} {'epochs':>7} {'CPU time':>9}")
for row in measured["rows"]:
    for key, start in STARTS.items():
        if key in row:
            one = row[key]
            share = f"{100 * one['accuracy']:.1f} %"
            print(f"{row['task']:31} {start:12} {share:>7} {one['epochs']:7} {one['cpu_s']:7} s")
print(f"(commit {measured['commit']}, {measured['machine']}:")
print(f" {measured['command']})")
