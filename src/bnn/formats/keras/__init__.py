# SPDX-License-Identifier: BSD-3-Clause
"""Keras and Larq files."""
