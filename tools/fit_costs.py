#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Fit the planner's cost model to the blocks that ``tools/calibrate_costs.py`` has measured.

    python tools/fit_costs.py

Reads those measurements in ``tools/costs.json`` that are of today's RTL. Writes
``src/bnn/plan/coefficients.json`` (least squares of the relative error, weights not negative).
Prints the blocks that the fit and the memory model miss most.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnn.hw.render import library
from bnn.plan import cost
from bnn.plan.features import features, memories
from bnn.plan.memory import mapped

ROOT = Path(__file__).parents[1]
DATA = ROOT / "tools" / "costs.json"
COEFFICIENTS = ROOT / "src" / "bnn" / "plan" / "coefficients.json"
#: LUTs that are known: four are a quad of LUT RAM, counters are instances of LUT6, a bit of a word
#: that is kept is chosen by one, a parity is one, a bit of a table is one.
KNOWN = {
    "LUT": {"quads": 4.0, "counted": 1.0, "kept": 1.0, "parity": 1.0, "tables": 1.0},
    "FF": {},
}
KINDS = ("LUT", "FF")


def fingerprint(module: str) -> str:
    """Return a fingerprint of the code of ``module``, without comments and line breaks."""
    files = {name: _code(text) for name, text in library().items()}
    todo, seen = [module], []
    while todo:
        name = todo.pop()
        if name not in seen and f"{name}.sv" in files:
            seen.append(name)
            todo += re.findall(r"\bbnn_\w+", files[f"{name}.sv"])
    text = "".join(files[f"{name}.sv"] for name in sorted(seen))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _code(text: str) -> str:
    """Return SystemVerilog without comments and checks of parameters, each space one blank."""
    text = re.sub(r"`ifndef __ICARUS__.*?`endif", "", text, flags=re.DOTALL)
    text = re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL)
    return " ".join(text.split())


def fresh(data: dict[str, Any]) -> dict[str, Any]:
    """Return the measurements of today's RTL; those of other RTL are not valid any more."""
    prints = {module: fingerprint(module) for module in {e["module"] for e in data.values()}}
    return {name: e for name, e in data.items() if e["rtl"] == prints[e["module"]]}


def least_squares(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """Return the weights x >= 0 with which a @ x is nearest to b (Lawson and Hanson, 1974)."""
    scale = np.linalg.norm(a, axis=0)
    scale[scale == 0] = 1
    a = a / scale
    x = np.zeros(a.shape[1])
    free: list[int] = []
    for _ in range(10 * len(x)):
        gradient = a.T @ (b - a @ x)
        gradient[free] = -np.inf
        if not len(gradient) or gradient.max() <= 1e-9:
            break
        free.append(int(gradient.argmax()))
        while True:
            solved = np.linalg.lstsq(a[:, free], b, rcond=None)[0]
            if (solved > 0).all():
                break
            low = [n for n, value in enumerate(solved) if value <= 0]
            step = min(x[free[n]] / (x[free[n]] - solved[n]) for n in low)
            x[free] += step * (solved - x[free])
            free = [index for index in free if x[index] > 1e-12]
            x[[n for n in range(len(x)) if n not in free]] = 0
        x[:] = 0
        x[free] = solved
    return x / scale


def fit(data: dict[str, Any]) -> dict[str, Any]:
    """Return the coefficients of every module, and the errors of the fit in per cent."""
    modules: dict[str, Any] = {}
    worst = dict.fromkeys(KINDS, 0.0)
    for module in sorted({entry["module"] for entry in data.values()}):
        entries = [e for e in data.values() if e["module"] == module]
        rows = [features(module, e["generics"]) for e in entries]
        names = sorted({name for row in rows for name in row if name != "dsp"})
        a = np.array([[row.get(name, 0.0) for name in names] for row in rows])
        modules[module] = {}
        text = f"{module:16} {len(entries):3} blocks"
        for kind in KINDS:
            b = np.array([e["cells"][kind] for e in entries])
            weight = 1 / (b + 40)  # relative errors, except that a few cells do not count
            given = np.array([KNOWN[kind].get(name, 0.0) for name in names])
            free = np.where(given > 0, 0.0, 1.0)
            x = least_squares((a * free) * weight[:, None], (b - a @ given) * weight) + given
            modules[module][kind] = {
                name: float(f"{value:.4g}") for name, value in zip(names, x, strict=True) if value
            }
            missed = (a @ x - b) / np.maximum(b, 1)
            worst[kind] = max(worst[kind], *np.abs(missed[b > 100]), 0.0)
            text += (
                f"  {kind} mean {100 * np.abs(missed[b > 60]).mean():5.1f} %"
                if (b > 60).any()
                else f"  {kind} (small)"
            )
        print(text)
    print({kind: f"largest error {100 * value:.1f} %" for kind, value in worst.items()})
    return {
        "modules": modules,
        "errors": {kind: round(100 * value, 1) for kind, value in worst.items()},
    }


def blocks_missed(data: dict[str, Any]) -> None:
    """Print the blocks that the fit and the memory model miss most."""
    cost.coefficients.cache_clear()
    for name, entry in data.items():
        module, generics, cells = entry["module"], entry["generics"], entry["cells"]
        brams = sum(mapped(m).bram36 for m in memories(module, generics))
        guess = cost.of_module(module, generics)
        off = guess.lut - cells["LUT"]
        if brams != cells["BRAM36"] or (abs(off) > 0.15 * cells["LUT"] and abs(off) > 40):
            print(
                f"  {name[:150]}: LUT {cells['LUT']:.0f} guess {guess.lut:.0f}, "
                f"BRAM36 {cells['BRAM36']:g} guess {brams:g}"
            )


def write(data: dict[str, Any]) -> None:
    """Fit, write the coefficients, and print what is missed.

    Args:
        data: measurements, as ``tools/costs.json`` holds them.
    """
    old = json.loads(COEFFICIENTS.read_text()) if COEFFICIENTS.exists() else {}
    made = fit(data)
    made["modules"] = {**old.get("modules", {}), **made["modules"]}
    made["measured"] = "the blocks that were fitted; tools/check_costs.py has not run since"
    COEFFICIENTS.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    blocks_missed(data)


if __name__ == "__main__":
    write(fresh(json.loads(DATA.read_text())))
