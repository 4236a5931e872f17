"""Tables of measurements, which become a data frame as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["RegionTable"]


class RegionTable(dict[str, Any]):
    """A column for each number that was measured, a row for each region.

    It is a dict of one-dimensional arrays, so that ``pandas.DataFrame(table)`` takes it. A property
    of several numbers has a column for each, named by the world's axes (``centroid_z``), and
    ``table["centroid"]`` puts them together.

    Parameters
    ----------
    columns : mapping of str to ndarray
        Values of shape (k, ...) for k regions.
    names : mapping of str to sequence of sequences of str
        Names along each further axis of a property.
    units : mapping of str to str or None
        Unit of a property; what is not named has none.

    Attributes
    ----------
    units : dict of str to str
        Unit of each column that has one: ``"mm^3"``.

    Examples
    --------
    >>> table = RegionTable(
    ...     {"label": np.array([1, 2]), "centroid": np.array([[0, 1.5], [4, 2]])},
    ...     {"centroid": [["y", "x"]]}, {"centroid": "mm"})
    >>> list(table), table.units
    (['label', 'centroid_y', 'centroid_x'], {'centroid_y': 'mm', 'centroid_x': 'mm'})
    >>> table["centroid"]
    array([[0. , 1.5],
           [4. , 2. ]])
    """

    def __init__(
        self,
        columns: Mapping[str, Any],
        names: Mapping[str, Sequence[Sequence[str]]],
        units: Mapping[str, str | None],
    ) -> None:
        super().__init__()
        self.units: dict[str, str] = {}
        self._parts: dict[str, tuple[tuple[int, ...], list[str]]] = {}
        for name, column in columns.items():
            flat = [name]
            for along in names.get(name, ()):
                flat = [f"{start}_{label}" for start in flat for label in along]
            self._parts[name] = column.shape[1:], flat
            parts = column.reshape(len(column), len(flat)).T
            self.update(zip(flat, parts, strict=True))
            unit = units.get(name)
            if unit is not None:
                self.units.update(dict.fromkeys(flat, unit))

    def __missing__(self, name: str) -> Any:
        if name not in self._parts:
            raise KeyError(
                f"{name!r} is none of {', '.join(self._parts)}, nor of {', '.join(self)}"
            )
        shape, flat = self._parts[name]
        together = np.stack([self[part] for part in flat], axis=-1)
        return together.reshape(len(together), *shape)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (dict(self), self.units, self._parts)


def _restored(columns: dict[str, Any], units: Any, parts: Any) -> RegionTable:
    table = RegionTable({}, {}, {})
    table.update(columns)
    table.units, table._parts = units, parts
    return table
