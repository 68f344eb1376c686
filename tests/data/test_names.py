# SPDX-License-Identifier: BSD-3-Clause
"""Names of classes: their order, and which folder or label means which class."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bnn.data.names import in_order, match, match_numbers, twins
from bnn.errors import DataError

DIGITS = [str(i) for i in range(20)]


@pytest.mark.parametrize(
    "names",
    [
        ["0", "1", "2", "10", "11", "100"],
        ["00001", "00002", "00010", "00100"],
        ["-3", "-1", "0", "2"],
        ["0.5", "1.25", "1.5", "10"],
        ["class1", "class2", "class10"],
        ["2 euro", "10 euro", "cent"],
        ["A", "B", "a"],
        ["cat", "dog"],
        ["", "1", "a"],
    ],
)
def test_order(names: list[str]) -> None:
    assert in_order(reversed(names)) == tuple(names)


@given(st.lists(st.integers(0, 10**6), unique=True))
def test_numbers_are_sorted_as_numbers(numbers: list[int]) -> None:
    assert in_order(map(str, numbers)) == tuple(map(str, sorted(numbers)))


@given(st.lists(st.text(max_size=6), unique=True), st.randoms())
def test_the_order_is_one_whatever_comes_first(names: list[str], random: object) -> None:
    shuffled = list(names)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert in_order(shuffled) == in_order(names)
    assert sorted(in_order(names)) == sorted(names)


@given(st.lists(st.sampled_from(DIGITS), min_size=1, unique=True), st.permutations(DIGITS))
def test_numbers_that_are_names_are_never_positions(names: list[str], classes: list[str]) -> None:
    found = match("set", names, classes)
    assert [classes[index] for index in found.indexes] == names
    assert found.notes == ()


def test_a_position_is_never_taken_for_the_name_of_another_class() -> None:
    """Folders 0, 1, 2 and classes 1, 10, 2, as models of before sorted them."""
    refusal = r"^set: subfolder 0 is not one of the 3 classes \(1, 10, 2\)"
    with pytest.raises(DataError, match=refusal):
        match("set", ["0", "1", "2"], ["1", "10", "2"])
    assert match("set", ["1", "2"], ["1", "10", "2"]).indexes.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (["0", "1"], ["a", "1"]),  # one of them is a name
        (["0", "3"], ["a", "1", "2", "c"]),  # none is a name, but classes are numbers
        (["0", "1", "2"], ["x1", "x10", "x2"]),  # classes are numbered, in another order
        (["1", "2"], ["sign 1", "sign 2"]),  # from 1, not from 0
        (["0", "a"], ["x", "y"]),
        (["0", "2"], ["x", "y"]),  # beyond the last class
        (["0", "00"], ["x", "y"]),
        (["-1", "0"], ["x", "y"]),
        (["\u0660", "\u0661"], ["x", "y"]),  # digits, but not ASCII's
    ],
)
def test_positions_that_could_be_wrong_are_refused(names: list[str], classes: list[str]) -> None:
    with pytest.raises(DataError, match="is not one of the"):
        match("set", names, classes)


def test_positions_are_said() -> None:
    found = match("set", ["00002", "00000"], ["stop", "yield", "no entry"])
    assert found.indexes.tolist() == [2, 0]
    assert found.notes == (
        "numbers are taken as positions, counted from 0: 00002 for no entry, 00000 for stop",
    )
    found = match("set", ["0", "1"], ["sign 0", "sign 1", "sign 2"])
    assert found.indexes.tolist() == [0, 1]
    letters = ["a", "b", "c", "d", "e", "f"]
    for count, more in ((4, ""), (5, " and 1 more"), (6, " and 2 more")):
        (note,) = match("set", list("012345")[:count], letters).notes
        assert note.endswith(f"from 0: 0 for a, 1 for b, 2 for c, 3 for d{more}")


@pytest.mark.parametrize(
    ("name", "classes", "index", "noted"),
    [
        ("Cat", ["dog", "cat"], 1, True),
        ("cat", ["Cat", "cat"], 1, False),  # the same spelling goes first
        ("STRASSE", ["weg", "straße"], 1, True),
        (unicodedata.normalize("NFD", "が"), ["か", "が"], 1, False),
        (unicodedata.normalize("NFD", "É"), ["e", "é"], 1, True),
        ("03", ["2", "3"], 1, True),
        ("3", ["002", "003"], 1, True),
    ],
)
def test_names_that_mean_the_same(
    name: str, classes: list[str], index: int, *, noted: bool
) -> None:
    found = match("set", [name], classes)
    assert found.indexes.tolist() == [index]
    assert bool(found.notes) == noted


@pytest.mark.parametrize(
    ("names", "classes", "said"),
    [
        (["Cat", "cat"], ["cat", "dog"], "subfolders Cat, cat all mean class cat"),
        (["1", "01"], ["1", "2"], "subfolders 1, 01 all mean class 1"),
        (["CAT"], ["Cat", "cat"], "CAT can mean 2 classes of the model: Cat, cat"),
        (["dog"], ["dog", "dog"], "dog can mean 2 classes"),
        (["dgo"], ["dog", "cat"], "rename dgo like dog"),
        (["a", "b", "c"], ["d", "e"], r"a is not one of the 2 classes \(d, e\), nor are b"),
    ],
)
def test_what_is_refused_is_named(names: list[str], classes: list[str], said: str) -> None:
    with pytest.raises(DataError, match=said):
        match("set", names, classes)


def test_twins_of_one_data_set() -> None:
    decomposed = unicodedata.normalize("NFD", "が")
    with pytest.raises(DataError, match="look the same; merge or rename"):
        twins("set", ["が", decomposed])
    with pytest.raises(DataError, match="subfolders 1, 01 are the same number"):
        twins("set", ["1", "2", "01"])
    assert twins("set", ["A", "b", "a"]) == (
        "the classes A, a differ in upper and lower case only",
    )
    assert twins("set", ["a", "b"]) == ()


def test_labels_without_names() -> None:
    assert match_numbers("set", [0, 1, 2], ["2", "0", "1", "7"]).indexes.tolist() == [1, 2, 0]
    assert match_numbers("set", [3, 1], ["1", "2", "3"]).indexes.tolist() == [-1, 0, -1, 2]
    found = match_numbers("set", range(2), ["cat", "dog", "cow"])
    assert found.indexes.tolist() == [0, 1]
    assert found.notes == ("labels are taken as positions, counted from 0: 0 for cat",)
    with pytest.raises(DataError, match="label 0 is not one of the model's classes"):
        match_numbers("set", range(3), ["1", "10", "2"])
    with pytest.raises(DataError, match="label 11 is not one of the model's classes"):
        match_numbers("set", [0, 1, 11], DIGITS[:10])
    with pytest.raises(DataError, match="label 2 is too large, the model has 2 classes"):
        match_numbers("set", range(3), ["cat", "dog"])
