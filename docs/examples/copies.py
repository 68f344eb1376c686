# SPDX-License-Identifier: BSD-3-Clause
"""Which bytes cross between the processor and the accelerator, and when: docs/faq.md shows it."""

import bnn

pictures = [f"src/bnn/samples/mnist/{digit}.png" for digit in range(10)]
clf = bnn.Classifier("lfc-w1a1", runtime="sim", folding="original")
for turn in ("first call", "second call"):
    clf.classify(pictures)
    print(f"{turn}: {len(pictures)} pictures, {clf.last_run.details['cycles']} cycles at 100 MHz")
    for copy in clf.last_run.details["ledger"]:
        print(f"  {copy['what']:10} {copy['bytes']:9,} bytes")
