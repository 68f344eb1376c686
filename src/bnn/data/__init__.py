# SPDX-License-Identifier: BSD-3-Clause
"""From files on disk to uint8 arrays: one module per format, ``sets`` to find them.

``idx``     MNIST's IDX images and labels
``cifar``   CIFAR-10's binary records
``folder``  pictures, one subfolder per class
``sets``    a data set by name or by folder
"""
