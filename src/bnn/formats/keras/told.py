# SPDX-License-Identifier: BSD-3-Clause
"""``--quantizer NAME=KNOWN``: gives the user's own function NAME the meaning of a known one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bnn.errors import FormatError
from bnn.formats.keras import qkeras
from bnn.formats.keras.quantizers import plain
from bnn.formats.keras.settings import THINGS, short

#: Activations that have no settings.
_BARE = {"sign", "relu6", "hard_tanh", "sigmoid", "log_softmax", "linear"} | qkeras.PLAIN
KNOWN = frozenset(THINGS) | _BARE


def checked(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return ``pairs`` as a dictionary: name in the file -> known name; blanks are removed.

    Raises:
        FormatError: a name in the file is given twice, or is the name of a function of Keras, Larq
            or QKeras; or the name after ``=`` is not the name of such a function.
    """
    told: dict[str, str] = {}
    for given_name, given_known in pairs:
        name, known = given_name.strip(), given_known.strip()
        if name in told:
            raise FormatError(
                f"--quantizer {name}: is given twice, as {told[name]} and as {known}; give it once"
            )
        if _is_known(name):
            raise FormatError(
                f"--quantizer {name}: is known already; it cannot become {known}. In the file, "
                "register your function under a name of its own"
            )
        if not _is_known(known):
            raise FormatError(
                f"--quantizer {name}={known}: {short(known)} is not known; known are "
                f"{', '.join(sorted(KNOWN))}"
            )
        told[name] = known
    return told


def _is_known(text: str) -> bool:
    if qkeras.called(text) is not None:
        return True
    try:
        return plain("", text) in KNOWN
    except FormatError:  # of another package
        return False


def missing(path: Path, name: str, found: Iterable[str]) -> FormatError:
    """Return the error for a function name that the file does not contain.

    ``found`` has the names of the functions that the file contains.
    """
    own = sorted({other for other in found if not _is_known(other)})
    there = f"it has {', '.join(map(short, own))}" if own else "all its functions are known"
    return FormatError(
        f"{path}: --quantizer {name}: the file has no function of this name; {there}"
    )
