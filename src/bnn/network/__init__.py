# SPDX-License-Identifier: BSD-3-Clause
"""What was trained: layers, quantizers, topologies, and the float forward that defines them."""
