# SPDX-License-Identifier: BSD-3-Clause
"""Figures about a model: accuracy, agreement with the network it was converted from, speed."""
