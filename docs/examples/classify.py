# SPDX-License-Identifier: BSD-3-Clause
"""Classify two pictures."""

import bnn

clf = bnn.Classifier("lfc-w1a1")
pictures = ["src/bnn/samples/mnist/3.png", "src/bnn/samples/mnist/7.png"]
print("classes:", clf.classify(pictures))
print("scores of the first:", clf.scores(pictures)[0])
