# SPDX-License-Identifier: BSD-3-Clause
"""Things on a plain ground become light on black, as in Fashion-MNIST; those are not changed."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageDraw

import bnn
from bnn.data.pictures.ground import all_on_black, on_black
from bnn.data.pictures.preprocess import OnBlack, Preprocess
from bnn.errors import DataError

LEVELS = hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)))


def thing(ground, level, size=28):
    levels = np.full((size, size), ground, np.uint8)
    levels[size // 4 : -size // 4, size // 3 : -size // 3] = level
    return levels


@pytest.mark.parametrize(
    ("ground", "level"),
    [(255, 0), (255, 60), (255, 225), (170, 110), (110, 190), (0, 90), (64, 127)],
)
def test_things_become_white_on_black(ground, level):
    assert (on_black(thing(ground, level)) == thing(0, 255)).all()


@pytest.mark.parametrize(("ground", "level"), [(0, 128), (0, 255), (64, 128), (64, 255)])
def test_things_on_black_are_not_changed(ground, level):
    levels = thing(ground, level)
    assert on_black(levels) is levels


@pytest.mark.parametrize(("ground", "level"), [(255, 240), (65, 80), (0, 15), (0, 0), (255, 255)])
def test_blank_pictures_show_nothing(ground, level):
    assert on_black(thing(ground, level)) is None


def test_a_thing_may_touch_three_quarters_of_the_edge():
    """So do wide bags and tall coats in Fashion-MNIST."""
    levels = np.full((8, 8), 200, np.uint8)  # 28 pixels of edge
    levels[0, :7] = 0
    assert on_black(levels) is not levels
    levels[0, 7] = 0
    assert on_black(levels) is levels


def test_shades_keep_their_order():
    levels = thing(255, 30)
    levels[12:14, 12:14] = 180
    found = on_black(levels)
    assert found[13, 13] == (255 - 180) * 255 // (255 - 30)
    assert found[0, 0] == 0
    assert found.max() == 255


@given(LEVELS)
def test_any_levels(levels):
    found = on_black(levels)
    if found is not None:
        assert found.shape == levels.shape
        assert found.dtype == np.uint8
        assert found.max() >= 128
        assert on_black(found) is not None


@given(hnp.arrays(np.uint8, st.tuples(st.integers(0, 4), st.just(5), st.just(6), st.just(1))))
def test_many_are_changed_as_one(pictures):
    before = pictures.copy()
    found = all_on_black(pictures)
    for one, now in zip(pictures[..., 0], found[..., 0], strict=True):
        wanted = on_black(one)
        assert (now == (one if wanted is None else wanted)).all()
    assert (pictures == before).all()


def drawn(ground, colour, size=280):
    picture = Image.new("RGB", (size, size), ground)
    legs = [(95, 40), (185, 40), (200, 245), (155, 245), (140, 100), (125, 245), (80, 245)]
    ImageDraw.Draw(picture).polygon(legs, fill=colour)
    return picture


@pytest.mark.parametrize("size", [280, 28])
@pytest.mark.parametrize(
    ("ground", "colour"),
    [
        ("black", "#d2d2d2"),
        ("white", "#3c3c3c"),
        ("white", "#e1e1e1"),
        ("white", "#c8141e"),
        ("#aa825a", "#1e1e3c"),
        ("#287832", "#f5f5f5"),
    ],
)
def test_trousers_on_any_ground_are_trousers(ground, colour, size):
    picture = drawn(ground, colour).resize((size, size))
    model = bnn.load("lfc-fashion-w1a1")
    clf = bnn.Classifier(model)
    assert model.classes[clf.classify([picture])[0]] == "Trouser"


def test_a_blank_picture_is_refused_by_name(tmp_path):
    path = tmp_path / "blank.png"
    Image.new("L", (50, 60), 250).save(path)
    with pytest.raises(DataError, match=r"blank\.png: is blank \(grey levels 250 to 250\)"):
        OnBlack().to_array(path, (28, 28, 1))


def test_the_kind_is_stored():
    assert Preprocess.from_json({"kind": "on-black"}) == OnBlack()
    assert bnn.load("lfc-fashion-w1a1").preprocess == OnBlack()


def test_colours_of_three_channels_are_grey():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = OnBlack().to_array(drawn("white", "#c8141e"), (28, 28, 3))
    assert (found == found[..., :1]).all()
    pictures = np.zeros((2, 28, 28, 3), np.uint8)
    assert OnBlack().ready(pictures) is pictures
