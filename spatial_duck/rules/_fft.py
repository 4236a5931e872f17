"""Fourier transforms: a transformed axis holds frequencies, the others keep their places."""

from __future__ import annotations

import operator
from typing import Any

from numpy import fft

from spatial_duck.geometry import Geometry
from spatial_duck.geometry._numbering import normalize_axis
from spatial_duck.rules._rule import existing, geometry_or_none, rule

__all__: list[str] = []


def _output_length(name: str, n: int) -> int:
    """Return the length of the transform of `n` values."""
    return n // 2 + 1 if name in ("rfft", "ihfft") else n


def _input_length(name: str, n: int) -> int:
    """Return the default length of the input of a transform along an axis of length `n`."""
    return 2 * (n - 1) if name in ("irfft", "hfft") else n


@rule("plain", *existing(fft, "fft ifft rfft irfft hfft ihfft"))
def _one_axis(name: str, a: Any, n: Any, axis: Any) -> Geometry | None:
    if a.__class__ is not Geometry:
        return None
    shape = list(a.shape)
    i = normalize_axis(axis, len(shape))
    length = _input_length(name, shape[i]) if n is None else operator.index(n)
    shape[i] = _output_length(name, length)
    return a.lose(i, name, shape=shape)


@rule("plain", *existing(fft, "fft2 ifft2 rfft2 irfft2 fftn ifftn rfftn irfftn"))
def _several_axes(name: str, a: Any, s: Any, axes: Any) -> Geometry | None:
    if a.__class__ is not Geometry:
        return None
    if axes is None:
        axes = range(-(len(s) if s is not None else a.ndim), 0)
    axes = [normalize_axis(i, a.ndim) for i in axes]
    real = name.rstrip("2n")
    shape = list(a.shape)
    # Only the last axis of a real transform is halved. It comes first; of an inverse, last.
    steps = list(enumerate(axes))
    for k, i in steps if real == "irfft" else steps[::-1]:
        kind = real if k == len(axes) - 1 else "fft"
        given = None if s is None else operator.index(s[k])
        if given is None:
            given = _input_length(kind, a.shape[i])
        elif given == -1:
            given = a.shape[i]
        shape[i] = _output_length(kind, given)
    return a.lose(list(dict.fromkeys(axes)), name, shape=shape)


rule("keeps", fft.fftshift, fft.ifftshift, deferrable=True)(geometry_or_none)
