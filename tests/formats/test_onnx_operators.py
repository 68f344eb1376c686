# SPDX-License-Identifier: BSD-3-Clause
"""The table of operators against ONNX's own history of schemas."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import onnx
import pytest

from bnn.errors import FormatError
from bnn.formats.qonnx.onnx_file import Node
from bnn.formats.qonnx.operators import _QONNX, OPERATORS, understood

HISTORY: dict[str, dict[int, Any]] = defaultdict(dict)
for _schema in onnx.defs.get_all_schemas_with_history():
    if not _schema.domain:
        HISTORY[_schema.name][_schema.since_version] = _schema
ONNX = sorted(set(OPERATORS) - set(_QONNX))
#: Versions before them described the operator otherwise (broadcasting, attributes for inputs).
OLDEST = 9


@pytest.mark.parametrize("kind", ONNX)
def test_versions_are_those_of_onnx(kind: str) -> None:
    """From the first that is read to the last one, without a gap; what is left out is old."""
    known = OPERATORS[kind].versions
    history = [version for version in HISTORY[kind] if version <= known[-1]]
    assert [version for version in sorted(history) if version >= known[0]] == [
        version for version in known if version <= onnx.defs.onnx_opset_version()
    ]
    assert all(version < OLDEST for version in history if version not in known)
    newer = [version for version in HISTORY[kind] if version > known[-1]]
    assert all(version > 20 for version in newer)  # and refused


@pytest.mark.parametrize("kind", ONNX)
def test_attributes_and_inputs_are_those_of_onnx(kind: str) -> None:
    """Each attribute of each version is read, fixed or idle, once; nothing else is listed."""
    operator = OPERATORS[kind]
    listed = [*operator.read, *operator.fixed, *operator.idle]
    assert len(listed) == len(set(listed))
    schemas = [HISTORY[kind][v] for v in operator.versions if v in HISTORY[kind]]
    exist = {name for schema in schemas for name in schema.attributes}
    assert set(listed) <= exist
    for position in operator.tensors:
        assert position < max(schema.max_input for schema in schemas)
    assert operator.result < max(schema.max_output for schema in schemas)


@pytest.mark.parametrize("kind", ONNX)
def test_versions_before_and_after_are_refused(kind: str) -> None:
    for version, schema in HISTORY[kind].items():
        needed = {
            name: onnx.helper.get_attribute_value(item.default_value)
            for name, item in schema.attributes.items()
            if item.required and item.default_value.name
        }
        if any(item.required for item in schema.attributes.values()):
            continue
        count = schema.min_input
        node = Node("n", kind, "", tuple("abcdefgh"[:count]), ("y",), needed)
        opsets = {"": version}
        if version in OPERATORS[kind].versions:
            if OPERATORS[kind].result:
                continue
            made = understood(node, opsets)
            assert made.version == version
            for name in OPERATORS[kind].read:
                item = schema.attributes.get(name)
                default = None
                if item is not None and item.default_value.name:
                    default = onnx.helper.get_attribute_value(item.default_value)
                    default = default.decode() if isinstance(default, bytes) else default
                assert made.attribute(name) == default
        else:
            with pytest.raises(FormatError, match=f"version {version} of this operation"):
                understood(node, opsets)
