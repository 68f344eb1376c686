# SPDX-License-Identifier: BSD-3-Clause
"""What was trained: layers, quantizers, topologies, and the forward pass that defines results."""
