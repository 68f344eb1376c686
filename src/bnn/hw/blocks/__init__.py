# SPDX-License-Identifier: BSD-3-Clause
"""The accelerator's blocks: each with its parameters, cycles and expected output (golden)."""
