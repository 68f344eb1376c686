# SPDX-License-Identifier: BSD-3-Clause
"""The waist: programs of ten kinds of operations, which all runtimes and the hardware run.

It has precisions, inputs and operations, the check of what is legal, and the semantics.
"""
