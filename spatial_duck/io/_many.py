"""Inputs of `read` besides one path: several files, patterns, bytes and open files."""

from __future__ import annotations

import errno
import glob
import os
import re
import tempfile
from collections import Counter
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck._advice import nearest_name
from spatial_duck.errors import FormatError, GeometryError
from spatial_duck.geometry import Geometry
from spatial_duck.geometry._world import SPACE_AXES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from spatial_duck.array import SpatialArray

__all__ = [
    "by_numbers",
    "is_stream",
    "join_images",
    "missing_error",
    "paths_of",
    "pattern_for",
    "temporary_copy",
]

#: Steps between images that differ by more than this part of a step are not equal.
_TOLERANCE = 1e-3
#: Most entries of a folder that are looked at for advice.
_MAX_LISTED = 2000


def paths_of(path: Any) -> list[Any] | None:
    """Return the paths of a list or a pattern such as ``"*.dcm"``; None for a single path.

    Raises
    ------
    FileNotFoundError
        If no file matches a pattern, or a list is empty.
    """
    if isinstance(path, list | tuple):
        if not path:
            raise FileNotFoundError("read: the list of files is empty; was its pattern right?")
        return list(path)
    text = os.fspath(path) if isinstance(path, Path) else path
    if not isinstance(text, str) or "://" in text or not glob.has_magic(text):
        return None
    if Path(text).exists():
        return None  # a name that contains brackets
    found = glob.glob(str(Path(text).expanduser()), recursive=True)  # noqa: PTH207
    if not found:
        raise FileNotFoundError(f"read: no file matches {text!r} in {str(Path.cwd())!r}")
    return sorted(found, key=by_numbers)


def by_numbers(name: str) -> tuple[list[str | int], str]:
    """Return the key that sorts plane_10 behind plane_9, as microscopes number their planes."""
    parts: list[str | int] = [*re.split("([0-9]+)", name)]
    parts[1::2] = [int(number) for number in parts[1::2]]
    return parts, name  # 01 and 1 are told apart by the name


def pattern_for(folder: Path) -> str | None:
    """Return a clause on how the files of a folder are read as one image; None without any."""
    if not folder.is_dir():
        return None
    entries = islice(folder.iterdir(), _MAX_LISTED)
    suffixes = Counter(entry.suffix for entry in entries if entry.is_file())
    if not suffixes:
        return None
    suffix = suffixes.most_common(1)[0][0]
    return f"its files are read as one image by a pattern: read({str(folder / f'*{suffix}')!r})"


def is_stream(path: Any) -> bool:
    """Whether an argument is a file's content: bytes, or a file that is open for reading bytes."""
    return isinstance(path, bytes | bytearray | memoryview) or (
        callable(getattr(path, "read", None)) and not isinstance(path, os.PathLike)
        and hasattr(path, "readable")
    )  # fmt: skip


@contextmanager
def temporary_copy(stream: Any) -> Iterator[Path]:
    """Yield the path of a temporary file with the content of bytes or an open file.

    Raises
    ------
    TypeError
        If the file is open for reading text.
    """
    content = stream if isinstance(stream, bytes | bytearray | memoryview) else stream.read()
    if isinstance(content, str):
        raise TypeError("read takes files that are opened for bytes: open(path, 'rb')")
    name = getattr(stream, "name", "")
    # Suffixes say how a file is packed; what else a name holds may be no name of a file here.
    found = re.search(r"(\.[A-Za-z0-9]{1,8}){0,2}$", name) if isinstance(name, str) else None
    with tempfile.TemporaryDirectory(prefix="spatial_duck-") as folder:
        path = Path(folder) / f"image{found[0] if found else ''}"
        path.write_bytes(content)
        yield path


def missing_error(path: Any) -> FileNotFoundError:
    """Return the error for a path that does not exist, with a similar name that does."""
    file_path = Path(path)
    words = os.strerror(errno.ENOENT)
    folder = file_path.parent
    if not folder.is_dir():
        words += f"; there is no folder {str(folder)!r} either"
    else:
        names = [entry.name for entry in islice(folder.iterdir(), _MAX_LISTED)]
        near = nearest_name(file_path.name, names, 0.75)
        words += f"; did you mean {str(folder / near)!r}?" if near else ""
    if not file_path.is_absolute():
        words += f" (the working folder is {str(Path.cwd())!r})"
    return FileNotFoundError(errno.ENOENT, words, str(path))


# --- several images -----------------------------------------------------------------------


def join_images(images: Sequence[SpatialArray], names: Sequence[str]) -> SpatialArray:
    """Return one image of several: slices by their position, others along a new axis ``file``.

    Parameters
    ----------
    images : sequence of SpatialArray
        The images, two or more.
    names : sequence of str
        Names of their files.

    Raises
    ------
    FormatError
        If they differ in shape, axes or world, or the distances of slices are unequal.
    """
    thin = _thin_axis(images[0])
    towards = None if thin is None else thin[1]
    images = [_drop_thin_axis(image) for image in images]
    first = images[0]
    for image, name in zip(images, names, strict=True):
        for what in ("shape", "dims", "world"):
            if getattr(image, what) != getattr(first, what):
                raise FormatError(
                    f"{name}: files that are read as one image must have the same {what}; this "
                    f"one has {getattr(image, what)!r}, and {names[0]} has {getattr(first, what)!r}"
                )
    places = np.array([image.origin for image in images])
    whole = np.ptp(places, axis=0).max() if places.size else 0.0
    if all(image.geometry.isclose(first.geometry) for image in images):
        stacked: Any = np.stack(images)
        dims = ("file" if "file" not in first.dims else None, *first.dims)
        g = first.geometry
        geometry = Geometry(
            stacked.shape, g.spacing, g.origin, g.direction, dims,
            sampled=[d for d, a in zip(g.dims, range(g.ndim), strict=True)
                     if a in g.sampled_axes and d is not None],
            world=g.world,
        )  # fmt: skip
        coords: dict[str, Any] = dict(stacked.coords)
        if dims[0] is not None:
            coords["file"] = ("file", np.array([str(n) for n in names]))
        whole_image: SpatialArray = stacked.replace(geometry=geometry, coords=coords)
        return whole_image
    return _stack_slices(images, names, places, float(whole), towards)


def _thin_axis(image: SpatialArray) -> tuple[int, NDArray[Any]] | None:
    """Return the one axis along which a slice has one voxel, and its direction."""
    axes = image.geometry.sampled_axes
    thin = [k for k, axis in enumerate(axes) if image.shape[axis] == 1]
    if len(thin) != 1 or image.ndim < 3:
        return None
    return axes[thin[0]], image.direction[:, thin[0]]


def _drop_thin_axis(image: SpatialArray) -> SpatialArray:
    thin = _thin_axis(image)
    return image if thin is None else image[(slice(None),) * thin[0] + (0,)]


def _stack_slices(
    images: Sequence[SpatialArray],
    names: Sequence[str],
    places: NDArray[Any],
    whole: float,
    towards: NDArray[Any] | None,
) -> SpatialArray:
    """Return slices at even steps along a line as a volume, in the direction of their thickness."""
    g = images[0].geometry
    end = places[np.argmax(np.linalg.norm(places - places[0], axis=1))]
    line = (end - places[0]) / np.linalg.norm(end - places[0])
    agrees = line[np.argmax(np.abs(line))] if towards is None else line @ towards
    line = -line if agrees < 0 else line
    along = (places - places[0]) @ line
    order = np.argsort(along, kind="stable")
    steps = np.diff(along[order])
    step = float(steps.mean())
    off = np.abs(places - places[0] - along[:, None] * line).max()
    if off > _TOLERANCE * whole or np.abs(steps - step).max() > _TOLERANCE * step:
        raise FormatError(
            f"{names[0]} and {len(names) - 1} more do not lie at equal steps along a line: the "
            f"steps are from {steps.min():.6g} to {steps.max():.6g}; read them one by one"
        )
    name = next((n for n in ("z", "y", "x") if n not in g.dims and n in SPACE_AXES), None)
    if name is None or len(g.sampled_axes) >= len(g.world.axes):
        raise FormatError(
            f"{names[0]} and {len(names) - 1} more lie side by side and are not slices of a "
            "volume: read them one by one, and use numpy.concatenate if one begins where another "
            "ends"
        )
    # numpy.stack needs one geometry for all; that of the volume is set afterwards.
    there = [images[k].replace(geometry=g) for k in order.tolist()]
    stacked: Any = np.stack(there)
    try:
        geometry = Geometry(
            stacked.shape, [step, *g.spacing], images[order[0]].origin,
            np.column_stack([line, g.direction]), (name, *g.dims),
            sampled=[name, *[g.dims[a] or "" for a in g.sampled_axes]], world=g.world,
        )  # fmt: skip
    except GeometryError as error:
        raise FormatError(f"{names[0]} and {len(names) - 1} more: {error}") from error
    volume: SpatialArray = stacked.replace(geometry=geometry)
    return volume
