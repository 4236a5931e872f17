"""Recipes put into action: arguments built, results compared, places worked out by definition."""

from __future__ import annotations

import importlib
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.testing.overrides import get_overridable_numpy_array_functions

from spatial_duck import Geometry, SpatialArray, World
from tests.rules.recipes import Fresh, Im

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.rules.recipes import Recipe

__all__ = [
    "OVERRIDABLE",
    "assert_same",
    "build",
    "bytes_of",
    "find",
    "geometry_of",
    "images",
    "stated",
]

#: Everything of NumPy that may define functions that an array can override.
MODULES = (
    "char fft lib lib.array_utils lib.format lib.introspect lib.mixins lib.npyio lib.recfunctions "
    "lib.scimath lib.stride_tricks linalg ma ma.extras ma.mrecords matlib polynomial "
    "polynomial.chebyshev polynomial.hermite polynomial.hermite_e polynomial.laguerre "
    "polynomial.legendre polynomial.polynomial polynomial.polyutils random rec strings testing"
).split()


def _overridable() -> set[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in MODULES:
            try:
                importlib.import_module(f"numpy.{module}")
            except ImportError:  # of another version
                continue
        return get_overridable_numpy_array_functions()


#: The functions that an array can override in this version of NumPy.
OVERRIDABLE = _overridable()

WORLD = World(("t", "z", "y", "x"), {"t": "s", "z": "mm", "y": "mm", "x": "mm"}, "LPS")
ORIGIN = np.array([5.0, -30.0, 11.0, 7.5])
#: The step of each axis: oblique and sheared in space.
STEPS = {
    "t": np.array([0.5, 0.0, 0.0, 0.0]),
    "z": np.array([0.0, 2.4, 0.5, -0.7]),
    "y": np.array([0.0, 0.3, -1.1, 0.2]),
    "x": np.array([0.0, 0.1, 0.4, 0.8]),
}


def find(name: str) -> Any:
    """Return a function of NumPy by its name below `numpy`, or None in versions without it."""
    *modules, last = name.split(".")
    try:
        module = importlib.import_module(".".join(["numpy", *modules]))
    except ImportError:
        return None
    return getattr(module, last, None)


def geometry_of(im: Im) -> Geometry:
    """Return where an image of a recipe lies."""
    sampled = [d for d in im.dims if d in STEPS]
    lengths = [float(np.linalg.norm(STEPS[d])) for d in sampled]
    origin = ORIGIN + sum(
        (n * STEPS[d] for n, d in zip(im.start, im.dims, strict=True) if d in STEPS), np.zeros(4)
    )
    columns = [STEPS[d] / n for d, n in zip(sampled, lengths, strict=True)]
    return Geometry(
        im.data.shape,
        lengths,
        origin,
        np.reshape(columns, (len(columns), 4)).T if columns else np.zeros((4, 0)),
        tuple(im.dims),
        world=WORLD,
    )


def build(value: Any, of: Callable[[Im], Any]) -> Any:
    """Return arguments with each image made by a function, and fresh copies of arrays."""
    if isinstance(value, Im):
        return of(value)
    if isinstance(value, Fresh):
        return value.make()
    if isinstance(value, np.ndarray):
        return value.copy()
    if value.__class__ in (list, tuple):
        return type(value)([build(v, of) for v in value])
    if value.__class__ is dict:
        return {k: build(v, of) for k, v in value.items()}
    return value


def wrap(im: Im) -> SpatialArray:
    return SpatialArray(im.data.copy(), geometry_of(im))


def images(value: Any) -> list[Any]:
    """Return the images (or recipes for them) among arguments, in order."""
    if isinstance(value, Im | SpatialArray):
        return [value]
    if value.__class__ is dict:
        value = list(value.values())
    return [i for v in value for i in images(v)] if isinstance(value, list | tuple) else []


def assert_same(bare: Any, ours: Any) -> None:
    """Assert that a result on images holds what the result on their data holds, to the bit."""
    if isinstance(ours, SpatialArray):
        assert ours.ndim > 0, "0-d results are what the backend returns"
        ours = ours.data
    else:
        assert not (isinstance(bare, np.ndarray) and bare.ndim), "an array came back bare"
    assert type(ours) is type(bare)
    if isinstance(bare, list | tuple):
        assert len(ours) == len(bare)
        for b, o in zip(bare, ours, strict=True):
            assert_same(b, o)
    elif isinstance(bare, np.ndarray | np.generic):
        assert ours.dtype == bare.dtype
        assert ours.shape == bare.shape
        np.testing.assert_array_equal(ours, bare)
    else:
        assert ours == bare


def bytes_of(arguments: Any) -> list[bytes]:
    """Return the contents of all arrays among arguments."""
    if isinstance(arguments, SpatialArray):
        arguments = arguments.data
    if isinstance(arguments, np.ndarray):
        return [arguments.tobytes()]
    if arguments.__class__ is dict:
        arguments = list(arguments.values())
    if isinstance(arguments, list | tuple):
        return [b for a in arguments for b in bytes_of(a)]
    return []


def stated(recipe: Recipe, word: Any, result: Any) -> None:
    """Assert that one array of a result lies where the recipe says."""
    if word == "skip":
        return
    if word == "asked elsewhere":
        assert isinstance(result, np.ndarray)
        return
    if word == "bare" or not getattr(result, "ndim", 0):
        assert not isinstance(result, SpatialArray)
        return
    assert isinstance(result, SpatialArray)
    found = result.geometry
    assert found.shape == result.data.shape
    im = images((recipe.args, recipe.kwargs))[0]
    source = geometry_of(im)
    if word == "same":
        assert found == source
        return
    name = recipe.name.rpartition(".")[2]
    if word in ("nowhere", "free"):
        assert found.sampled_axes == ()
        assert found.world.axes == ()
        lost = dict.fromkeys(range(found.ndim), name) if word == "nowhere" else {}
        assert found.lost == lost
        return
    words = word.split()
    assert len(words) == found.ndim
    start = {i: (n - 1) / 2 for i, n in enumerate(im.data.shape)}
    steps: dict[int, Any] = {}
    for i, w in enumerate(words):
        for part in [] if w[0] in ".!" else w.split("+"):
            axis, _, factor = part.partition("*")
            start[int(axis)] = 0
            step = STEPS.get(im.dims[int(axis)])
            if step is not None:
                steps[i] = steps.get(i, 0) + step * float(factor or 1)
    start |= recipe.at
    origin = source.origin + sum(
        (n * STEPS[im.dims[i]] for i, n in start.items() if im.dims[i] in STEPS), np.zeros(4)
    )
    assert found.sampled_axes == tuple(sorted(steps))
    np.testing.assert_allclose(found.origin, origin, atol=1e-9)
    if steps:
        expected = np.stack([steps[i] for i in sorted(steps)], axis=1)
        np.testing.assert_allclose(found.direction * found.spacing, expected, atol=1e-9)
    lost = {i: w[1:] or name for i, w in enumerate(words) if w[0] == "!"}
    assert found.lost == lost
