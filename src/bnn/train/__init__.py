# SPDX-License-Identifier: BSD-3-Clause
"""Training: the only room that knows PyTorch. It needs the extra ``bnn-pynq[train]``."""
