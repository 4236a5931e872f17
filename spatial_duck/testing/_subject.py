"""The image class under test: how its images are made, placed and used.

Everything that a `Check` knows about a class goes through `Subject`, so that a class whose names
differ needs only a few functions. `Wrong` and `NotOffered` are how a check says what it found.
"""

from __future__ import annotations

import copy
import operator
import pickle
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck.testing._oracles import NO_VOXEL, Place, place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["Check", "Grid", "NotOffered", "Subject", "Wrong", "evaluate"]


class Wrong(Exception):
    """The class does something else than it should; the message says what."""


class NotOffered(Exception):
    """The class does not offer what was tried; the message says how it refuses."""


class Grid(NamedTuple):
    """Where an image is put: what the factory is called with, besides the data."""

    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: NDArray[np.float64]

    @property
    def place(self) -> Place:
        """The same as the coordinate oracle takes it."""
        return Place(
            np.array(self.spacing),
            np.array(self.origin),
            np.array(self.direction),
            tuple(range(len(self.shape))),
        )

    def numbers(self) -> NDArray[np.float64]:
        """Return the voxel numbers that an image on this grid is filled with."""
        return np.arange(float(np.prod(self.shape))).reshape(self.shape)

    def code(self) -> str:
        """Return the lines that make ``x``."""
        square = np.eye(len(self.shape))
        plain = np.array_equal(self.direction, square)
        rows = (self.direction + 0.0).tolist()
        direction = f"np.eye({len(self.shape)})" if plain else f"np.array({rows})"
        return (
            f"numbers = np.arange({float(np.prod(self.shape))}).reshape({self.shape})\n"
            f"x = factory(numbers, {self.spacing}, {self.origin}, {direction})"
        )


class _Functions:
    """NumPy, with some functions replaced by a class's own."""

    def __init__(self, own: Mapping[str, Callable[..., Any]]) -> None:
        self._own = own

    def __getattr__(self, name: str) -> Any:
        return self._own[name] if name in self._own else getattr(np, name)


def evaluate(
    text: str, x: Any, own: Mapping[str, Callable[..., Any]] | None = None, **more: Any
) -> Any:
    """Evaluate an expression in ``x`` that a check wrote.

    Parameters
    ----------
    text : str
        In ``x``, ``np``, ``copy``, ``pickle``, ``operator`` and the names of `more`.
    x : object
        Image or array.
    own : mapping of str to callable, optional
        Functions to be used instead of NumPy's, by NumPy's names.
    **more : object
        Further names.
    """
    names = {"np": _Functions(own or {}), "copy": copy, "pickle": pickle, "operator": operator}
    return eval(text, {**names, "x": x, **more})


class Check(NamedTuple):
    """One check of an image class.

    Attributes
    ----------
    name, level, wanted : str
        As a report shows them.
    write : callable
        ``write(draw, shape, subject)`` draws the expression that is tried.
    expectation : callable
        ``expectation(subject, grid, text)`` raises `Wrong` or `NotOffered`, or returns.
    sides : tuple of int
        Least and largest number of voxels along an axis.
    """

    name: str
    level: str
    wanted: str
    write: Callable[[Any, tuple[int, ...], Subject], str]
    expectation: Callable[[Subject, Grid, str], None]
    sides: tuple[int, int] = (2, 5)


@dataclass(frozen=True)
class Subject:
    """An image class and what it can do; see `spatial_duck.testing.check` for the fields."""

    factory: Callable[..., Any]
    geometry_of: Callable[[Any], Sequence[Any]] | None = None
    values_of: Callable[[Any], Any] | None = None
    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    ndims: tuple[int, ...] = (2, 3)
    oblique: bool = True
    sheared: bool = True
    flipped: bool = True

    # --- making and reading -------------------------------------------------------------

    def make(self, grid: Grid, data: Any = None) -> Any:
        """Make an image on a grid, of its voxel numbers or of other data."""
        try:
            values = grid.numbers() if data is None else data
            return self.factory(values, grid.spacing, grid.origin, grid.direction.copy())
        except Exception as error:
            raise NotOffered(f"the factory refuses it: {_brief(error)}") from error

    def place(self, image: Any) -> Place:
        """Read where an image lies."""
        return place_of(image, self.geometry_of)

    def values(self, image: Any) -> NDArray[Any]:
        """Read the voxels of an image."""
        return np.asarray(image if self.values_of is None else self.values_of(image))

    # --- what is done to images ---------------------------------------------------------

    def apply(self, text: str, x: Any, **more: Any) -> Any:
        """Evaluate an expression on an image; a class that refuses does not offer it."""
        try:
            return evaluate(text, x, self.functions, index=self.functions.get("index"), **more)
        except Exception as error:
            raise NotOffered(_brief(error)) from error

    def index(self, *parts: str) -> str:
        """Return the expression that indexes ``x``: its own, or by the class's function."""
        key = ", ".join(parts)
        return f"index(x, np.s_[{key}])" if "index" in self.functions else f"x[{key}]"

    def shown(self, text: str) -> str:
        """Return an expression as it would be written with the class's own functions."""
        text = re.sub(
            r"np\.(\w+)\(",
            lambda m: f"functions[{m[1]!r}](" if m[1] in self.functions else m[0],
            text,
        )
        return text.replace("index(x,", "functions['index'](x,")

    # --- what came out ------------------------------------------------------------------

    def expect_values(self, result: Any, expected: NDArray[Any]) -> None:
        """Raise `Wrong` where the voxels of a result are not NumPy's."""
        try:
            values = self.values(result)
        except Exception as error:
            raise Wrong(f"the values of the result cannot be read: {_brief(error)}") from error
        if values.shape != expected.shape:
            raise Wrong(f"the result has shape {values.shape}, and NumPy's {expected.shape}")
        # Libraries differ in the last bit of a square root.
        same = np.isclose(values, expected, rtol=1e-12, atol=0.0, equal_nan=True)
        if not same.all():
            where = tuple(np.argwhere(~same)[0].tolist())
            raise Wrong(f"the value at {where} is {values[where]}, and NumPy's {expected[where]}")

    def expect_place(self, result: Any, original: Any) -> Place:
        """Return where a result lies.

        Raises
        ------
        NotOffered
            If it is a bare array and the class does not claim NumPy's functions.
        Wrong
            If it has no place although its class gives places, or claims to answer NumPy.
        """
        try:
            return self.place(result)
        except AssertionError as error:
            raise Wrong(str(error)) from error
        except Exception as error:
            if type(result) is type(original):
                raise Wrong(f"the result has lost its place: {_brief(error)}") from error
            name = type(result).__name__
            if claims_numpy(original):
                raise Wrong(f"the place is lost without a word: the result is a {name}") from error
            raise NotOffered(f"gives a bare {name}") from error


def claims_numpy(image: Any) -> bool:
    """Whether a class says, by NumPy's protocols, that it answers NumPy's functions."""
    cls = type(image)
    return any(
        getattr(cls, name, None) is not None for name in ("__array_function__", "__array_ufunc__")
    )


def _brief(error: BaseException) -> str:
    text = " ".join(str(error).split())
    text = text if len(text) <= 110 else f"{text[:107]}..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


#: What padding fills in.
FILL = float(NO_VOXEL)
