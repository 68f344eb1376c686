# SPDX-License-Identifier: BSD-3-Clause
"""A program with names: the model, its ``.bnn`` file, its figures, and what it takes as input."""
