"""An xarray index that is a geometry: it keeps the place of bare voxels in xarray's operations.

Imported on first use, as it subclasses xarray's `Index`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from xarray import Coordinates, Index, Variable
from xarray.core.indexing import IndexSelResult  # the result that every Index.sel returns

from spatial_duck.errors import GeometryError, GeometryMismatchError
from spatial_duck.geometry import Geometry
from spatial_duck.interop._data_arrays import PLACE, axis_of, place_coords

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

__all__ = ["GridIndex", "grid_coordinates"]

#: Labels without ``method="nearest"`` lie so near to a voxel's centre, in voxels.
_EXACT = 1e-6


def grid_coordinates(g: Geometry, dims: Sequence[str], encoded: Sequence[str] = ()) -> Any:
    """Return the coordinates of a geometry with their index, as xarray takes them.

    Parameters
    ----------
    g : Geometry
        Any; plain axes have no coordinate.
    dims : sequence of str
        Names of its axes in xarray.
    encoded : sequence of str, optional
        Names of the array's attributes that hold JSON.
    """
    if not g.sampled_axes:
        return Coordinates(place_coords(g, dims, encoded), {})
    space = g[tuple([slice(None) if i in g.sampled_axes else 0 for i in range(g.ndim)])]
    index = GridIndex(space, tuple([dims[i] for i in g.sampled_axes]), tuple(encoded))
    variables = index.create_variables()
    return Coordinates(variables, dict.fromkeys(variables, index))


class GridIndex(Index):
    """Where the sampled axes of a DataArray lie.

    Parameters
    ----------
    geometry : Geometry
        Of the sampled axes alone.
    dims : tuple of str
        Their names in xarray.
    encoded : tuple of str
        Names of the array's attributes that hold JSON.
    left : mapping
        Coordinates of axes that an integer index took.
    """

    def __init__(
        self,
        geometry: Geometry,
        dims: tuple[str, ...],
        encoded: tuple[str, ...] = (),
        left: Mapping[str, Any] | None = None,
    ) -> None:
        self.geometry = geometry
        self.dims = dims
        self.encoded = encoded
        self.left = dict(left or {})

    def geometry_of(self, dims: Sequence[str], shape: Sequence[int]) -> Geometry:
        """Return the geometry of an array with these axes, of which others are plain."""
        own = [name for name in dims if name in self.dims]
        g = self.geometry.transpose([self.dims.index(name) for name in own])
        names = [None if n.startswith("dim_") and n not in self.dims else n for n in dims]
        if len(own) == len(dims):
            return g.replace(dims=names)
        sampled = [i for i, name in enumerate(dims) if name in self.dims]
        return Geometry(
            shape, g.spacing, g.origin, g.direction, names, sampled=sampled, world=g.world
        )

    def create_variables(self, variables: Mapping[Any, Any] | None = None) -> dict[Any, Any]:
        """Return the coordinates, each with what attributes it has beside those of its place."""
        found = place_coords(self.geometry, self.dims, self.encoded)
        made = {name: Variable(*parts) for name, parts in found.items()}
        for name, variable in made.items():
            if variables is not None and name in variables and name != PLACE:
                variable.attrs = {**variables[name].attrs, **variable.attrs}
        return made | {name: Variable((), value) for name, value in self.left.items()}

    def isel(self, indexers: Mapping[Any, Any]) -> GridIndex | None:
        """Return the index of the voxels that are taken; None where they are on no grid."""
        g, dims, left = self.geometry, list(self.dims), dict(self.left)
        for name, key in indexers.items():
            bare = getattr(key, "values", key) if getattr(key, "dims", (name,)) == (name,) else None
            if isinstance(key, Variable) and key.ndim == 0:
                bare = key.values
            if bare is None or name not in dims:
                return None
            axis = dims.index(name)
            if not isinstance(bare, slice) and np.ndim(bare) == 0:
                bare = int(bare)
                left[name] = place_coords(g, dims)[name][1][bare]
                dims.pop(axis)
            g = g[(slice(None),) * axis + (bare,)]
            if g.lost:
                return None
        return type(self)(g, tuple(dims), self.encoded, left)

    def sel(self, labels: dict[Any, Any], method: str | None = None, tolerance: Any = None) -> Any:
        """Return the voxels at places along world axes; oblique axes are refused."""
        if method not in (None, "nearest"):
            raise ValueError(f"sel takes method='nearest' or none, got {method!r}")
        found = {name: self._find(name, at, method, tolerance) for name, at in labels.items()}
        return IndexSelResult(found)

    def _find(self, name: Any, label: Any, method: str | None, tolerance: Any) -> Any:
        axis = self.dims.index(name)
        column, step = self.geometry.direction[:, axis], self.geometry.spacing[axis]
        along = axis_of(column)
        if along is None:
            raise GeometryError(
                f"the axis {name!r} is oblique to the world, so that a place along it is no plane "
                "of voxels: use isel, or crop, sample or reorient of spatial_duck.asarray(array)"
            )
        n, step = self.geometry.shape[axis], float(step * column[along])
        start = float(self.geometry.origin[along])
        if isinstance(label, slice):
            ends = [None if v is None else (v - start) / step for v in (label.start, label.stop)]
            if None not in ends:
                ends.sort()  # the lower end may be named first, whichever way the axis runs
            low = -np.inf if ends[0] is None else ends[0]
            high = np.inf if ends[1] is None else ends[1]
            first = int(np.ceil(max(low - _EXACT, 0)))
            last = int(np.floor(min(high + _EXACT, n - 1)))
            return slice(first, max(last + 1, first), label.step)
        values = np.asarray(getattr(label, "values", label), np.float64)
        index = (values - start) / step
        nearest = np.floor(index + 0.5)
        off = abs(index - nearest)
        allowed = _EXACT if method is None else 0.5 if tolerance is None else tolerance / abs(step)
        if not ((nearest >= 0) & (nearest < n) & (off <= allowed)).all():
            raise KeyError(
                f"no voxel at {label!r} along {name!r}, which runs from {start:g} to "
                f"{start + step * (n - 1):g} in steps of {step:g}; method='nearest' takes the "
                "voxel that holds the place"
            )
        whole = nearest.astype(int)
        if not whole.ndim:
            return int(whole)
        dims = getattr(label, "dims", None)
        return whole if dims is None else Variable(dims, whole)

    def equals(self, other: Any, *, exclude: Iterable[Hashable] | None = None) -> bool:
        """Whether another index has the same axes in the same place, apart from some of them."""
        if not isinstance(other, GridIndex) or set(other.dims) != set(self.dims):
            return False
        own = [name for name in self.dims if name not in (exclude or ())]
        mine, theirs = (index._along(own, bool(exclude)) for index in (self, other))
        return mine.isclose(theirs)

    def _along(self, names: Sequence[str], is_part: bool) -> Geometry:
        g = self.geometry.transpose([self.dims.index(n) for n in self.dims])
        order = sorted(range(g.ndim), key=lambda i: self.dims[i])
        g = g.transpose(order).replace(dims=[f"axis{i}" for i in range(g.ndim)])
        if not is_part:
            return g
        key = [slice(None) if n in names else 0 for n in sorted(self.dims)]
        part = g[tuple(key)]
        return part.replace(origin=np.zeros(len(part.origin)))  # along the others it may lie apart

    def join(self, other: GridIndex, how: str = "inner") -> GridIndex:  # noqa: ARG002
        """Return the index itself: of other grids alignment is refused."""
        self._check(other)
        return self

    def reindex_like(self, other: GridIndex) -> dict[Any, Any]:
        """Return nothing to index by: other grids are refused."""
        self._check(other)
        return {}

    def _check(self, other: GridIndex) -> None:
        if not self.equals(other):
            raise GeometryMismatchError(
                "the arrays lie on different grids, which xarray cannot align; "
                "spatial_duck.resample brings one onto another's:\n"
                f"{self.geometry!r}\n{other.geometry!r}"
            )

    @classmethod
    def concat(
        cls, indexes: Sequence[GridIndex], dim: Hashable, positions: Any = None
    ) -> GridIndex:
        """Return the index of arrays that continue one another along an axis.

        Raises
        ------
        GeometryMismatchError
            If one does not begin where the one before it ended.
        """
        first, *others = indexes
        if positions is not None:
            raise GeometryError("arrays are put together in their order, not at positions")
        joined = first.geometry.concatenate(
            *[i.geometry for i in others], axis=first.dims.index(str(dim))
        )
        return cls(joined, first.dims, first.encoded, first.left)

    def rename(self, name_dict: Mapping[Any, Any], dims_dict: Mapping[Any, Any]) -> GridIndex:
        """Return the index with other names of axes."""
        names = {**dims_dict, **name_dict}
        dims = tuple([str(names.get(name, name)) for name in self.dims])
        return type(self)(self.geometry, dims, self.encoded, self.left)

    def _repr_inline_(self, max_width: int) -> str:
        return f"GridIndex({', '.join(self.dims)})"[:max_width]
