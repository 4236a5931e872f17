"""Images at several resolutions with exact geometry: `pyramid` and `Pyramid`.

A voxel of a level stands for a whole bin of voxels of the level before it, and lies at that bin's
centre: for bins of n voxels the origin moves by (n - 1) / 2 of the old spacing along the axis, so
that a linear ramp sampled at a level's physical coordinates agrees with the level's values. Voxels
at the far end that do not fill a bin are left out, as in ITK's BinShrink. To add a method, write a
function of a NumPy block whose lengths are multiples of the factors, and add a row to `METHODS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from spatial_duck.array import SpatialArray
from spatial_duck.errors import GeometryError, missing_extra
from spatial_duck.world import SPACE_AXES

if TYPE_CHECKING:
    from collections.abc import Callable

    from spatial_duck.geometry import Geometry

    Factors = int | Mapping[str, int] | Sequence[int]

__all__ = ["METHODS", "Pyramid", "level_factors", "pyramid", "shrink", "shrunk_geometry"]

#: A pyramid ends where the longest space axis has at most so many voxels.
_SMALLEST = 64


def _mean(block: Any, factors: tuple[int, ...]) -> Any:
    """Average bins; integers round half to even, and NaN spreads in its bin only."""
    split: list[int] = []
    for n, f in zip(block.shape, factors, strict=True):
        split += [n // f, f]
    axes = tuple(range(1, 2 * block.ndim, 2))
    kind = block.dtype.kind
    # float64 sums are exact for integers of up to 32 bits, and keep float32 images exact enough.
    wide = "complex128" if kind == "c" else "float64"
    mean = block.reshape(split).mean(axis=axes, dtype=wide)
    if kind in "iu":
        return mean.round().astype(block.dtype)
    return (mean > 0.5 if kind == "b" else mean).astype(block.dtype)


#: How the values of a bin become one.
METHODS: Mapping[str, Callable[[Any, tuple[int, ...]], Any]] = MappingProxyType({"mean": _mean})


def level_factors(geometry: Geometry, factors: Factors = 2) -> tuple[int, ...]:
    """Return the bin length along each array axis for one step down.

    Parameters
    ----------
    geometry : Geometry
        Of the level that is shrunk.
    factors : int, mapping of str to int, or sequence of int, optional
        One number for all space axes; a number for each axis by name; or one for each array axis.
        Axes that are shorter than their factor are kept.

    Returns
    -------
    tuple of int

    Examples
    --------
    >>> from spatial_duck.geometry import Geometry
    >>> level_factors(Geometry((3, 1, 64, 65), dims=("t", "z", "y", "x")))
    (1, 1, 2, 2)
    """
    space = [name in SPACE_AXES and i in geometry.sampled_axes
             for i, name in enumerate(geometry.dims)]  # fmt: skip
    if isinstance(factors, Mapping):
        unknown = [name for name in factors if name not in geometry.dims]
        if unknown:
            raise GeometryError(f"factors: {unknown!r} are not among dims {geometry.dims!r}")
        wanted = [factors.get(name, 1) if name else 1 for name in geometry.dims]
    elif isinstance(factors, Sequence):
        wanted = list(factors)
    else:
        wanted = [factors if is_space else 1 for is_space in space]
    if len(wanted) != geometry.ndim or any(f != int(f) or f < 1 for f in wanted):
        raise GeometryError(
            f"factors must hold an int of at least 1 for each of the axes {geometry.dims!r}, "
            f"got {factors!r}"
        )
    return tuple(
        int(f) if n >= f else 1 for n, f in zip(geometry.shape, wanted, strict=True)
    )


def shrunk_geometry(geometry: Geometry, factors: Sequence[int]) -> Geometry:
    """Return the geometry of bins of voxels.

    Parameters
    ----------
    geometry : Geometry
        Of the image.
    factors : sequence of int
        Bin length along each array axis.

    Examples
    --------
    >>> from spatial_duck.geometry import Geometry
    >>> shrunk_geometry(Geometry((9,), spacing=2), (4,))
    Geometry(shape=(2,), spacing=(8,), origin=(3,), dims=('x',), world=World(axes=('x',), \
units=(None,), frame=None))
    """
    steps = np.array([factors[i] for i in geometry.sampled_axes], float)
    shift = geometry.direction @ (geometry.spacing * (steps - 1) / 2)
    return geometry.replace(
        shape=tuple(n // f for n, f in zip(geometry.shape, factors, strict=True)),
        spacing=(geometry.spacing * steps).tolist(),
        origin=(geometry.origin + shift).tolist(),
        lost=geometry.lost,
    )


def shrink(image: SpatialArray, factors: Factors = 2, method: str = "mean") -> SpatialArray:
    """Bin an image: one level down a pyramid.

    Parameters
    ----------
    image : SpatialArray
        On any backend; lazy ones stay lazy.
    factors : int, mapping or sequence, optional
        As for `level_factors`.
    method : {"mean"}, optional
        How the values of a bin become one.

    Returns
    -------
    SpatialArray
        Every voxel lies at the centre of its bin.
    """
    kernel = _method(method)
    bins = level_factors(image.geometry, factors)
    geometry = shrunk_geometry(image.geometry, bins)
    trimmed = image[tuple(slice(0, n * f) for n, f in zip(geometry.shape, bins, strict=True))]
    data = trimmed.data
    if hasattr(data, "to_dask"):
        data = data.to_dask()
    if hasattr(data, "dask"):
        return SpatialArray(_shrink_dask(data, bins, kernel), geometry, attrs=image.attrs)
    return SpatialArray(kernel(data, bins), geometry, attrs=image.attrs)


def _shrink_dask(data: Any, bins: tuple[int, ...], kernel: Any) -> Any:
    try:
        import dask.array
    except ImportError:
        raise missing_extra("dask", "dask", "A lazy pyramid") from None
    chunks = tuple(_aligned(c, f) for c, f in zip(data.chunks, bins, strict=True))
    if chunks != data.chunks:
        data = data.rechunk(chunks)
    out = tuple(tuple(n // f for n in c) for c, f in zip(chunks, bins, strict=True))
    return dask.array.map_blocks(
        kernel, data, bins, dtype=data.dtype, chunks=out, meta=data._meta
    )


def _aligned(chunks: tuple[int, ...], factor: int) -> tuple[int, ...]:
    """Move the ends of chunks up to multiples of a factor."""
    ends: list[int] = []
    position = 0
    for n in chunks:
        position += n
        end = -(-position // factor) * factor
        if not ends or end > ends[-1]:
            ends.append(end)
    ends[-1] = min(ends[-1], sum(chunks))
    return tuple(b - a for a, b in zip([0, *ends[:-1]], ends, strict=True))


def _method(method: str) -> Callable[[Any, tuple[int, ...]], Any]:
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    return METHODS[method]


class Pyramid(Sequence[SpatialArray]):
    """One image at several resolutions, the finest first.

    Parameters
    ----------
    levels : sequence of SpatialArray
        With the same dims.

    Examples
    --------
    >>> levels = pyramid(SpatialArray(np.zeros((128, 256)), spacing=0.5))
    >>> [level.shape for level in levels]
    [(128, 256), (64, 128), (32, 64)]
    >>> levels.at(1.7).spacing
    array([1., 1.])
    """

    __slots__ = ("levels",)

    def __init__(self, levels: Sequence[SpatialArray]) -> None:
        self.levels = tuple(levels)
        if not self.levels:
            raise ValueError("a pyramid needs one level at least")
        for level in self.levels:
            if level.dims != self.levels[0].dims:
                raise GeometryError(
                    f"the levels of a pyramid must have the same dims, got {self.levels[0].dims!r} "
                    f"and {level.dims!r}"
                )

    @overload
    def __getitem__(self, index: int) -> SpatialArray: ...

    @overload
    def __getitem__(self, index: slice) -> Pyramid: ...

    def __getitem__(self, index: int | slice) -> SpatialArray | Pyramid:
        """Return a level, or a pyramid of some."""
        return Pyramid(self.levels[index]) if isinstance(index, slice) else self.levels[index]

    def __len__(self) -> int:
        """Return the number of levels."""
        return len(self.levels)

    def __iter__(self) -> Iterator[SpatialArray]:
        """Iterate over the levels, the finest first."""
        return iter(self.levels)

    def at(self, spacing: float | Sequence[float]) -> SpatialArray:
        """Return the coarsest level that is at least as fine as `spacing` along every space axis.

        Parameters
        ----------
        spacing : float or sequence of float
            In the unit of the image; one number for all space axes or one for each, in array-axis
            order. Where even the finest level is coarser, that one.
        """
        best = self.levels[0]
        for level in self.levels[1:]:
            if (_space_spacing(level) <= np.asarray(spacing, float) * (1 + 1e-6)).all():
                best = level
        return best

    def __repr__(self) -> str:
        shapes = ", ".join(str(level.shape) for level in self.levels)
        return f"Pyramid({len(self.levels)} levels of {self.levels[0].dims!r}: {shapes})"


def _space_spacing(image: SpatialArray) -> Any:
    keep = [image.dims[i] in SPACE_AXES for i in image.geometry.sampled_axes]
    return image.spacing[keep]


def pyramid(
    image: SpatialArray,
    levels: int | None = None,
    *,
    factors: Factors = 2,
    method: str = "mean",
) -> Pyramid:
    """Return an image at several resolutions.

    Parameters
    ----------
    image : SpatialArray
        On any backend; lazy ones stay lazy.
    levels : int, optional
        Number of levels with the image itself; by default until the longest space axis has at
        most 64 voxels.
    factors : int, mapping of str to int, or sequence of int, optional
        Bin length from level to level: for all space axes, by axis name, or for each array axis.
    method : {"mean"}, optional
        How the values of a bin become one. Integers round half to even.

    Returns
    -------
    Pyramid
        A level shorter than a bin along an axis keeps that axis as it is.
    """
    _method(method)
    out = [image]
    while levels is None or len(out) < levels:
        g = out[-1].geometry
        if levels is None and _longest(g) <= _SMALLEST:
            break
        if max(level_factors(g, factors), default=1) == 1:
            break
        out.append(shrink(out[-1], factors, method))
    return Pyramid(out)


def _longest(geometry: Geometry) -> int:
    return max(
        (n for n, name in zip(geometry.shape, geometry.dims, strict=True) if name in SPACE_AXES),
        default=0,
    )
