"""An xarray index that holds a geometry and updates it in xarray's operations.

Imported on first use, as it subclasses xarray's `Index`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from xarray import Coordinates, Index, Variable
from xarray.core.indexing import IndexSelResult  # the result that every Index.sel returns

from spatial_duck.errors import GeometryError, GeometryMismatchError
from spatial_duck.geometry import Geometry
from spatial_duck.interop._data_arrays import GEOMETRY_COORD, geometry_coords, world_axis_of

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

__all__ = ["GridIndex", "index_coords"]

#: How near to a voxel's centre a label must be without ``method="nearest"``, in voxels.
_LABEL_TOLERANCE = 1e-6


def index_coords(g: Geometry, dims: Sequence[str], encoded: Sequence[str] = ()) -> Any:
    """Return a geometry as xarray coordinates with a `GridIndex`.

    Parameters
    ----------
    g : Geometry
        Any geometry; plain axes get no coordinate.
    dims : sequence of str
        Names of its axes in xarray.
    encoded : sequence of str, optional
        Names of the array's attributes that are encoded as JSON.
    """
    if not g.sampled_axes:
        return Coordinates(geometry_coords(g, dims, encoded), {})
    space = g[tuple([slice(None) if i in g.sampled_axes else 0 for i in range(g.ndim)])]
    index = GridIndex(space, tuple([dims[i] for i in g.sampled_axes]), tuple(encoded))
    variables = index.create_variables()
    return Coordinates(variables, dict.fromkeys(variables, index))


class GridIndex(Index):
    """An xarray index of the sampled axes of a DataArray.

    Parameters
    ----------
    geometry : Geometry
        Geometry with the sampled axes alone.
    dims : tuple of str
        Their names in xarray.
    encoded : tuple of str
        Names of the array's attributes that are encoded as JSON.
    scalars : mapping of str to float, optional
        Scalar coordinates of axes that were indexed with an integer.
    """

    def __init__(
        self,
        geometry: Geometry,
        dims: tuple[str, ...],
        encoded: tuple[str, ...] = (),
        scalars: Mapping[str, Any] | None = None,
    ) -> None:
        self.geometry = geometry
        self.dims = dims
        self.encoded = encoded
        self.scalars = dict(scalars or {})

    def geometry_for(self, dims: Sequence[str], shape: Sequence[int]) -> Geometry:
        """Return the geometry of an array with axes `dims`; those without index are plain."""
        sampled = [i for i, name in enumerate(dims) if name in self.dims]
        g = self.geometry.transpose([self.dims.index(dims[i]) for i in sampled])
        names = [None if n.startswith("dim_") and n not in self.dims else n for n in dims]
        if len(sampled) == len(dims):
            return g.replace(dims=names)
        return Geometry(
            shape, g.spacing, g.origin, g.direction, names, sampled=sampled, world=g.world
        )

    def create_variables(self, variables: Mapping[Any, Any] | None = None) -> dict[Any, Any]:
        """Return the coordinates of the axes; other attributes of those given are kept."""
        coords = geometry_coords(self.geometry, self.dims, self.encoded)
        created = {name: Variable(*parts) for name, parts in coords.items()}
        for name, variable in created.items():
            if variables is not None and name in variables and name != GEOMETRY_COORD:
                variable.attrs = {**variables[name].attrs, **variable.attrs}
        return created | {name: Variable((), value) for name, value in self.scalars.items()}

    def isel(self, indexers: Mapping[Any, Any]) -> GridIndex | None:
        """Return the index of the selected voxels; None where they do not lie on a grid."""
        g, dims, scalars = self.geometry, list(self.dims), dict(self.scalars)
        for name, key in indexers.items():
            if name not in dims or getattr(key, "dims", (name,)) not in ((name,), ()):
                return None
            index = getattr(key, "values", key)
            axis = dims.index(name)
            if not isinstance(index, slice) and np.ndim(index) == 0:
                index = int(index)
                scalars[name] = geometry_coords(g, dims)[name][1][index]
                dims.pop(axis)
            g = g[(slice(None),) * axis + (index,)]
            if g.lost:
                return None
        return type(self)(g, tuple(dims), self.encoded, scalars)

    def sel(self, labels: dict[Any, Any], method: str | None = None, tolerance: Any = None) -> Any:
        """Return the indices of voxels at positions along world axes; oblique axes are refused."""
        if method not in (None, "nearest"):
            raise ValueError(f"sel takes method='nearest' or none, got {method!r}")
        indices = {
            name: self._find_label(name, at, method, tolerance) for name, at in labels.items()
        }
        return IndexSelResult(indices)

    def _find_label(self, name: Any, label: Any, method: str | None, tolerance: Any) -> Any:
        """Return the indices of positions along an axis: an int, an array or a slice."""
        axis = self.dims.index(name)
        column, step = self.geometry.direction[:, axis], self.geometry.spacing[axis]
        row = world_axis_of(column)
        if row is None:
            raise GeometryError(
                f"the axis {name!r} is oblique to the world, so that a position along a world axis "
                "is not one index: use isel, or crop, sample or reorient of "
                "spatial_duck.asarray(array)"
            )
        n, step = self.geometry.shape[axis], float(step * column[row])
        start = float(self.geometry.origin[row])
        if isinstance(label, slice):
            ends = [None if v is None else (v - start) / step for v in (label.start, label.stop)]
            if None not in ends:
                ends.sort()  # the lower end may be named first, whichever way the axis runs
            low = -np.inf if ends[0] is None else ends[0]
            high = np.inf if ends[1] is None else ends[1]
            first = int(np.ceil(max(low - _LABEL_TOLERANCE, 0)))
            last = int(np.floor(min(high + _LABEL_TOLERANCE, n - 1)))
            return slice(first, max(last + 1, first), label.step)
        values = np.asarray(getattr(label, "values", label), np.float64)
        index = (values - start) / step
        nearest = np.floor(index + 0.5)
        if method is None:
            allowed = _LABEL_TOLERANCE
        else:
            allowed = 0.5 if tolerance is None else tolerance / abs(step)
        if not ((nearest >= 0) & (nearest < n) & (abs(index - nearest) <= allowed)).all():
            raise KeyError(
                f"no voxel at {label!r} along {name!r}, which runs from {start:g} to "
                f"{start + step * (n - 1):g} in steps of {step:g}; method='nearest' selects the "
                "voxel that contains the position"
            )
        indices = nearest.astype(int)
        if not indices.ndim:
            return int(indices)
        dims = getattr(label, "dims", None)
        return indices if dims is None else Variable(dims, indices)

    def equals(self, other: Any, *, exclude: Iterable[Hashable] | None = None) -> bool:
        """Whether another index has the same axes on the same grid; axes may be excluded."""
        if not isinstance(other, GridIndex) or set(other.dims) != set(self.dims):
            return False
        excluded = {str(name) for name in exclude or ()}
        return self._canonical(excluded).isclose(other._canonical(excluded))

    def _canonical(self, excluded: set[str]) -> Geometry:
        """Return the geometry for comparison: axes sorted by name, without those excluded."""
        names = sorted(self.dims)
        g = self.geometry.transpose([self.dims.index(n) for n in names])
        g = g.replace(dims=[f"axis{i}" for i in range(g.ndim)])
        if not excluded:
            return g
        part = g[tuple([0 if n in excluded else slice(None) for n in names])]
        return part.replace(origin=np.zeros(len(part.origin)))  # it differs along excluded axes

    def join(self, other: GridIndex, how: str = "inner") -> GridIndex:  # noqa: ARG002
        """Return the index itself if the other is equal; other grids are refused."""
        self._check_equal(other)
        return self

    def reindex_like(self, other: GridIndex) -> dict[Any, Any]:
        """Return no indexers if the other index is equal; other grids are refused."""
        self._check_equal(other)
        return {}

    def _check_equal(self, other: GridIndex) -> None:
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
        """Return the index of arrays that are concatenated along an axis.

        Raises
        ------
        GeometryMismatchError
            If an array does not begin one step after the end of the one before it.
        """
        first, *others = indexes
        if positions is not None:
            raise GeometryError(
                "positions: arrays with a GridIndex are concatenated in their order"
            )
        joined = first.geometry.concatenate(
            *[i.geometry for i in others], axis=first.dims.index(str(dim))
        )
        return cls(joined, first.dims, first.encoded, first.scalars)

    def rename(self, name_dict: Mapping[Any, Any], dims_dict: Mapping[Any, Any]) -> GridIndex:
        """Return the index with its axes renamed."""
        names = {**dims_dict, **name_dict}
        dims = tuple([str(names.get(name, name)) for name in self.dims])
        return type(self)(self.geometry, dims, self.encoded, self.scalars)

    def _repr_inline_(self, max_width: int) -> str:
        return f"GridIndex({', '.join(self.dims)})"[:max_width]
