# SPDX-License-Identifier: BSD-3-Clause
"""From pictures to the bytes of a model's input."""
