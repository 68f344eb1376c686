# SPDX-License-Identifier: BSD-3-Clause
"""Speed of the page, from docs/results/web.json: docs/web.md shows it."""

import json
from pathlib import Path

COLUMNS = {
    "browser relaxed": "relaxed SIMD",
    "browser simd128": "SIMD",
    "browser portable": "no SIMD",
    "native avx2": "native AVX2",
    "native portable": "native portable",
}

results = Path(__file__).parents[1] / "results" / "web.json"
measured = json.loads(results.read_text(encoding="utf-8"))
print(f"Chromium {measured['chromium'].split('.')[0]}, {measured['machine']}")
print(f"first view (page, core, lfc-w1a1, samples): {measured['bytes'] / 1e6:.2f} MB, "
      f"{measured['packed'] / 1e6:.2f} MB packed")  # fmt: skip
print(f"ready {measured['ready_s']:.1f} s after the request, "
      f"first answer after {measured['first_answer_s']:.1f} s")  # fmt: skip
for model, rate in measured["camera"].items():
    print(f"camera of 640x480, 30 frames/s, {model}: {rate}")
print()
heads = "".join(f"{head:>16}" for head in COLUMNS.values())
print(f"{'images/s':10}{heads}{'browser / AVX2':>16}")
for model, rates in measured["images_per_s"].items():
    cells = "".join(f"{rates[key]:>16,}" for key in COLUMNS)
    best = max(rates[key] for key in COLUMNS if key.startswith("browser"))
    print(f"{model:10}{cells}{100 * best / rates['native avx2']:>14.0f} %")
print(f"(commit {measured['commit']}: {measured['command']})")
