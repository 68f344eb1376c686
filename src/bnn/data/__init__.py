# SPDX-License-Identifier: BSD-3-Clause
"""From files on disk to uint8 arrays: a module for each format; ``sets`` finds data sets.

``idx``     MNIST's IDX images and labels
``cifar``   CIFAR-10's binary records
``folder``  pictures, one subfolder per class
``sets``    a data set by name or by folder
"""
