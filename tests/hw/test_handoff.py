# SPDX-License-Identifier: BSD-3-Clause
"""``bnn.hwh``: what PYNQ reads from it is what the design and its registers are."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnn.hw import export, registers
from bnn.hw.boards import board, boards
from bnn.hw.design import build
from bnn.hw.handoff import MAX_DIVIDER, SOURCE_MHZ, description, dividers
from hw.examples import DENSE_FOLDING, dense

CLOCKS = {
    SOURCE_MHZ / (first * second)
    for first, second in itertools.product(range(1, MAX_DIVIDER + 1), repeat=2)
}


@given(st.one_of(st.floats(1, 1000), st.sampled_from(sorted(c for c in CLOCKS if c >= 1))))
def test_dividers_make_the_highest_clock_that_is_not_above(mhz: float) -> None:
    first, second = dividers(mhz)
    assert 1 <= second <= first <= MAX_DIVIDER
    found = SOURCE_MHZ / (first * second)
    assert found <= mhz * (1 + 1e-6)
    assert not [clock for clock in CLOCKS if found * (1 + 1e-6) < clock <= mhz]


def test_dividers_of_usual_clocks() -> None:
    assert [dividers(mhz) for mhz in (100, 140, 142.857143, 125, 1000, 33)] == [
        *((10, 1), (8, 1), (7, 1), (8, 1), (1, 1), (31, 1)),
    ]


def _properties(element: ET.Element) -> dict[str | None, str | None]:
    return {each.get("NAME"): each.get("VALUE") for each in element.findall("PROPERTY")}


def test_the_file_has_address_clock_and_registers(tmp_path: Path) -> None:
    """Read as the parser of pynq 3.0.1 reads it (``pl_server/hwh_parser.py``)."""
    target = board("pynq-z2").at(140)
    export.write(build(dense(), DENSE_FOLDING), target, tmp_path)
    root = ET.parse(tmp_path / "bnn.hwh").getroot()
    processor, accelerator = root.iter("MODULE")
    assert processor.get("MODTYPE") == "processing_system7"
    parameters = {
        each.get("NAME"): each.get("VALUE") for each in processor.findall("./PARAMETERS/*[@NAME]")
    }
    for clock, enabled in enumerate("1000"):
        assert parameters[f"PCW_FPGA_FCLK{clock}_ENABLE"] == enabled
    assert parameters["PCW_FCLK0_PERIPHERAL_DIVISOR0"] == "8"
    assert parameters["PCW_FCLK0_PERIPHERAL_DIVISOR1"] == "1"
    (place,) = processor.iter("MEMRANGE")
    assert place.get("INSTANCE") == accelerator.get("INSTANCE") == "accelerator"
    assert int(place.get("BASEVALUE", ""), 16) == target.built.base
    assert int(place.get("HIGHVALUE", ""), 16) == target.built.base + target.built.span - 1
    said = {each.get("NAME"): each for each in accelerator.findall(".//REGISTERS/*[@NAME]")}
    assert list(said) == [register.name for register in registers.REGISTERS]
    for register in registers.REGISTERS:
        values = _properties(said[register.name])
        assert int(values["ADDRESS_OFFSET"] or "", 16) == register.offset
        assert values["SIZE"] == "32"
        assert values["DESCRIPTION"] == register.text
        fields = said[register.name].findall("./FIELDS/FIELD")
        assert [(each.get("NAME"), _properties(each)["BIT_OFFSET"]) for each in fields] == [
            (name, str(place)) for name, place, _ in register.bits
        ]
    assert [each.text for each in root.iter("EXTERNALPORTS")] == [None]


@pytest.mark.parametrize("name", [each.name for each in boards().values() if each.connection])
def test_pynqs_own_package_reads_it(name: str, tmp_path: Path) -> None:
    frontends = pytest.importorskip("pynqmetadata.frontends", reason="needs pynqmetadata")
    path = tmp_path / "bnn.hwh"
    own = board(name)
    where = dataclasses.replace(own.built, base=0x4000_0000, span=0x1000)
    path.write_text(description(dataclasses.replace(own, connection=where)))
    blocks = frontends.Metadata(input=str(path)).blocks
    assert list(blocks) == ["processing_system7", "accelerator"]
    port = blocks["accelerator"].ports["s_axi"]
    assert (port.baseaddr, port.range) == (0x4000_0000, 0x1000)
    read = {each.name: (each.offset, each.description) for each in port.registers.values()}
    assert read == {each.name: (each.offset, each.text) for each in registers.REGISTERS}


def test_vivados_script_ends_without_a_bitstream_where_timing_fails(tmp_path: Path) -> None:
    export.write(build(dense(), DENSE_FOLDING), board("pynq-z2").at(140), tmp_path)
    lines = (tmp_path / "build.tcl").read_text().splitlines()
    place = {line.split(maxsplit=1)[0]: number for number, line in enumerate(lines) if line.split()}
    order = ["file", "synth_design", "route_design", "write_checkpoint", "foreach"]
    assert [place[name] for name in order] == sorted(place[name] for name in order)
    assert lines[place["file"]] == "file delete -force bnn.bit"  # that of a run before
    check = "\n".join(lines[place["route_design"] :])
    assert check.index("foreach kind {setup hold}") < check.index("exit 1")
    assert check.index("exit 1") < check.index("write_bitstream -force bnn.bit")
    assert "140 MHz is not reached" in check
    assert "BNN_LUT6" not in "\n".join(lines)
