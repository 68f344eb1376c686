# SPDX-License-Identifier: BSD-3-Clause
"""The blocks of the accelerator: each with its generics, its cycles and its golden function."""
