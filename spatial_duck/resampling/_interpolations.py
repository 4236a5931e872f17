"""Interpolations: how many neighbours each looks at, and with what weights.

A position lies between the voxels ``floor(x)`` and ``floor(x) + 1``; an interpolation of `taps`
neighbours looks at ``floor(x) - taps // 2 + 1`` and those after it. B-splines of degree 3 and 5
weigh coefficients, which `prepare` makes of the values; their grid is mirrored about its outermost
voxel centres, as in ITK and in SciPy's mode ``"mirror"``. The others repeat the outermost values.
Lanczos has a radius of 5 voxels, as in SimpleITK; unlike there its weights are divided by their
sum, so that a constant stays what it is (SimpleITK's is off by up to 0.12 %).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.intp]

__all__ = ["INTERPOLATIONS", "Kind", "blur", "gaussian", "kinds", "lookup", "weights"]


class Kind(NamedTuple):
    """Properties of an interpolation.

    Attributes
    ----------
    taps : int
        Number of neighbours along each axis.
    poles : tuple of float
        Poles of the recursive filter that makes its coefficients (Unser, Aldroubi and Eden,
        IEEE Trans. Signal Processing 41, 1993); empty where it weighs the values themselves.
    """

    taps: int
    poles: tuple[float, ...] = ()

    @property
    def halo(self) -> int:
        """Voxels after which a coefficient no longer depends on a value, but for 2e-9 of it."""
        return max([math.ceil(math.log(1e-9) / math.log(-z)) for z in self.poles], default=0)


kinds = {
    "nearest": Kind(1),
    "linear": Kind(2),
    "cubic": Kind(4, (math.sqrt(3) - 2,)),
    "quintic": Kind(6, (
        math.sqrt(135 / 2 - math.sqrt(17745 / 4)) + math.sqrt(105 / 4) - 13 / 2,
        math.sqrt(135 / 2 + math.sqrt(17745 / 4)) - math.sqrt(105 / 4) - 13 / 2,
    )),
    "lanczos": Kind(10),
    "label": Kind(2),
}  # fmt: skip

INTERPOLATIONS = tuple(kinds)

#: Standard deviation of the smoothing before voxels are left out, in new voxels: at the new
#: Nyquist frequency 9 % of a wave is left, at 1.2 times that frequency 3 %.
_BLUR = 0.7


def blur(ratio: float) -> float:
    """Return the standard deviation of the smoothing for a ratio of spacings, in old voxels.

    The voxels that are there count as smoothed already, by so much of their own width.

    Examples
    --------
    >>> blur(1.0), round(blur(2.0), 3)
    (0.0, 1.212)
    """
    return _BLUR * math.sqrt(max(ratio * ratio - 1.0, 0.0))


def gaussian(sigma: float) -> Floats:
    """Return the weights of a Gaussian cut off at four standard deviations, of odd length."""
    radius = math.ceil(4 * sigma)
    found: Floats = np.exp(-0.5 * (np.arange(-radius, radius + 1) / max(sigma, 1e-9)) ** 2)
    found /= found.sum()
    return found


def weights(how: str, fraction: Floats) -> Floats:
    """Return the weight of each neighbour.

    Parameters
    ----------
    how : str
        One of `INTERPOLATIONS`, but ``"nearest"``.
    fraction : ndarray of float, shape (...)
        How far each position lies beyond the voxel below it.

    Returns
    -------
    ndarray of float, shape (..., taps)

    Examples
    --------
    >>> weights("cubic", np.zeros(1))[0] * 6
    array([1., 4., 1., 0.])
    """
    taps = kinds[how].taps
    t = np.abs(fraction[..., None] - np.arange(1 - taps // 2, taps // 2 + 1))
    found: Floats
    if how == "cubic":
        found = np.where(t < 1, (4 - 6 * t**2 + 3 * t**3) / 6, np.maximum(2 - t, 0) ** 3 / 6)
    elif how == "quintic":
        near = 11 / 20 - t**2 / 2 + t**4 / 4 - t**5 / 12
        middle = 17 / 40 + 5 * t / 8 - 7 * t**2 / 4 + 5 * t**3 / 4 - 3 * t**4 / 8 + t**5 / 24
        found = np.where(t < 1, near, np.where(t < 2, middle, np.maximum(3 - t, 0) ** 5 / 120))
    elif how == "lanczos":
        found = np.sinc(t) * np.sinc(t / (taps // 2))
        # Where a position is a voxel's centre the sines are only nearly 0.
        found = np.where(fraction[..., None] == 0, t == 0, found)
        found = found / found.sum(axis=-1, keepdims=True)
    else:
        found = np.maximum(1 - t, 0)
    return found


def lookup(index: NDArray[Any], n: int, mirror: bool) -> Ints:
    """Return the voxel that stands at each index of a grid that goes on beyond its ends."""
    found: Ints
    if not mirror:
        found = np.clip(index, 0, n - 1).astype(np.intp)
    else:
        period = max(2 * (n - 1), 1)
        inside = np.abs(index) % period
        found = (np.minimum(inside, period - inside) * (n > 1)).astype(np.intp)
    return found
