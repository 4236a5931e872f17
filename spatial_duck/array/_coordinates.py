"""Coordinates of an image: values for the indices of an axis, such as channel names.

Channel names, b-values, echo times, slice times: one value for each index of one axis (or one for
the whole image), which moves with its axis. A geometry knows nothing of them.

Users see `Coordinate` objects. An image holds `Held` ones in a dict that is never changed, so that
images share it: an axis there is a number, as axes without a name can carry coordinates too.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from spatial_duck import backends
from spatial_duck.errors import GeometryError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import DTypeLike, NDArray

    from spatial_duck.geometry import Geometry

__all__ = [
    "COMPONENT",
    "Coordinate",
    "Coordinates",
    "Held",
    "Moves",
    "check_coords",
    "drop_positions",
    "freeze_coords",
    "is_equal",
    "keep_fitting",
]

#: Kinds of NumPy's types that a coordinate may have: numbers, times and text.
_KINDS = "biufcmMU"
#: The coordinate of an axis of vectors; see `spatial_duck.array._vectors`.
COMPONENT = "component"
#: Longest vector that one index may have.
_MAX_VECTOR = 16


class Held(NamedTuple):
    """A coordinate as an image holds it.

    Attributes
    ----------
    axis : int or None
        The array axis; None for a value of the whole image.
    values : ndarray
        Read-only, of shape (n,) or (n, k) along an axis of length n, else () or (k,).
    unit : str or None
        Unit of the values.
    attrs : dict
        Facts about the coordinate as a whole; never changed.
    """

    axis: int | None
    values: NDArray[Any]
    unit: str | None
    attrs: dict[str, Any]


#: Where the axes of an image go: for each source axis that can be followed, the axis of the
#: result (None where it left) and the index of each voxel along the source: an int where the axis
#: left, a slice, an array of int (those out of range are unknown), or None for all in order. None
#: stands for an axis that cannot be followed, as does its absence.
Moves = dict[int, tuple[int | None, Any] | None]


class Coordinate:
    """One value for each index of an axis, or one for the whole image; it cannot be changed.

    Parameters
    ----------
    dims : tuple of (str or None)
        The name of its axis; empty for a value of the whole image.
    values : ndarray
        One number, time or string for each index, shape (n,), or one small vector, shape (n, k).
    unit : str, optional
        Unit of the values.
    attrs : mapping, optional
        Facts about the coordinate as a whole.

    Examples
    --------
    >>> channel = Coordinate(("c",), np.array(["DAPI", "GFP"]))
    >>> list(channel), len(channel)
    (['DAPI', 'GFP'], 2)
    """

    __slots__ = ("attrs", "dims", "unit", "values")

    dims: tuple[str | None, ...]
    values: NDArray[Any]
    unit: str | None
    attrs: Mapping[str, Any]

    def __init__(
        self,
        dims: tuple[str | None, ...],
        values: NDArray[Any],
        unit: str | None = None,
        attrs: Mapping[str, Any] | None = None,
    ) -> None:
        values = np.asarray(values)
        if values.flags.writeable:
            values = values.copy()
            values.flags.writeable = False
        for name, value in (
            ("dims", tuple(dims)),
            ("values", values),
            ("unit", unit),
            ("attrs", MappingProxyType(dict(attrs or {}))),
        ):
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(
            f"the {name} of a Coordinate cannot be set, as images share it: give another with "
            "image.replace(coords={...})"
        )

    def __delattr__(self, name: str) -> None:
        self.__setattr__(name, None)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.values.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the values."""
        return self.values.shape

    @property
    def ndim(self) -> int:
        """Number of axes of the values."""
        return self.values.ndim

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.values, dtype=dtype, copy=copy)

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values.tolist())

    def __getitem__(self, key: Any) -> Any:
        """Return ``values[key]``."""
        return self.values[key]

    def item(self) -> Any:
        """Return the value of a coordinate that has only one, as a Python object."""
        return self.values.item()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Coordinate):
            return NotImplemented
        same = (self.dims, self.unit, dict(self.attrs)) == (
            other.dims, other.unit, dict(other.attrs),
        )  # fmt: skip
        return same and is_equal(self.values, other.values)

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return Coordinate, (self.dims, self.values, self.unit, dict(self.attrs))

    def __repr__(self) -> str:
        shown = np.array2string(self.values, threshold=6, edgeitems=2, separator=", ")
        parts = [f"{self.dims!r}, {' '.join(shown.split())}"]
        parts += [f"unit={self.unit!r}"] if self.unit is not None else []
        parts += [f"attrs={dict(self.attrs)!r}"] if self.attrs else []
        return f"Coordinate({', '.join(parts)})"


# --- from users, and to them --------------------------------------------------------------


def check_coords(coords: Mapping[str, Any] | None, geometry: Geometry) -> dict[str, Held] | None:
    """Check coordinates from a user, and return them as an image holds them.

    Parameters
    ----------
    coords : mapping of str to (axis, values[, attrs]), Coordinate, or a single value
        As xarray spells them; ``unit`` among the attrs is the unit.
    geometry : Geometry
        Geometry of the image.

    Raises
    ------
    GeometryError
        If one is not valid; the message names it, what it must be and what came.
    """
    if not coords:
        return None
    if not isinstance(coords, Mapping):
        raise GeometryError(
            "coords must be a mapping of names, such as {'channel': ('c', ['DAPI', 'GFP'])}, got "
            f"{type(coords).__name__}"
        )
    return {
        _check_name(name): _check_coord(name, value, geometry) for name, value in coords.items()
    }


def _check_name(name: Any) -> str:
    if not (isinstance(name, str) and name):
        raise GeometryError(f"coords: names must be strings, got {name!r}")
    return name


def _check_coord(name: str, given: Any, geometry: Geometry) -> Held:
    if isinstance(given, Held):
        given = (() if given.axis is None else given.axis, *given[1:])
    axis, values, unit, attrs = _split_coord(name, given, geometry)
    if _is_lazy(values):
        raise GeometryError(
            f"coords[{name!r}] must be in memory, got a lazy {type(values).__name__}: compute it "
            "first"
        )
    array = _values(name, values)
    length: tuple[int, ...] = () if axis is None else (geometry.shape[axis],)
    vector = array.shape[len(length) :]
    if array.shape[: len(length)] != length or len(vector) > 1:
        wanted = (
            "one value"
            if axis is None
            else f"{length[0]} values, one for each index of axis {axis} ({geometry.dims[axis]!r})"
        )
        raise GeometryError(
            f"coords[{name!r}] must hold {wanted} (or a small vector for each), got shape "
            f"{array.shape}"
        )
    if vector and (vector[0] > _MAX_VECTOR or array.dtype.kind not in "biufc"):
        raise GeometryError(
            f"coords[{name!r}]: a vector holds at most {_MAX_VECTOR} numbers, got {vector[0]} of "
            f"type {array.dtype}; keep what is larger in attrs, or in an image of its own"
        )
    return Held(axis, _freeze(array), unit, attrs)


def _split_coord(
    name: str, given: Any, geometry: Geometry
) -> tuple[int | None, Any, str | None, dict[str, Any]]:
    """Return axis, values, unit and attrs of one coordinate from a user."""
    dims = geometry.dims
    attrs: Any = {}
    unit = None
    if isinstance(given, tuple) and len(given) in (2, 3, 4):
        where, values = given[:2]
        unit, attrs = given[2:] if len(given) == 4 else (None, given[2] if given[2:] else {})
    elif hasattr(given, "dims") and hasattr(given, "values"):  # a Coordinate, or xarray's
        where, values = tuple(given.dims), given.values
        unit, attrs = getattr(given, "unit", None), getattr(given, "attrs", {})
    else:
        where, values = (name if name in dims else ()), given
    if not isinstance(attrs, Mapping):
        raise GeometryError(f"coords[{name!r}]: attrs must be a mapping, got {attrs!r}")
    attrs = dict(attrs)
    for key in ("unit", "units"):
        unit = attrs.pop(key, None) if unit is None else unit
    if unit is not None and not isinstance(unit, str):
        unit = str(unit)
    if isinstance(where, tuple | list):
        if len(where) > 1:
            raise GeometryError(
                f"coords[{name!r}] must lie along one axis, got {tuple(where)!r}; a vector for "
                "each index is values of shape (n, k) along the axis of the n"
            )
        where = where[0] if where else ()
    if isinstance(where, tuple):
        return None, values, unit, attrs
    if isinstance(where, int) and not isinstance(where, bool) and 0 <= where < len(dims):
        axis = where
    elif where is not None and where in dims:
        axis = dims.index(where)
    elif where is None and dims.count(None) == 1:
        axis = dims.index(None)
    else:
        raise GeometryError(f"coords[{name!r}]: there is no axis {where!r} among dims {dims!r}")
    return axis, values, unit, attrs


def _is_lazy(values: Any) -> bool:
    """Whether looking at values would compute or read them."""
    if isinstance(values, np.ndarray | np.generic) or not hasattr(values, "shape"):
        return False
    try:
        return backends.is_lazy(backends.adopt(values))
    except TypeError:  # an array of no known backend, such as a column of pandas
        return False


def _values(name: str, values: Any) -> NDArray[Any]:
    """Return values as an array of numbers, times or text."""
    array = np.asarray(values)
    if array.dtype.kind == "U" and isinstance(values, list | tuple):
        other = next((v for v in _leaves(values) if not isinstance(v, str)), None)
        if other is not None:
            raise GeometryError(
                f"coords[{name!r}] must hold values of one kind, got text and {other!r}: write "
                "all of them as text, or all as numbers with NaN for what is unknown"
            )
    if array.dtype.kind == "O":
        kinds = {type(v) for v in array.flat}
        if kinds <= {str, np.str_}:
            array = array.astype(str)
        elif all(isinstance(v, dt.timedelta) for v in array.flat):
            array = array.astype("timedelta64[us]")
        elif all(isinstance(v, dt.date) for v in array.flat):  # a datetime is a date
            whole = not any(isinstance(v, dt.datetime) for v in array.flat)
            array = array.astype("datetime64[D]" if whole else "datetime64[us]")
    elif array.dtype.kind == "T":
        array = array.astype(str)
    if array.dtype.kind not in _KINDS:
        raise GeometryError(
            f"coords[{name!r}] must hold numbers, strings or times, got type {array.dtype}; "
            "free metadata belong in attrs"
        )
    return array


def _leaves(values: Any) -> Iterator[Any]:
    """Yield the values of nested lists."""
    for value in values:
        if isinstance(value, list | tuple):
            yield from _leaves(value)
        else:
            yield value


def _freeze(array: NDArray[Any]) -> NDArray[Any]:
    """Return a read-only array: a copy, unless it is one already."""
    if array.flags.writeable or array.base is not None:
        array = array.copy()
        array.flags.writeable = False
    return array


def freeze_coords(coords: dict[str, Held] | None) -> dict[str, Held] | None:
    """Return coordinates with read-only arrays, for those of a pickle."""
    return coords and {n: h._replace(values=_freeze(h.values)) for n, h in coords.items()}


def keep_fitting(
    coords: dict[str, Held] | None, old: Sequence[int], new: Sequence[int]
) -> dict[str, Held] | None:
    """Return the coordinates that fit an image after its data were replaced."""
    if not coords or tuple(old) == tuple(new):
        return coords
    return {
        name: h
        for name, h in coords.items()
        if h.axis is None or (len(new) == len(old) and new[h.axis] == old[h.axis])
    }


def drop_positions(geometry: Geometry, coords: dict[str, Held] | None) -> Geometry:
    """Return a geometry with plain axes where a coordinate gives the positions.

    A world axis along which no other axis runs leaves with them.
    """
    said = [
        h.axis
        for name, h in (coords or {}).items()
        if h.axis in geometry.sampled_axes and geometry.dims[h.axis or 0] == name
    ]
    if not said:
        return geometry
    kept = [c for c, axis in enumerate(geometry.sampled_axes) if axis not in said]
    along = geometry.direction[:, [c for c in range(len(geometry.sampled_axes)) if c not in kept]]
    others = geometry.direction[:, kept]
    rows = [r for r in range(len(geometry.world.axes)) if others[r].any() or not along[r].any()]
    return geometry.unplace(said).to_world([geometry.world.axes[r] for r in rows])


class Coordinates(Mapping[str, Coordinate]):
    """The coordinates of an image by name, as users see them.

    Parameters
    ----------
    coords : dict or None
        As the image holds them.
    dims : tuple of (str or None)
        The names of its axes.
    """

    __slots__ = ("_dims", "_held")

    #: xarray looks for these attributes in operands of a DataArray; empty, since names of
    #: axes there are xarray's own.
    variables: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    xindexes: ClassVar[Mapping[str, Any]] = MappingProxyType({})

    def __init__(self, coords: dict[str, Held] | None, dims: tuple[str | None, ...]) -> None:
        self._held = coords or {}
        self._dims = dims

    def __getitem__(self, name: str) -> Coordinate:
        h = self._held.get(name)
        if h is None:
            raise KeyError(f"{name!r} is not among the coordinates {list(self._held)}")
        dims = () if h.axis is None else (self._dims[h.axis],)
        return Coordinate(dims, h.values, h.unit, h.attrs)

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)

    def __repr__(self) -> str:
        return repr(dict(self))


def is_equal(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Whether two arrays of values are equal, missing values included."""
    if a is b:
        return True
    if a.shape != b.shape or (a.dtype.kind != b.dtype.kind and "U" in a.dtype.kind + b.dtype.kind):
        return False
    floating = a.dtype.kind in "fcmM" and b.dtype.kind in "fcmM"
    try:
        return bool(np.array_equal(a, b, equal_nan=floating))
    except (TypeError, ValueError):  # times and numbers
        return False
