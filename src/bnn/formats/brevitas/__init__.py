# SPDX-License-Identifier: BSD-3-Clause
"""Reading checkpoints and live modules of Brevitas."""
