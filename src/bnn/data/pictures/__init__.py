# SPDX-License-Identifier: BSD-3-Clause
"""From any picture to the bytes of a model's input, as a person sees it."""
