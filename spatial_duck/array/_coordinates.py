"""What the indices of an axis stand for beyond their place: coordinates of an image.

Channel names, b-values, echo times, slice times: one value for each index of one axis (or one for
the whole image), which moves with its axis. A geometry knows nothing of them.

Users see `Coordinate` objects. An image holds `Held` ones in a dict that is never changed, so that
images share it: an axis there is a number, as axes without a name can carry coordinates too.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from spatial_duck import backends
from spatial_duck.errors import GeometryError, GeometryMismatchError

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
    "common_attrs",
    "cut",
    "equal",
    "frozen",
    "held",
    "merged",
    "moved",
    "on_other_grid",
    "still_fitting",
    "taken",
    "without_positions",
]

#: Kinds of NumPy's types that a coordinate may have: numbers, times and text.
_KINDS = "biufcmMU"
#: The coordinate of an axis of vectors; see `spatial_duck.array._vectors`.
COMPONENT = "component"
#: Longest vector that one index may have.
_MAX_VECTOR = 16
#: What stands where a value is unknown, by kind of type; other kinds have nothing for it.
_MISSING: dict[str, Any] = {"f": np.nan, "c": np.nan, "m": "NaT", "M": "NaT", "U": ""}


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


#: What becomes of the axes of an image: for each source axis that can be followed, the axis of the
#: result (None where it left) and the index of each voxel along the source: an int where the axis
#: left, an array of int (those out of range are unknown), or None for all in their order. None
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
        return same and equal(self.values, other.values)

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


def held(coords: Mapping[str, Any] | None, geometry: Geometry) -> dict[str, Held] | None:
    """Check what a user gives as coordinates, and return what an image holds.

    Parameters
    ----------
    coords : mapping of str to (axis, values[, attrs]), Coordinate, or a single value
        As xarray spells them; ``unit`` among the attrs is the unit.
    geometry : Geometry
        Of the image.

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
    return {_name(name): _held(name, value, geometry) for name, value in coords.items()}


def _name(name: Any) -> str:
    if not (isinstance(name, str) and name):
        raise GeometryError(f"coords: names must be strings, got {name!r}")
    return name


def _held(name: str, given: Any, geometry: Geometry) -> Held:
    if isinstance(given, Held):
        given = (() if given.axis is None else given.axis, *given[1:])
    axis, values, unit, attrs = _parts(name, given, geometry)
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
    return Held(axis, _frozen(array), unit, attrs)


def _parts(
    name: str, given: Any, geometry: Geometry
) -> tuple[int | None, Any, str | None, dict[str, Any]]:
    """Take what a user gives for one coordinate apart: axis, values, unit, attrs."""
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
    except TypeError:  # no array of a backend, such as a column of pandas
        return False


def _values(name: str, values: Any) -> NDArray[Any]:
    """Return values as an array of numbers, times or text."""
    array = np.asarray(values)
    if array.dtype.kind == "O":
        kinds = {type(v) for v in array.flat}
        if kinds <= {str, np.str_}:
            array = array.astype(str)
        elif all(hasattr(v, "isoformat") and hasattr(v, "hour") for v in array.flat):
            array = array.astype("datetime64[us]")
    elif array.dtype.kind == "T":
        array = array.astype(str)
    if array.dtype.kind not in _KINDS:
        raise GeometryError(
            f"coords[{name!r}] must hold numbers, strings or times, got type {array.dtype}; "
            "free metadata belong in attrs"
        )
    return array


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array that nobody can change: a copy, unless it is such a one already."""
    if array.flags.writeable or array.base is not None:
        array = array.copy()
        array.flags.writeable = False
    return array


def frozen(coords: dict[str, Held] | None) -> dict[str, Held] | None:
    """Return coordinates with read-only arrays, which a pickle does not keep so."""
    return coords and {n: h._replace(values=_frozen(h.values)) for n, h in coords.items()}


def still_fitting(
    coords: dict[str, Held] | None, old: Sequence[int], new: Sequence[int]
) -> dict[str, Held] | None:
    """Return the coordinates that fit an image after its data were replaced by others."""
    if not coords or tuple(old) == tuple(new):
        return coords
    return {
        name: h
        for name, h in coords.items()
        if h.axis is None or (len(new) == len(old) and new[h.axis] == old[h.axis])
    }


def on_other_grid(
    coords: dict[str, Held] | None, old: Geometry, new: Geometry
) -> dict[str, Held] | None:
    """Return the coordinates of axes that a physical operation leaves as they are.

    Plain axes keep their order among themselves, and sampled ones are found by their names: they
    keep theirs, such as those of time, only where their places are the same.

    Parameters
    ----------
    coords : dict or None
        Of the image.
    old, new : Geometry
        Of the image, and of what was made of it.
    """
    if coords is None or old is new:
        return coords
    plain, now = ([a for a in range(g.ndim) if a not in g.sampled_axes] for g in (old, new))
    same = [old.shape[a] for a in plain] == [new.shape[a] for a in now]
    axes = dict(zip(plain, now, strict=True)) if same else {}
    for a in old.sampled_axes:
        name = old.dims[a]
        b = new.dims.index(name) if name is not None and name in new.dims else None
        if b in new.sampled_axes and _along(old, a) == _along(new, b):
            axes[a] = b
    return {
        name: h if h.axis is None else h._replace(axis=axes[h.axis])
        for name, h in coords.items()
        if h.axis is None or h.axis in axes
    } or None


def _along(geometry: Geometry, axis: int) -> Any:
    """Return where the indices of a sampled axis lie along the world axes that it runs along."""
    column = geometry.sampled_axes.index(axis)
    steps = (geometry.direction[:, column] * geometry.spacing[column]).tolist()
    parts = zip(geometry.world.axes, steps, geometry.origin.tolist(), strict=True)
    return geometry.shape[axis], [part for part in parts if part[1]]


def cut(coords: dict[str, Held] | None, key: Sequence[slice]) -> dict[str, Held] | None:
    """Return the coordinates of a block, from a slice for each axis."""
    return coords and {
        n: h if h.axis is None else h._replace(values=h.values[key[h.axis]])
        for n, h in coords.items()
    }


def without_positions(geometry: Geometry, coords: dict[str, Held] | None) -> Geometry:
    """Return a geometry in which the axes are plain whose coordinate says where they lie.

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

    #: xarray looks for these in whatever it adds to a DataArray; the names of axes there are its
    #: own, so that ours say nothing to it.
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


# --- movements ----------------------------------------------------------------------------


def taken(values: NDArray[Any], index: Any) -> NDArray[Any] | None:
    """Return the values at an index, with the missing value of their type where it is out of range.

    Parameters
    ----------
    values : ndarray, shape (n, ...)
        The values of a coordinate.
    index : int or ndarray of int
        Where to take them; below 0 and from n on nothing is known.

    Returns
    -------
    ndarray or None
        Read-only. None where something is missing and the type has nothing to say so.

    Examples
    --------
    >>> taken(np.array(["DAPI", "GFP"]), np.array([-1, 1, 0])).tolist()
    ['', 'GFP', 'DAPI']
    >>> taken(np.array([1, 2]), np.array([0, 2])) is None
    True
    """
    index = np.asarray(index)
    missing = (index < 0) | (index >= len(values))
    if not missing.any():
        found = np.asarray(values[index])
    elif values.dtype.kind in _MISSING:
        found = np.full(index.shape + values.shape[1:], _MISSING[values.dtype.kind], values.dtype)
        found[~missing] = values[index[~missing]]
    else:
        return None
    found.flags.writeable = False
    return found


def moved(coords: dict[str, Held] | None, moves: Moves) -> dict[str, Held] | None:
    """Return coordinates where the axes of an image have gone; those of lost axes are left out."""
    if coords is None:
        return None
    out = {}
    for name, h in coords.items():
        if h.axis is None:
            out[name] = h
        elif (move := moves.get(h.axis)) is not None:
            axis, index = move
            values = h.values if index is None else taken(h.values, index)
            if values is not None:
                out[name] = Held(axis, values, h.unit, h.attrs)
    return out or None


def equal(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Whether two arrays of values agree, missing ones included."""
    if a is b:
        return True
    if a.shape != b.shape or (a.dtype.kind != b.dtype.kind and "U" in a.dtype.kind + b.dtype.kind):
        return False
    floating = a.dtype.kind in "fcmM" and b.dtype.kind in "fcmM"
    try:
        return bool(np.array_equal(a, b, equal_nan=floating))
    except (TypeError, ValueError):  # times and numbers
        return False


def merged(many: list[dict[str, Held] | None]) -> dict[str, Held] | None:
    """Return the coordinates of an elementwise result of several images.

    Parameters
    ----------
    many : list of (dict or None)
        Those of each image, with the axes of the result.

    Returns
    -------
    dict or None
        Those on which all agree that have them. A value of a whole image does not contest those
        along an axis.

    Raises
    ------
    GeometryMismatchError
        If components of vectors differ.
    """
    first = many[0]
    if all(m is first for m in many):
        return first
    out: dict[str, Held] = {}
    for name in dict.fromkeys(name for one in many if one for name in one):
        found = [one[name] for one in many if one and name in one]
        along = [h for h in found if h.axis is not None] or found
        if all(_agree(along[0], h) for h in along[1:]):
            out[name] = along[0]._replace(attrs=common_attrs(along))
        elif name == COMPONENT and along[0].axis is not None:
            labels = [h.values.tolist() for h in along]
            raise GeometryMismatchError(
                "the images hold vectors with other components along an axis: "
                f"{' and '.join(map(repr, labels))}; bring them into one order by indexing, or "
                "take image.data where they mean nothing"
            )
    return out or None


def _agree(a: Held, b: Held) -> bool:
    """Whether two coordinates say the same of the same axis."""
    return a.axis == b.axis and a.unit == b.unit and equal(a.values, b.values)


def common_attrs(many: list[Held]) -> dict[str, Any]:
    """Return the attrs on which all of some coordinates agree."""
    first = many[0].attrs
    if all(h.attrs is first for h in many):
        return first
    return {k: v for k, v in first.items() if all(k in h.attrs and h.attrs[k] == v for h in many)}
