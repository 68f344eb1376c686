# SPDX-License-Identifier: BSD-3-Clause
"""QONNX and ONNX graphs, read and written."""
