# SPDX-License-Identifier: BSD-3-Clause
"""The tables that a new format is written in agree, so that none is forgotten in one of them."""

from __future__ import annotations

import inspect

from bnn.commands.convert import convert as command
from bnn.formats import convert


def test_every_format_has_a_reader_and_says_which_options_it_takes() -> None:
    """A format that did not say so would ignore options without a word."""
    assert set(convert._TAKEN) == set(convert.SOURCES)
    assert {*convert._READERS, "bnn-pynq"} == set(convert.SOURCES)


def test_every_format_is_named_in_the_help() -> None:
    told = str(inspect.signature(command).parameters["source_format"].annotation)
    assert not [name for name in convert.SOURCES if name not in told]
