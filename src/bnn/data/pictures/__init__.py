# SPDX-License-Identifier: BSD-3-Clause
"""Preparation of pictures: from any picture to the bytes of a model's input."""
