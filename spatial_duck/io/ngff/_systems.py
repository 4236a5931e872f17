"""OME-Zarr 0.6 (RFC-5): coordinate systems and the transformations between them, as matrices.

A multiscale has named coordinate systems. Each dataset is mapped to one of them, the intrinsic one,
by a scale and a translation; further transformations lead from there to others, such as an atlas
or the patient. The linear ones are read: identity, scale, translation, rotation, affine, mapAxis,
byDimension, bijection and sequences of these, in both directions. A point is a column vector in the
order of a system's axes; array indices are those of voxel centres.

This module reads no stores: `Loader` returns a matrix that is stored in a Zarr array of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck.errors import FormatError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = [
    "Loader",
    "Systems",
    "matrix_of",
    "per_axis_matrix",
    "read_systems",
    "spacing_direction_origin",
]

#: Returns the numbers of a Zarr array inside the group, by its path.
Loader = Callable[[str], Any]

#: Most axes of a coordinate system, and greatest depth of nested transformations.
_MAX_AXES = 16


class Systems(NamedTuple):
    """The coordinate systems of a multiscale.

    Attributes
    ----------
    axes : mapping of str to tuple of mappings
        The axes of each system, by its name.
    intrinsic : str
        The system that the datasets are mapped to.
    datasets : tuple of (str, ndarray)
        Path of each level, and its homogeneous matrix to the intrinsic system.
    edges : tuple of (str, str, mapping)
        Further transformations: the system that each starts from, that it leads to, and its entry.
    """

    axes: Mapping[str, tuple[Mapping[str, Any], ...]]
    intrinsic: str
    datasets: tuple[tuple[str, Floats], ...]
    edges: tuple[tuple[str, str, Mapping[str, Any]], ...]

    def matrix_to(self, name: str, load: Loader) -> Floats:
        """Return the homogeneous matrix from the intrinsic system to another.

        Raises
        ------
        FormatError
            If there is none of that name, or no linear transformations lead to it.
        """
        if name not in self.axes:
            raise FormatError(
                f"there is no coordinate system {name!r}; there are {', '.join(self.axes)}"
            )
        found = {self.intrinsic: np.eye(len(self.axes[self.intrinsic]) + 1)}
        refused = ""
        for _ in self.axes:
            for start, end, item in self.edges:
                if (start in found) == (end in found):
                    continue
                backwards = end in found
                try:
                    step = matrix_of(item, len(self.axes[start]), load)
                    step = np.linalg.inv(step) if backwards else step
                except FormatError as error:
                    refused = f": {error}"
                    continue
                except np.linalg.LinAlgError:
                    refused = f": {item.get('name') or item['type']!r} cannot be inverted"
                    continue
                known, new = (end, start) if backwards else (start, end)
                if step.shape[0] != len(self.axes[new]) + 1:
                    raise FormatError(
                        f"the transformation from {start!r} to {end!r} gives {step.shape[0] - 1} "
                        f"numbers, and the system has {len(self.axes[new])} axes"
                    )
                found[new] = step @ found[known]
        if name not in found:
            raise FormatError(
                f"no linear transformation leads from {self.intrinsic!r} to {name!r}{refused}"
            )
        return found[name]


def read_systems(entry: Mapping[str, Any], load: Loader) -> Systems:
    """Return the coordinate systems of an entry of ``multiscales``.

    Raises
    ------
    FormatError, KeyError, TypeError, ValueError
        If the entry is not valid.
    """
    axes = {str(s["name"]): tuple(s["axes"]) for s in entry["coordinateSystems"]}
    if any(not 0 < len(a) <= _MAX_AXES for a in axes.values()):
        raise FormatError(f"coordinate systems must have 1 to {_MAX_AXES} axes")
    datasets, outputs = [], set()
    for item in entry["datasets"]:
        (only,) = item["coordinateTransformations"]
        name = _system_name(only.get("output")) or next(iter(axes))
        if name not in axes:
            raise FormatError(f"the coordinate system {name!r} of a dataset is not there")
        outputs.add(name)
        n = len(axes[name])
        matrix = matrix_of(only, n, load)
        if matrix.shape != (n + 1, n + 1):
            raise FormatError(f"a dataset must have the {n} axes of {name!r}, got {only!r}")
        datasets.append((str(item["path"]), matrix))
    if len(outputs) != 1:
        raise FormatError(f"the datasets must share one coordinate system, got {sorted(outputs)}")
    edges = []
    for item in entry.get("coordinateTransformations") or ():
        start, end = _system_name(item.get("input")), _system_name(item.get("output"))
        if start in axes and end in axes:
            edges.append((str(start), str(end), item))
    return Systems(axes, outputs.pop(), tuple(datasets), tuple(edges))


def _system_name(value: Any) -> str | None:
    """Return the name of a coordinate system, given as an object or (in drafts) a string."""
    if isinstance(value, Mapping):
        # A system of another image has a path too.
        value = value.get("name") if value.get("path") in (None, "", ".") else None
    return None if value is None else str(value)


def matrix_of(item: Any, n: int, load: Loader, depth: int = 0) -> Floats:
    """Return the homogeneous matrix of a transformation of `n` numbers.

    Raises
    ------
    FormatError, KeyError, TypeError, ValueError
        If it is not linear, or not valid.
    """
    kind = str(item["type"])
    if depth > _MAX_AXES:
        raise FormatError(f"transformations are nested more than {_MAX_AXES} deep")
    if kind in ("identity", "scale", "translation", "mapAxis"):
        return per_axis_matrix(kind, item, n)
    if kind in ("rotation", "affine"):
        return _matrix_of_numbers(kind, item, n, load)
    if kind == "sequence":
        total = np.eye(n + 1)
        for part in item["transformations"]:
            total = matrix_of(part, total.shape[0] - 1, load, depth + 1) @ total
        return total
    if kind == "bijection":
        return matrix_of(item["forward"], n, load, depth + 1)
    if kind == "byDimension":
        return _by_dimension(item["transformations"], n, load, depth)
    raise FormatError(
        f"the transformation {item.get('name') or kind!r} is of type {kind!r}, which a grid of "
        "voxels cannot express; identity, scale, translation, rotation, affine, mapAxis, "
        "byDimension, bijection and sequence are read"
    )


def per_axis_matrix(kind: str, item: Mapping[str, Any], n: int) -> Floats:
    """Return the homogeneous matrix of a transformation with at most a number for each axis."""
    if kind == "identity":
        return np.eye(n + 1)
    values = item[kind]
    numbers = np.asarray(values, np.float64)
    if numbers.shape != (n,) or not np.isfinite(numbers).all():
        raise FormatError(f"{kind} must hold {n} finite numbers, got {values!r}")
    out = np.eye(n + 1)
    if kind == "scale":
        out[range(n), range(n)] = numbers
    elif kind == "translation":
        out[:n, n] = numbers
    else:
        if sorted(numbers.tolist()) != list(range(n)):
            raise FormatError(f"mapAxis must hold each of {n} axes once, got {values!r}")
        out[:n, :n] = np.eye(n)[numbers.astype(int)]
    return out


def _matrix_of_numbers(kind: str, item: Mapping[str, Any], n: int, load: Loader) -> Floats:
    values = item.get(kind)
    if values is None:
        values = load(str(item["path"]))
    matrix = np.asarray(values, np.float64)
    columns = n if kind == "rotation" else n + 1
    if matrix.ndim != 2 or matrix.shape[1] != columns or not 0 < len(matrix) <= _MAX_AXES:
        raise FormatError(f"{kind} must have {columns} columns, got shape {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise FormatError(f"{kind} must hold finite numbers")
    if kind == "rotation" and not (
        len(matrix) == n and np.allclose(matrix @ matrix.T, np.eye(n), atol=1e-6)
    ):
        raise FormatError(f"rotation must be an orthogonal matrix, got {matrix.tolist()}")
    out = np.zeros((len(matrix) + 1, n + 1))
    out[:-1, :columns], out[-1, -1] = matrix, 1
    return out


def _by_dimension(items: Any, n: int, load: Loader, depth: int) -> Floats:
    parts = []
    for item in items:
        # Files have either spelling.
        ins = item["inputAxes"] if "inputAxes" in item else item["input_axes"]
        outs = item["outputAxes"] if "outputAxes" in item else item["output_axes"]
        if not all(isinstance(i, int) and 0 <= i < _MAX_AXES for i in (*ins, *outs)):
            raise FormatError(f"byDimension: axes are given by number, got {ins!r} to {outs!r}")
        parts.append((list(ins), list(outs), item["transformation"]))
    rows = sorted(i for _, outs, _ in parts for i in outs)
    if rows != list(range(len(rows))) or any(i >= n for ins, _, _ in parts for i in ins):
        raise FormatError(f"byDimension must give each axis once, got {rows} from {n} axes")
    out = np.zeros((len(rows) + 1, n + 1))
    out[-1, -1] = 1
    for ins, outs, inner in parts:
        matrix = matrix_of(inner, len(ins), load, depth + 1)
        if matrix.shape[0] != len(outs) + 1:
            raise FormatError(f"byDimension: {inner!r} does not give {len(outs)} numbers")
        out[np.ix_(outs, ins)] = matrix[:-1, :-1]
        out[outs, -1] = matrix[:-1, -1]
    return out


def spacing_direction_origin(
    matrix: Floats, rows: Sequence[int], axes: Sequence[int]
) -> tuple[Any, Any, Any]:
    """Return spacing, direction and origin of some rows and columns of a homogeneous matrix."""
    part = matrix[np.ix_(rows, axes)]
    one = (part != 0).sum(axis=0) == 1
    # The length of a column with one nonzero number is exactly its absolute value.
    length = np.where(one, abs(part).sum(axis=0), np.linalg.norm(part, axis=0))
    safe = np.where(length > 0, length, 1)
    return length, part / safe, matrix[list(rows), -1]
