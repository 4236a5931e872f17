"""Fourier transforms: a transformed axis holds frequencies, the others keep their places."""

from __future__ import annotations

import operator
from typing import Any

from numpy import fft

from spatial_duck.geometry import Geometry
from spatial_duck.geometry._numbering import normalize_axis
from spatial_duck.rules._rule import rule

__all__: list[str] = []


def _length(name: str, n: int) -> int:
    """Return how many values a transform of `n` gives."""
    return n // 2 + 1 if name in ("rfft", "ihfft") else n


def _default(name: str, n: int) -> int:
    """Return how many values a transform takes of an axis of `n`, if not told."""
    return 2 * (n - 1) if name in ("irfft", "hfft") else n


def _transformed(name: str, a: Any, lengths: Any, axes: Any) -> Geometry | None:
    if not isinstance(a, Geometry):
        return None
    if axes is None:
        axes = range(-(len(lengths) if lengths is not None else a.ndim), 0)
    axes = [normalize_axis(i, a.ndim) for i in axes]
    real = name.rstrip("2n")
    shape = list(a.shape)
    # Only the last axis of a real transform is halved. It comes first; of an inverse, last.
    steps = list(enumerate(axes))
    for k, i in steps if real == "irfft" else steps[::-1]:
        kind = real if k == len(axes) - 1 else "fft"
        given = None if lengths is None else operator.index(lengths[k])
        if given is None:
            given = _default(kind, a.shape[i])
        elif given == -1:
            given = a.shape[i]
        shape[i] = _length(kind, given)
    return a.lose(list(dict.fromkeys(axes)), name, shape=shape)


def _one(name: str) -> Any:
    def geometry(
        a: Any, n: Any = None, axis: Any = -1, norm: Any = None, out: Any = None
    ) -> Geometry | None:
        return _transformed(name, a, None if n is None else (n,), (axis,))

    return geometry


def _two(name: str) -> Any:
    def geometry(
        a: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None, out: Any = None
    ) -> Geometry | None:
        return _transformed(name, a, s, axes)

    return geometry


def _many(name: str) -> Any:
    def geometry(
        a: Any, s: Any = None, axes: Any = None, norm: Any = None, out: Any = None
    ) -> Geometry | None:
        return _transformed(name, a, s, axes)

    return geometry


for _name in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft"):
    rule("plain", getattr(fft, _name))(_one(_name))
for _name in ("fft2", "ifft2", "rfft2", "irfft2"):
    rule("plain", getattr(fft, _name))(_two(_name))
for _name in ("fftn", "ifftn", "rfftn", "irfftn"):
    rule("plain", getattr(fft, _name))(_many(_name))


@rule("keeps", fft.fftshift, fft.ifftshift, deferrable=True)
def _fftshift(x: Geometry, axes: Any = None) -> Geometry:
    return x
