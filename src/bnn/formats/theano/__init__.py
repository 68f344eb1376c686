# SPDX-License-Identifier: BSD-3-Clause
"""Reading the original's trained arrays (Theano, Lasagne), and its rounding of thresholds."""
