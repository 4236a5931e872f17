"""Images at several resolutions with exact geometry: `pyramid` and `Pyramid`.

`spatial_duck.pyramids._levels` says where the voxels of a level lie, and
`spatial_duck.pyramids._binning` how their values are made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self, overload

import numpy as np

from spatial_duck import backends
from spatial_duck._display._describe import size, summary_rows
from spatial_duck._display._drawing import Outline, card, drawing
from spatial_duck.array import SpatialArray, as_image
from spatial_duck.array._nodata import warn_of_nodata
from spatial_duck.errors import GeometryError
from spatial_duck.geometry._quantity import length_in
from spatial_duck.pyramids._binning import METHODS, Method, find_method, trim
from spatial_duck.pyramids._levels import (
    Factors,
    level_factors,
    level_geometries,
    shrunk_geometry,
    space_axes,
)

__all__ = [
    "METHODS",
    "Pyramid",
    "default_method",
    "pyramid",
    "shrink",
]

#: How many levels are drawn at most.
_MAX_DRAWN = 3


def default_method(image: SpatialArray) -> str:
    """Return the default method of binning for an image.

    Parameters
    ----------
    image : SpatialArray
        Its attrs may say that it holds labels, as readers note it: ``attrs["ome"]["image-label"]``
        of OME-Zarr.

    Returns
    -------
    str
        "mode" for labels, whose mean would be another object's; otherwise "mean".
    """
    ome = image.attrs.get("ome")
    labels = isinstance(ome, Mapping) and "image-label" in ome
    return "mode" if labels and np.dtype(image.dtype).kind in "biu" else "mean"


def shrink(image: SpatialArray, factors: Factors = None, method: str | None = None) -> SpatialArray:
    """Bin an image: one level down a pyramid.

    Parameters
    ----------
    image : SpatialArray
        On any backend; lazy ones stay lazy.
    factors : int, mapping or sequence, optional
        As for `level_factors`.
    method : {"mean", "gaussian", "nearest", "mode", "label"}, optional
        How the values of a bin become one; see `spatial_duck.pyramids._binning`. By default "mean",
        or "mode" where the image says that it holds labels.

    Returns
    -------
    SpatialArray
        Every voxel lies at the centre of its bin, or with "nearest" at the voxel that was taken.
        With "nearest" it is a view. Coordinates stay with axes that are not binned, and with
        "nearest" with all.
    """
    method = method or default_method(image)
    row = find_method(method)
    bins = level_factors(image.geometry, factors)
    geometry = shrunk_geometry(image.geometry, bins, method)
    if method == "nearest":
        view: SpatialArray = row.kernel(trim(image, bins), bins)
        return view.replace(geometry=geometry)
    data = trim(image, bins).data
    if backends.is_lazy(data):
        data = backends.dask_form(data)
        return image.replace(_shrink_dask(data, bins, row), geometry=geometry)
    return image.replace(row.kernel(data, bins), geometry=geometry)


def _shrink_dask(data: Any, bins: tuple[int, ...], row: Method) -> Any:
    import dask.array

    chunks = tuple(_align_chunks(c, f) for c, f in zip(data.chunks, bins, strict=True))
    if chunks != data.chunks:
        data = data.rechunk(chunks)
    out = tuple(tuple(n // f for n in c) for c, f in zip(chunks, bins, strict=True))
    made = {"dtype": data.dtype, "chunks": out, "meta": backends.empty_block(data)}
    if not row.reach:
        return dask.array.map_blocks(row.kernel, data, bins, **made)
    depth = {axis: row.reach * f if f > 1 else 0 for axis, f in enumerate(bins)}
    wider = dask.array.overlap.overlap(
        data, depth, dict.fromkeys(depth, "none"), allow_rechunk=False
    )
    return dask.array.map_blocks(_shrink_block, wider, bins=bins, row=row, **made)


def _shrink_block(block: Any, *, bins: tuple[int, ...], row: Method, block_info: Any = None) -> Any:
    """Return a block with a halo, binned, without the bins of the halo."""
    values = row.kernel(block, bins)
    if not block_info:
        return values
    keep = []
    for f, at, count in zip(
        bins, block_info[0]["chunk-location"], block_info[0]["num-chunks"], strict=True
    ):
        edge = row.reach if f > 1 else 0
        keep.append(slice(edge if at > 0 else 0, -edge or None if at < count - 1 else None))
    return values[tuple(keep)]


def _align_chunks(chunks: tuple[int, ...], factor: int) -> tuple[int, ...]:
    """Return chunks whose ends are moved up to multiples of a factor."""
    ends: list[int] = []
    position = 0
    for n in chunks:
        position += n
        end = -(-position // factor) * factor
        if not ends or end > ends[-1]:
            ends.append(end)
    ends[-1] = min(ends[-1], sum(chunks))
    return tuple(b - a for a, b in zip([0, *ends[:-1]], ends, strict=True))


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
        if not isinstance(levels, Pyramid | list | tuple):
            raise TypeError(
                f"a pyramid needs a sequence of images, got {type(levels).__name__}; "
                "pyramid(image) makes it"
            )
        self.levels = tuple([as_image(level, "Pyramid", "levels") for level in levels])
        if not self.levels:
            raise ValueError("a pyramid needs one level at least")
        for level in self.levels:
            if level.dims != self.levels[0].dims:
                raise GeometryError(
                    f"the levels of a pyramid must have the same dims, got {self.levels[0].dims!r} "
                    f"and {level.dims!r}"
                )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.levels,)

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

    def close(self) -> None:
        """Close the files of all levels: see `SpatialArray.close`."""
        for level in self.levels:
            level.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def at(self, spacing: float | Sequence[float]) -> SpatialArray:
        """Return the coarsest level that is at least as fine as `spacing` along every space axis.

        Parameters
        ----------
        spacing : float or sequence of float
            In the unit of the image; one number for all space axes or one for each, in array-axis
            order. Where even the finest level is coarser, that one.
        """
        spacing = length_in(spacing, self.levels[0].world, "spacing")
        best = self.levels[0]
        for level in self.levels[1:]:
            if (_space_spacing(level) <= np.asarray(spacing, float) * (1 + 1e-6)).all():
                best = level
        return best

    def upsample_to(
        self, image: SpatialArray, level: int = 0, *, interpolation: str = "linear"
    ) -> SpatialArray:
        """Resample a result on a coarse level to the grid of a finer one.

        Parameters
        ----------
        image : SpatialArray
            On any grid of the same world; its plain axes stay.
        level : int, optional
            Level whose grid is wanted; the finest by default.
        interpolation : str, optional
            As `resample` has it; "nearest" or "label" for labels.

        Returns
        -------
        SpatialArray
            Lazy where the image is. Voxels at the far end that fill no bin of the coarse level have
            the values at its edge.
        """
        from spatial_duck.resampling import resample

        to = self.levels[level].geometry
        found: SpatialArray = resample(image, to, interpolation=interpolation, fill="edge")
        return found

    def apply(
        self,
        function: Callable[[SpatialArray], SpatialArray],
        size: float | Sequence[float],
        *,
        voxels: float = 4,
        to: int | None = 0,
        interpolation: str = "linear",
    ) -> SpatialArray:
        """Call a function with the level that fits the size of what it looks for.

        Parameters
        ----------
        function : callable
            Called with the coarsest level in which a feature of that size is `voxels` voxels wide,
            or the finest where none is fine enough. Returns an image.
        size : float or sequence of float
            Size of the feature in the unit of the image, one for all space axes or one for each.
        voxels : float, optional
            How many voxels a feature needs across.
        to : int or None, optional
            Level to whose grid the result is brought by `upsample_to`; None leaves it.
        interpolation : str, optional
            As for `upsample_to`.

        Returns
        -------
        SpatialArray
            What the function returned, on the grid of level `to`.

        Examples
        --------
        >>> levels = pyramid(SpatialArray(np.zeros((128, 256)), spacing=0.5))
        >>> seen = []
        >>> bright = levels.apply(lambda level: seen.append(level.shape) or level > 1, size=8)
        >>> seen, bright.shape
        ([(32, 64)], (128, 256))
        """
        width = np.asarray(length_in(size, self.levels[0].world, "size"), dtype=np.float64)
        if not ((width > 0) & np.isfinite(width)).all() or not 0 < voxels < np.inf:
            raise GeometryError(
                f"size and voxels must be positive and finite, got {size!r} and {voxels!r}"
            )
        found = function(self.at((width / voxels).tolist()))
        if to is None:
            return found
        labels = found.dtype.kind == "b"
        how = "nearest" if labels and interpolation == "linear" else interpolation
        return self.upsample_to(found, to, interpolation=how)

    def __repr__(self) -> str:
        shapes = ", ".join(str(level.shape) for level in self.levels)
        number = f"{len(self.levels)} level{'s' * (len(self.levels) != 1)}"
        return f"Pyramid({number} of {self.levels[0].dims!r}: {shapes})"

    def _repr_html_(self) -> str:
        return _pyramid_html(self)


def _pyramid_html(levels: Pyramid) -> str:
    """Return a row for each level, and in one plane how each is cut into blocks."""
    rows, pictures = [], []
    for n, level in enumerate(levels):
        row = {"spacing": "", **dict(summary_rows(level.geometry))}["spacing"]
        shape = " × ".join(map(str, level.shape))
        rows.append((f"level {n}", f"{shape}, {size(level.nbytes)}, spacing {row}"))
        chunks = backends.chunks(level.data)
        if n < _MAX_DRAWN:
            pictures.append(drawing([Outline(level.geometry, chunks=chunks)], planes=1))
    number = f"{len(levels)} level{'s' * (len(levels) != 1)}"
    words = f"{number} of {', '.join(map(str, levels[0].dims))}, {levels[0].dtype}"
    return card(type(levels).__name__, words, rows, "".join(pictures))


def _space_spacing(image: SpatialArray) -> Any:
    space = space_axes(image.geometry)
    return image.spacing[[axis in space for axis in image.geometry.sampled_axes]]


def pyramid(
    image: SpatialArray,
    levels: int | None = None,
    *,
    factors: Factors = None,
    method: str | None = None,
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
        By default an anisotropic image is made isotropic first; see `level_factors`.
    method : {"mean", "gaussian", "nearest", "mode", "label"}, optional
        How the values of a bin become one; see `_binning`. Integers round half to even. By default
        "mean", or "mode" where the image says that it holds labels.

    Returns
    -------
    Pyramid
        A level shorter than a bin along an axis keeps that axis as it is.

    Raises
    ------
    ValueError
        If `levels` is less than 1, or there is no such method.
    """
    image = as_image(image, "pyramid")
    method = method or default_method(image)
    if method in ("mean", "gaussian"):
        warn_of_nodata(image, "pyramid")
    _, bins = level_geometries(image.geometry, levels, factors, method)
    out = [image]
    for step in bins[1:]:
        out.append(shrink(out[-1], step, method))
    return Pyramid(out)
