# SPDX-License-Identifier: BSD-3-Clause
"""Training. PyTorch is imported only here and in :mod:`bnn.formats.live_module`.

Training needs the extra ``bnn-pynq[train]``.
"""
