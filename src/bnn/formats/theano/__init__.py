# SPDX-License-Identifier: BSD-3-Clause
"""The original's trained arrays (Theano and Lasagne), and its own rounding of thresholds."""
