# SPDX-License-Identifier: BSD-3-Clause
"""``bnn serve``: models over HTTP, by the Open Inference Protocol v2 (docs/serving.md)."""
