# SPDX-License-Identifier: BSD-3-Clause
"""Checkpoints and live modules of Brevitas."""
