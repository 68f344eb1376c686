# SPDX-License-Identifier: BSD-3-Clause
"""The public data sets that are known by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bnn.data.layouts import Arrays, Split, read_cifar10_layout, read_mnist_layout


@dataclass(frozen=True)
class Known:
    """A public data set: its classes, the layout of its files, and where to fetch them."""

    name: str
    classes: tuple[str, ...]
    read: Callable[[Path, Split], Arrays | None]
    #: Addresses of the files, tried in this order.
    homes: tuple[str, ...]
    #: Part -> files to fetch, with their SHA-256.
    files: Mapping[Split, Mapping[str, str]]
    #: Whether files of this layout are this set if the folder's name is not a known one.
    usual: bool = True
    #: Whether files of its layout always have these classes.
    fixed: bool = False


MNIST = Known(
    name="mnist",
    classes=tuple("0123456789"),
    read=read_mnist_layout,
    homes=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    files={
        "train": {
            "train-images-idx3-ubyte.gz": (
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
            ),
            "train-labels-idx1-ubyte.gz": (
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
            ),
        },
        "test": {
            "t10k-images-idx3-ubyte.gz": (
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
            ),
            "t10k-labels-idx1-ubyte.gz": (
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
            ),
        },
    },
)

FASHION_MNIST = Known(
    name="fashion-mnist",
    classes=(
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    read=read_mnist_layout,
    homes=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
    files={
        "train": {
            "train-images-idx3-ubyte.gz": (
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"
            ),
            "train-labels-idx1-ubyte.gz": (
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"
            ),
        },
        "test": {
            "t10k-images-idx3-ubyte.gz": (
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"
            ),
            "t10k-labels-idx1-ubyte.gz": (
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"
            ),
        },
    },
    usual=False,
)

_CIFAR10_ARCHIVE = {
    "cifar-10-binary.tar.gz": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
}

CIFAR10 = Known(
    name="cifar10",
    classes=(
        *("Airplane", "Automobile", "Bird", "Cat", "Deer"),
        *("Dog", "Frog", "Horse", "Ship", "Truck"),
    ),
    read=read_cifar10_layout,
    homes=("https://www.cs.toronto.edu/~kriz/",),
    files={"train": _CIFAR10_ARCHIVE, "test": _CIFAR10_ARCHIVE},
    fixed=True,
)

KNOWN: Mapping[str, Known] = {known.name: known for known in (MNIST, FASHION_MNIST, CIFAR10)}
