# SPDX-License-Identifier: BSD-3-Clause
"""Many pictures, many processes: ``bnn bulk``, and a class for Ray Data (docs/serving.md)."""
