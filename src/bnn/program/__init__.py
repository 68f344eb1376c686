# SPDX-License-Identifier: BSD-3-Clause
"""The waist: precisions, inputs, the ten operations, what is legal, and what each means."""
