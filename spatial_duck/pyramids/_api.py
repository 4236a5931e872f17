"""Images at several resolutions with exact geometry: `pyramid` and `Pyramid`.

A voxel of a level stands for a whole bin of voxels of the level before it, and lies at that bin's
centre: for bins of n voxels the origin moves by (n - 1) / 2 of the old spacing along the axis, so
that a linear ramp sampled at a level's physical coordinates agrees with the level's values. With
``method="nearest"`` it lies at the voxel that was taken. Voxels at the far end that do not fill a
bin are left out, as in ITK's BinShrink: a value of fewer voxels would lie elsewhere than the grid
says. `spatial_duck.pyramids._binning` has the methods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from spatial_duck.array import SpatialArray, as_image
from spatial_duck.errors import GeometryError
from spatial_duck.geometry._world import LENGTHS, SPACE_AXES
from spatial_duck.pyramids._binning import METHODS, Method, method_named, trimmed

if TYPE_CHECKING:
    from spatial_duck.geometry import Geometry

    Factors = int | Mapping[str, int] | Sequence[int] | None

__all__ = [
    "METHODS",
    "Pyramid",
    "default_method",
    "level_factors",
    "level_geometries",
    "pyramid",
    "shrink",
    "shrunk_geometry",
]

#: A pyramid ends where the longest space axis has at most so many voxels.
_SMALLEST = 64
#: Axes whose spacing is within this of the finest are binned together with it.
_ALIKE = 2**0.5 * (1 + 1e-6)


def default_method(image: SpatialArray) -> str:
    """Return how the values of a bin become one where the caller does not say.

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


def level_factors(geometry: Geometry, factors: Factors = None) -> tuple[int, ...]:
    """Return the bin length along each array axis for one step down.

    Parameters
    ----------
    geometry : Geometry
        Of the level that is shrunk.
    factors : int, mapping of str to int, or sequence of int, optional
        One number for all space axes; a number for each axis by name; or one for each array axis.
        Axes that are shorter than their factor are kept. By default 2 along the space axis with the
        finest spacing and those within a factor of sqrt(2) of it, so that an anisotropic image is
        made isotropic first.

    Returns
    -------
    tuple of int

    Examples
    --------
    >>> from spatial_duck.geometry import Geometry
    >>> level_factors(Geometry((3, 1, 64, 65), dims=("t", "z", "y", "x")))
    (1, 1, 2, 2)
    >>> level_factors(Geometry((40, 512, 512), spacing=(5, 0.7, 0.7)))
    (1, 2, 2)
    """
    if factors is None:
        return _towards_isotropic(geometry)
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
    return tuple(int(f) if n >= f else 1 for n, f in zip(geometry.shape, wanted, strict=True))


def _towards_isotropic(geometry: Geometry) -> tuple[int, ...]:
    """Return 2 for the space axes that are finest and can still be halved, 1 for the others."""
    world = geometry.world
    units = dict(zip(world.axes, world.units, strict=True))
    known = all(units.get(name) in LENGTHS for name in geometry.dims if name in SPACE_AXES)
    sizes = {}
    for axis, spacing in zip(geometry.sampled_axes, geometry.spacing, strict=True):
        name = geometry.dims[axis]
        if name in SPACE_AXES and geometry.shape[axis] > 1:
            sizes[axis] = float(spacing) * (LENGTHS[str(units[name])] if known else 1.0)
    limit = min(sizes.values(), default=0.0) * _ALIKE
    return tuple(2 if sizes.get(axis, np.inf) <= limit else 1 for axis in range(geometry.ndim))


def shrunk_geometry(geometry: Geometry, factors: Sequence[int], method: str = "mean") -> Geometry:
    """Return the geometry of bins of voxels.

    Parameters
    ----------
    geometry : Geometry
        Of the image.
    factors : sequence of int
        Bin length along each array axis.
    method : str, optional
        How the values of a bin become one, which says where it lies.

    Examples
    --------
    >>> from spatial_duck.geometry import Geometry
    >>> shrunk_geometry(Geometry((9,), spacing=2), (4,))
    Geometry(shape=(2,), spacing=(8,), origin=(3,), dims=('x',), world=World(axes=('x',), \
units=(None,), frame=None))
    """
    place = method_named(method).place
    steps = np.array([factors[i] for i in geometry.sampled_axes], float)
    moved = np.array([place(factors[i]) for i in geometry.sampled_axes], float)
    shift = geometry.direction @ (geometry.spacing * moved)
    return geometry.replace(
        shape=tuple(n // f for n, f in zip(geometry.shape, factors, strict=True)),
        spacing=(geometry.spacing * steps).tolist(),
        origin=(geometry.origin + shift).tolist(),
    )


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
        With "nearest" it is a view.
    """
    method = method or default_method(image)
    row = method_named(method)
    bins = level_factors(image.geometry, factors)
    geometry = shrunk_geometry(image.geometry, bins, method)
    if method == "nearest":
        view: SpatialArray = row.kernel(trimmed(image, bins), bins)
        return SpatialArray(view.data, geometry, attrs=image.attrs)
    data = trimmed(image, bins).data
    if hasattr(data, "to_dask"):
        data = data.to_dask()
    if hasattr(data, "dask"):
        return SpatialArray(_shrink_dask(data, bins, row), geometry, attrs=image.attrs)
    return SpatialArray(row.kernel(data, bins), geometry, attrs=image.attrs)


def _shrink_dask(data: Any, bins: tuple[int, ...], row: Method) -> Any:
    import dask.array

    chunks = tuple(_aligned(c, f) for c, f in zip(data.chunks, bins, strict=True))
    if chunks != data.chunks:
        data = data.rechunk(chunks)
    out = tuple(tuple(n // f for n in c) for c, f in zip(chunks, bins, strict=True))
    made = {"dtype": data.dtype, "chunks": out, "meta": data._meta}
    if not row.reach:
        return dask.array.map_blocks(row.kernel, data, bins, **made)
    depth = {axis: row.reach * f if f > 1 else 0 for axis, f in enumerate(bins)}
    wider = dask.array.overlap.overlap(
        data, depth, dict.fromkeys(depth, "none"), allow_rechunk=False
    )
    return dask.array.map_blocks(_inner, wider, bins=bins, row=row, **made)


def _inner(block: Any, *, bins: tuple[int, ...], row: Method, block_info: Any = None) -> Any:
    """Apply a kernel to a block with its neighbours, and cut what is theirs off."""
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

    def upsample_to(
        self, image: SpatialArray, level: int = 0, *, interpolation: str = "linear"
    ) -> SpatialArray:
        """Bring what was made of a coarse level to the grid of a finer one.

        Parameters
        ----------
        image : SpatialArray
            On any grid of the same world; its plain axes stay.
        level : int, optional
            Whose grid is wanted; the finest by default.
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
            Of the feature in the unit of the image: one number for all space axes, or one for each.
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
        width = np.asarray(size, dtype=np.float64)
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
        return f"Pyramid({len(self.levels)} levels of {self.levels[0].dims!r}: {shapes})"


def _space_spacing(image: SpatialArray) -> Any:
    keep = [image.dims[i] in SPACE_AXES for i in image.geometry.sampled_axes]
    return image.spacing[keep]


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
    _, bins = level_geometries(image.geometry, levels, factors, method)
    out = [image]
    for step in bins[1:]:
        out.append(shrink(out[-1], step, method))
    return Pyramid(out)


def level_geometries(
    geometry: Geometry, levels: int | None = None, factors: Factors = None, method: str = "mean"
) -> tuple[list[Geometry], list[tuple[int, ...]]]:
    """Return the geometry of each level of a pyramid, and its bins against the one before.

    Parameters
    ----------
    geometry : Geometry
        Of the finest level.
    levels, factors, method : optional
        As for `pyramid`.

    Returns
    -------
    geometries : list of Geometry
    bins : list of tuple of int
        Bin length along each array axis; ones for the finest level.
    """
    method_named(method)
    if levels is not None and (levels != int(levels) or levels < 1):
        raise ValueError(f"levels must be 1 or more, with the image itself, got {levels!r}")
    geometries, bins = [geometry], [(1,) * geometry.ndim]
    while levels is None or len(geometries) < levels:
        g = geometries[-1]
        step = level_factors(g, factors)
        if (levels is None and _longest(g) <= _SMALLEST) or max(step, default=1) == 1:
            break
        bins.append(step)
        geometries.append(shrunk_geometry(g, step, method))
    return geometries, bins


def _longest(geometry: Geometry) -> int:
    return max(
        (n for n, name in zip(geometry.shape, geometry.dims, strict=True) if name in SPACE_AXES),
        default=0,
    )
