# SPDX-License-Identifier: BSD-3-Clause
"""What the machine offers: files, the cache folder, archives, the terminal, progress, pip."""
