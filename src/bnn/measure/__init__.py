# SPDX-License-Identifier: BSD-3-Clause
"""Figures about a model: accuracy, agreement with what it was converted from, speed."""
