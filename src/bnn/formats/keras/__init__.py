# SPDX-License-Identifier: BSD-3-Clause
"""Reading Keras and Larq files."""
