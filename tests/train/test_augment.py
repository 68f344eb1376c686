# SPDX-License-Identifier: BSD-3-Clause
"""Augmentations keep what they must: bytes, shapes, and whose picture it is."""

import pytest

torch = pytest.importorskip("torch", reason="needs bnn-pynq[train]")

from bnn.train.augment import (  # noqa: E402
    AUGMENTATIONS,
    flip_and_shift,
    flip_shift_and_cut,
    mix,
    shift,
)


def numbered(count, height, width):
    """Pictures in which every pixel of a picture has its own value, and its picture's number."""
    places = torch.arange(height * width, dtype=torch.uint8).view(1, height, width, 1)
    owner = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1)
    return torch.cat([places.expand(count, -1, -1, -1), owner.expand(count, height, width, 1)], 3)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_bytes_and_shapes_stay(name):
    pictures = torch.randint(0, 256, (5, 9, 13, 3), dtype=torch.uint8)
    before = pictures.clone()
    found = AUGMENTATIONS[name](pictures)
    assert found.dtype == torch.uint8
    assert found.shape == pictures.shape
    assert torch.equal(pictures, before)


@pytest.mark.parametrize("change", [shift, flip_and_shift])
def test_moved_pictures_are_their_own(change):
    torch.manual_seed(1)
    pictures = numbered(200, 8, 10)
    moved = change(pictures)
    assert torch.equal(moved[..., 1], pictures[..., 1])
    # Neighbours in a row stay neighbours, reflection turns them round.
    steps = moved[:, :, 1:, 0].int() - moved[:, :, :-1, 0].int()
    assert set(steps.unique().tolist()) <= {-1, 1}
    assert len({tuple(one.flatten().tolist()) for one in moved[..., 0]}) > 40


def test_only_flip_and_shift_mirrors():
    torch.manual_seed(1)
    pictures = numbered(300, 8, 12)
    middle = slice(5, 7)  # farther from the border than pictures move
    turned = {
        change: (moved[:, :, middle, 0].int().diff(dim=2) < 0).flatten(1).all(1).float().mean()
        for change in (shift, flip_and_shift)
        for moved in [change(pictures)]
    }
    assert turned[shift] == 0
    assert 0.4 < turned[flip_and_shift] < 0.6


def test_cut_pictures_have_one_grey_square_and_vary_in_brightness():
    torch.manual_seed(1)
    pictures = torch.full((300, 32, 32, 3), 180, dtype=torch.uint8)
    found = flip_shift_and_cut(pictures)
    cut = (found == 128).all(3)
    rows, columns = cut.any(2).sum(1), cut.any(1).sum(1)
    assert torch.equal(rows * columns, cut.flatten(1).sum(1)), "it is a rectangle"
    assert rows.max() == columns.max() == 10
    assert rows.min() >= 5, "its middle lies inside"
    left = torch.stack([one[~hole].float().mean() for one, hole in zip(found, cut, strict=True)])
    assert 140 < left.min() < 160
    assert 200 < left.max() <= 255
    assert found[~cut].unique().numel() > 30


def test_a_picture_smaller_than_its_shift():
    pictures = torch.randint(0, 256, (20, 1, 2, 1), dtype=torch.uint8)
    assert shift(pictures).shape == pictures.shape


def test_distortion_keeps_a_digit_about_where_it_was():
    torch.manual_seed(1)
    pictures = torch.zeros(64, 28, 28, 1, dtype=torch.uint8)
    pictures[:, 10:18, 10:18] = 255
    moved = AUGMENTATIONS["distort"](pictures).float()
    assert 0.5 < moved.sum() / pictures.float().sum() < 1.5
    assert moved[:, 8:20, 8:20].sum() > 0.8 * moved.sum()
    assert (moved[0] - moved[1]).abs().max() > 100, "each picture its own way"


@pytest.mark.parametrize("evenness", [0.2, 1.0])
def test_blended_pictures_and_what_is_wanted_of_them_agree(evenness):
    torch.manual_seed(1)
    # Picture n is n everywhere and of class n: what was blended can be read off both.
    numbers = torch.arange(250, dtype=torch.uint8)
    pictures = numbers.view(-1, 1, 1, 1).repeat(1, 3, 5, 2)
    found, wanted = mix(pictures, torch.eye(250), evenness)
    assert found.dtype == torch.uint8
    assert torch.equal(pictures[:, 0, 0, 0], numbers), "the batch itself stays"
    assert (found == found[:, :1, :1, :1]).all()
    assert torch.allclose(wanted.sum(1), torch.ones(250))
    assert ((wanted > 0).sum(1) <= 2).all()
    own = wanted.diagonal()
    assert (own > 0).float().mean() > 0.9
    assert torch.equal(found[:, 0, 0, 0], (wanted @ numbers.float()).round().to(torch.uint8))
    # The variance of Beta(a, a).
    assert own.mean().item() == pytest.approx(0.5, abs=0.08)
    assert own.var().item() == pytest.approx(1 / (4 * (2 * evenness + 1)), abs=0.02)


@pytest.mark.parametrize("evenness", [5e-324, 1e-320, 1e-46, 1e-44, 1, 1000])
def test_pictures_are_blended_with_any_evenness_that_may_be_asked_for(evenness):
    pictures = torch.zeros(50, 2, 2, 1, dtype=torch.uint8)
    found, wanted = mix(pictures, torch.eye(50), evenness)
    assert torch.equal(found, pictures)
    assert torch.allclose(wanted.sum(1), torch.ones(50))
