"""Changes made by hand: buildings pasted into one date, or covered with the ground around."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from training.crops import IGNORED

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
LARGE = 0.12
"""Share of a picture above which only a piece of a building, or of a block of them, is taken."""
TRIES = 6
"""Places whose ground is looked at to cover a building with."""
SOLID = np.ones((3, 3), bool)
"""What fits into no change is a sliver between two outlines."""
AROUND = 31
"""Pixels along the square whose ground is averaged where no other is found."""


@dataclass(frozen=True, eq=False)
class View:
    """One place on one day."""

    pixels: F32
    """``[3, E, E]`` of 0 to 1."""
    labels: U8
    """``[E, E]``: 1 building, 0 other, 255 unknown."""

    @property
    def roofs(self) -> Mask:
        """Where there is a building."""
        found: Mask = self.labels == 1
        return found


Edit = Callable[[View, View, np.random.Generator], View]
"""A view, another one to take from, and dice, to the view changed."""


def build(view: View, other: View, dice: np.random.Generator) -> View:
    """Some buildings of the other view stand here too."""
    return _over(view, other, chosen(other.roofs, dice), dice)


def erase(view: View, _other: View, dice: np.random.Generator) -> View:
    """Some buildings are gone, and ground like that around is there instead."""
    gone = chosen(view.roofs, dice)
    near = ndimage.binary_dilation(gone, iterations=int(dice.integers(1, 6)))
    ground = View(_ground(view, near, dice), np.zeros_like(view.labels))
    return _over(view, ground, gone | (near & ~view.roofs), dice)


def replace(view: View, other: View, dice: np.random.Generator) -> View:
    """A whole quarter is as in the other view."""
    return _over(view, other, blob(view.labels.shape, dice), dice)


def dig(view: View, other: View, dice: np.random.Generator) -> View:
    """Ground becomes other ground: nothing that counts as change."""
    here = blob(view.labels.shape, dice) & (view.labels == 0) & (other.labels == 0)
    return _over(view, other, here, dice)


def cover(view: View, _other: View, dice: np.random.Generator) -> View:
    """Ground is covered as ``erase`` covers roofs: nothing that counts as change."""
    here = chosen(np.roll(view.roofs, dice.integers(view.labels.shape[0], size=2), (0, 1)), dice)
    here &= view.labels == 0
    return _over(view, View(_ground(view, here, dice), np.zeros_like(view.labels)), here, dice)


def repaint(view: View, _other: View, dice: np.random.Generator) -> View:
    """Some roofs get another colour: nothing that counts as change."""
    here = chosen(view.roofs, dice)
    painted = (view.pixels * dice.uniform(0.5, 1.6, (3, 1, 1))).clip(0, 1).astype(np.float32)
    return _over(view, View(painted, view.labels), here, dice)


def _over(view: View, other: View, where: Mask, dice: np.random.Generator) -> View:
    """The other view where it is asked for, with an edge as soft as a lens would have it."""
    soft = ndimage.gaussian_filter(where.astype(np.float32), dice.uniform(0.3, 1.2))
    pixels = view.pixels + soft * (other.pixels - view.pixels)
    return View(pixels, np.where(where, other.labels, view.labels))


def chosen(roofs: Mask, dice: np.random.Generator) -> Mask:
    """Some patches of roofs; of large ones a piece."""
    numbers, count = ndimage.label(roofs)
    sizes = np.bincount(numbers.ravel(), minlength=count + 1)
    wanted = dice.random(count + 1) < dice.uniform(0.1, 0.7)
    wanted[0] = False
    large = wanted & (sizes > LARGE * roofs.size)
    found: Mask = (wanted & ~large)[numbers]
    return found | (large[numbers] & rectangles(roofs.shape, dice))


def rectangles(shape: tuple[int, ...], dice: np.random.Generator) -> Mask:
    """A few rectangles as large as houses, at all angles."""
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    found = np.zeros(shape, bool)
    for _ in range(dice.integers(1, 6)):
        y, x = (dice.uniform(0, n) for n in shape)
        angle, (half, other) = dice.uniform(0, np.pi), dice.uniform(0.04, 0.2, 2) * shape[0]
        along = (rows - y) * np.sin(angle) + (cols - x) * np.cos(angle)
        across = (rows - y) * np.cos(angle) - (cols - x) * np.sin(angle)
        found |= (np.abs(along) < half) & (np.abs(across) < other)
    return found


def blob(shape: tuple[int, ...], dice: np.random.Generator) -> Mask:
    """One or more patches of any shape, a tenth to a half of everything; or rectangles."""
    if dice.random() < 0.4:  # noqa: PLR2004 - a share
        return rectangles(shape, dice)
    coarse = dice.normal(size=(6, 6)).astype(np.float32)
    field = ndimage.zoom(coarse, shape[0] / 6, order=1)[: shape[0], : shape[1]]
    found: Mask = field > np.quantile(field, dice.uniform(0.5, 0.9))
    return found


def _ground(view: View, where: Mask, dice: np.random.Generator) -> F32:
    """Ground to put somewhere: as it is elsewhere in the view, or the mean of that around."""
    free = (view.labels == 0).astype(np.float32)
    taken, known = _elsewhere(view, where, dice)
    share = ndimage.uniform_filter(free, AROUND) + 1e-4
    mean = (view.pixels * free).mean((1, 2)) / max(float(free.mean()), 1e-4)
    around = ndimage.uniform_filter(view.pixels * free, (0, AROUND, AROUND))
    smooth = (around + 1e-4 * mean[:, None, None]) / share
    smooth += dice.normal(0, 0.03, smooth.shape).astype(np.float32)
    soft = ndimage.gaussian_filter(known.astype(np.float32), 2) * known
    filled: F32 = (smooth + soft * (taken - smooth)).astype(np.float32)
    return filled


def _elsewhere(view: View, where: Mask, dice: np.random.Generator) -> tuple[F32, Mask]:
    """The view moved so that most ground comes to lie somewhere, and where it then is ground."""
    free = view.labels == 0
    moves = dice.integers(len(free), size=(TRIES, 2))
    fits = [np.count_nonzero(np.roll(free, move, (0, 1)) & where) for move in moves]
    best = moves[int(np.argmax(fits))]
    known: Mask = np.roll(free, best, (0, 1))
    return np.roll(view.pixels, best, (1, 2)), known


def change(before: U8, after: U8) -> U8:
    """0 no change, 1 new building, 2 building gone, 255 unknown; slivers are unknown."""
    labels = np.zeros(before.shape, np.uint8)
    for number, (none, there) in enumerate(((before, after), (after, before)), start=1):
        differs = (none != 1) & (there == 1)
        labels[differs] = np.where(ndimage.binary_opening(differs, SOLID)[differs], number, IGNORED)
    labels[(before == IGNORED) | (after == IGNORED)] = IGNORED
    return labels
