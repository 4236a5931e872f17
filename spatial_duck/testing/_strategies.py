"""Hypothesis strategies: geometries and images, and those of `spatial_duck.testing._operations`.

They reach for the hard cases: oblique, sheared and flipped directions, slices that live in more
dimensions than they have axes, plain axes in any place, axes of length 1 and 0, negative steps.
"""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from spatial_duck.testing._operations import OPERATIONS, Operation, chains, keys, operations
from spatial_duck.testing._oracles import voxel_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from spatial_duck.geometry import Geometry, World

    Draw = Callable[[st.SearchStrategy[Any]], Any]
    Shape = tuple[int, ...]

__all__ = [
    "FRAMES",
    "OPERATIONS",
    "Operation",
    "carrying_images",
    "chains",
    "directions",
    "frames",
    "geometries",
    "images",
    "keys",
    "operations",
    "worlds",
]

#: All 48 anatomical frames.
FRAMES = tuple(
    a + b + c
    for lines in permutations(("LR", "PA", "SI"))
    for a in lines[0]
    for b in lines[1]
    for c in lines[2]
)


def frames(none: bool = True) -> st.SearchStrategy[str | None]:
    """Return a strategy for frame codes, and for None if wanted."""
    codes = st.sampled_from(FRAMES)
    return st.none() | codes if none else codes


# --- geometries ---------------------------------------------------------------------------


@st.composite
def directions(
    draw: Draw,
    n_world: int,
    n_sampled: int,
    *,
    oblique: bool = True,
    sheared: bool = True,
    flipped: bool = True,
) -> NDArray[np.float64]:
    """Return a strategy for direction matrices among space axes.

    Parameters
    ----------
    n_world, n_sampled : int
        Rows and columns; not more columns than rows.
    oblique : bool, optional
        Also rotations by any angle; otherwise the axes run along world axes.
    sheared : bool, optional
        Also columns that are not at right angles.
    flipped : bool, optional
        Also axes that run against the world's.

    Returns
    -------
    strategy of ndarray, shape (n_world, n_sampled)
        Unit columns; the condition number stays below about 20.
    """
    order = draw(st.permutations(range(n_world)))
    matrix = np.eye(n_world)[:, order]
    if oblique and draw(st.booleans()):
        for i in range(n_world):
            for j in range(i + 1, n_world):
                angle = draw(st.floats(-3, 3, width=32))
                turn = np.eye(n_world)
                turn[i, i] = turn[j, j] = np.cos(angle)
                turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
                matrix = turn @ matrix
    matrix = matrix[:, :n_sampled]
    if sheared and n_sampled > 1 and draw(st.booleans()):
        upper = np.eye(n_sampled)
        for i in range(n_sampled):
            for j in range(i + 1, n_sampled):
                upper[i, j] = draw(st.floats(-0.5, 0.5, width=32))
        matrix = matrix @ upper
        matrix = matrix / np.linalg.norm(matrix, axis=0)
    if flipped:
        matrix = matrix * [draw(st.sampled_from((1.0, -1.0))) for _ in range(n_sampled)]
    return matrix + 0.0


_spacings = st.sampled_from((1.0, 0.3, 2.5, 0.7, 1e-3)) | st.floats(0.05, 20.0)
_origins = st.sampled_from((0.0, -100.0, 0.1)) | st.floats(-500.0, 500.0)


@st.composite
def worlds(draw: Draw, axes: Sequence[str], *, units: bool = True) -> World:
    """Return a strategy for worlds with these axes in any order, with frame and units.

    Parameters
    ----------
    axes : sequence of str
        Names of the world axes.
    units : bool, optional
        Also units other than none.
    """
    from spatial_duck.geometry import World

    unit: dict[str, str | None] = {}
    if units:
        space = draw(st.sampled_from((None, "mm", "um", "m")))
        time = draw(st.sampled_from((None, "s", "ms")))
        unit = {a: time if a == "t" else space for a in axes}
    return World(tuple(draw(st.permutations(list(axes)))), unit, draw(frames()))


@st.composite
def geometries(
    draw: Draw,
    ndim: int | None = None,
    dims: Sequence[str | None] | None = None,
    *,
    min_side: int = 0,
    max_side: int = 5,
    oblique: bool = True,
    sheared: bool = True,
    flipped: bool = True,
    embedded: bool = True,
    plain: bool = True,
    time: bool = True,
    world_orders: bool = True,
    units: bool = True,
) -> Geometry:
    """Return a strategy for geometries.

    Parameters
    ----------
    ndim : int, optional
        Number of array axes; 1 to 5 by default.
    dims : sequence of (str or None), optional
        Names of the axes; drawn by default.
    min_side, max_side : int, optional
        Bounds of the number of voxels along an axis.
    oblique, sheared, flipped : bool, optional
        See `directions`.
    embedded : bool, optional
        Also fewer sampled axes than world axes.
    plain, time : bool, optional
        Also plain axes, in any place; also a time axis, in any place.
    world_orders, units : bool, optional
        Also worlds in any order of axes, in any frame; also units.
    """
    if dims is None:
        n = draw(st.integers(1, 5)) if ndim is None else ndim
        extra = draw(st.lists(st.sampled_from(("c", "t", None, "b")), max_size=n, unique=True))
        extra = [e for e in extra if (time if e == "t" else plain)]
        n_space = draw(st.sampled_from((3, 3, 2, 1, 0)))
        space = draw(st.permutations("xyz"))[:n_space]
        names: list[str | None] = [*space, *extra][:n]
        names += [None] * (n - len(names)) if plain else []
        for name in ("z", "y", "x", "t"):
            if len(names) < n and name not in names:
                names.append(name)
        dims = draw(st.permutations(names))
    # Empty axes are wanted, but not so often that few images hold any voxel.
    full = [n for n in range(max(min_side, 1), max_side + 1) for _ in range(5)]
    sides = st.sampled_from([*full, *range(min_side, 1)])
    shape = [draw(sides) for _ in dims]
    from spatial_duck.geometry import Geometry, World

    inside = [d for d in dims if d in ("x", "y", "z")]
    space_axes = ["z", "y", "x"] if embedded and draw(st.booleans()) else inside
    world_axes = [*space_axes, *(["t"] if "t" in dims else [])]
    world = World(tuple(world_axes))
    if world_orders:
        world = draw(worlds(world_axes, units=units))
    block = draw(
        directions(len(space_axes), len(inside), oblique=oblique, sheared=sheared, flipped=flipped)
    )
    sampled = [d for d in dims if d in ("x", "y", "z", "t")]
    direction = np.zeros((len(world.axes), len(sampled)))
    rows = [r for r, name in enumerate(world.axes) if name != "t"]
    columns = iter(block.T)
    for j, name in enumerate(sampled):
        if name == "t":
            sign = draw(st.sampled_from((1.0, -1.0))) if flipped else 1.0
            direction[world.axes.index("t"), j] = sign
        else:
            direction[rows, j] = next(columns)
    return Geometry(
        shape,
        [draw(_spacings) for _ in sampled],
        [draw(_origins) for _ in world.axes],
        direction,
        dims,
        world=world,
    )


@st.composite
def images(
    draw: Draw,
    geometry: st.SearchStrategy[Geometry] | None = None,
    factory: Callable[[Any, Geometry], Any] | None = None,
    data: Callable[[Any], Any] | None = None,
) -> Any:
    """Return a strategy for images that are filled with their own voxel numbers.

    Parameters
    ----------
    geometry : strategy, optional
        Where the images lie; `geometries` by default.
    factory : callable, optional
        ``factory(data, geometry)`` makes an image; `spatial_duck.SpatialArray` by default.
    data : callable, optional
        Brings the NumPy array of voxel numbers to the backend that is wanted.
    """
    if factory is None:
        from spatial_duck.array import SpatialArray

        factory = SpatialArray
    place = draw(geometries() if geometry is None else geometry)
    numbers: Any = voxel_numbers(place.shape)
    return factory(numbers if data is None else data(numbers), place)


#: Coordinates that formats know by name: (name, axis wanted or None for any, values of n indices).
_KNOWN_COORDS: tuple[tuple[str, str | None, Callable[[int], Any]], ...] = (
    ("channel", "c", lambda n: np.array([f"é{k}" for k in range(n)], dtype=str)),
    ("channel", "c", lambda n: np.array(["red", "green", "blue", "alpha", ""][:n], dtype=str)),
    ("channel_color", "c", lambda n: np.array([f"{k * 4369:06X}" for k in range(n)], dtype=str)),
    ("display_window", "c", lambda n: np.array([[k, k + 0.5] for k in range(n)]).reshape(n, 2)),
    ("component", "c", lambda n: np.array(["x", "y", "z", "b", ""][:n], dtype=str)),
    ("emission_wavelength", "c", lambda n: 488.0 + 10 * np.arange(n)),
    ("b_value", None, lambda n: 500.0 * np.arange(n)),
    ("gradient_direction", None, lambda n: np.eye(3)[np.arange(n) % 3]),
    ("slice_time", "z", lambda n: 0.5 * np.arange(n)),
    ("echo_time", "z", lambda n: 1.0 / (1 + np.arange(n))),
    ("segment_label", None, lambda n: np.array([f"part {k}" for k in range(n)], dtype=str)),
    ("t", "t", lambda n: np.arange(n) ** 2.0),
    ("dwell", None, lambda n: np.where(np.arange(n) == 1, np.nan, np.arange(n) / 3)),
    ("count", None, lambda n: np.arange(n)),
    ("is_good", None, lambda n: np.arange(n) % 2 == 0),
    ("note", None, lambda n: np.array([f'µ "{k}"' for k in range(n)], dtype=str)),
    ("when", None, lambda n: np.datetime64("2020-01-01", "ms") + np.arange(n)),
    ("phase", None, lambda n: np.exp(1j * np.arange(n))),
)


#: Axes of images that many formats hold, and lengths.
_LAYOUTS = ("zyx", "yx", "tzyx", "czyx", "zyxc", "bzyx", "cyx")
_LENGTHS = {"z": 3, "y": 2, "x": 4, "t": 5, "c": 3, "b": 6}


@st.composite
def carrying_images(draw: Draw, dtype: Any = "u2") -> Any:
    """Return a strategy for axis-aligned images that carry coordinates of many names and types.

    Parameters
    ----------
    dtype : dtype, optional
        Data type of the voxels.
    """
    from spatial_duck.array import SpatialArray

    letters = draw(st.sampled_from(_LAYOUTS))
    dims = [None if n == "b" else n for n in letters]
    sampled = [n for n in dims if n in ("z", "y", "x", "t")]
    frame = draw(st.sampled_from(("LPS", None, "RAS")))
    units = {n: "s" if n == "t" else "mm" for n in sampled}
    from spatial_duck.geometry import Geometry, World

    geometry = Geometry(
        [_LENGTHS[n] for n in letters], dims=dims,
        world=World(sampled, units, frame if "z" in letters else None),
    )  # fmt: skip
    coords: dict[str, Any] = {}
    for name, wanted, make in draw(
        st.lists(st.sampled_from(_KNOWN_COORDS), min_size=1, max_size=4)
    ):
        fitting = [i for i, dim in enumerate(dims) if wanted in (None, dim)]
        where = draw(st.sampled_from([*fitting[:1], *fitting, None]))
        if where is None and name in ("component", "t"):
            continue
        values = make(1 if where is None else geometry.shape[where])
        attrs: dict[str, Any] = {}
        if name in ("dwell", "slice_time", "echo_time", "b_value"):
            unit = draw(st.sampled_from((None, "s", "ms", "s/mm^2")))
            attrs = {} if unit is None else {"unit": unit}
        if name == "gradient_direction" and geometry.frame is not None:
            attrs = {"frame": geometry.frame}
        coords[name] = (() if where is None else where, values[0] if where is None else values,
                        attrs)  # fmt: skip
    return SpatialArray(voxel_numbers(geometry.shape).astype(dtype), geometry, coords=coords)
