"""MINC 1 (netCDF) and MINC 2 (HDF5), read through nibabel.

Axes keep the file's order, usually ``(z, y, x)``; the dimension ``time`` becomes ``t`` and
``vector_dimension`` becomes ``c``. The world is x, y, z in **RAS** and mm: positions are
``sum(cosines * (start + step * index))`` over the space dimensions. SimpleITK and ITK read the same
numbers as LPS, which mirrors x and y.

Values are scaled to float64: MINC scales each slice by its own minimum and maximum.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck._optional import missing_extra, require
from spatial_duck.errors import FormatError, GeometryError
from spatial_duck.geometry import Geometry, World
from spatial_duck.io import _safety as safety
from spatial_duck.io._format import Format
from spatial_duck.io._hdf5_guard import HDF5_SIGNATURE, check_readable, open_guarded
from spatial_duck.io._source import Source

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

__all__ = ["FORMAT"]

_DIMS = {"xspace": "x", "yspace": "y", "zspace": "z", "time": "t", "vector_dimension": "c"}


def _open_with_nibabel(path: Path) -> Any:
    nibabel = require("nibabel", "Reading MINC")
    with path.open("rb") as file:
        start = file.read(4)
    try:
        if start == HDF5_SIGNATURE[:4]:
            check_readable(path, "Reading MINC 2")
            _check_range_counts(path)
        if start[:3] == b"CDF":
            # The netCDF reader allocates as many bytes as the header declares.
            holder = nibabel.fileholders.FileHolder(fileobj=safety.BoundedFile(path))
            return nibabel.Minc1Image.from_file_map({"image": holder})
        return nibabel.load(path)
    except (FormatError, MemoryError, RecursionError):
        raise
    except ImportError as error:
        raise missing_extra("h5py", "Reading MINC 2") from error
    except Exception as error:  # nibabel, netCDF and HDF5 raise errors of many types
        raise FormatError(f"{path}: it is not a valid MINC file: {error}") from error


def _check_range_counts(path: Path) -> None:
    """Refuse more minima and maxima than there are voxels: nibabel reads all of them at once."""
    sizes = {}
    with open_guarded(path, "Reading MINC 2") as file:
        for name in "image", "image-min", "image-max":
            sizes[name] = getattr(file.get(f"minc-2.0/image/0/{name}"), "size", None) or 1
    for name in "image-min", "image-max":
        if sizes[name] > sizes["image"]:
            raise FormatError(
                f"{path}: {name} declares {sizes[name]:,} numbers for {sizes['image']:,} voxels"
            )


def open_source(path: str | os.PathLike[str]) -> Source:
    """Open a MINC file; see `spatial_duck.read`."""
    file = Path(path)
    image = _open_with_nibabel(file)
    minc = getattr(getattr(image, "dataobj", None), "minc_file", None)
    if minc is None:
        raise FormatError(f"{file}: it is not a MINC file")
    try:
        shape = tuple(int(n) for n in minc.get_data_shape())
        geometry = _geometry(image, minc, shape)
    except FormatError as error:
        raise FormatError(f"{file}: {error}") from error
    except GeometryError as error:
        raise FormatError(f"{file}: its geometry is not valid: {error}") from error
    except safety.MALFORMED as error:
        raise FormatError(f"{file}: its header is not valid: {error!r}") from error
    dtype = np.dtype(np.float64)
    safety.check_size(file, int(np.prod(shape, dtype=object)), compression="gzip")

    def read() -> NDArray[Any]:
        safety.check_memory(file, 2 * safety.count_bytes(shape, dtype))
        try:
            return np.asarray(_open_with_nibabel(file).dataobj, dtype)
        except (MemoryError, RecursionError):
            raise
        except Exception as error:  # nibabel, netCDF and HDF5 raise errors of many types
            raise FormatError(f"{file}: its voxels cannot be read: {error}") from error

    def load(lazy: bool | None) -> Any:
        return None if lazy else read()

    return Source("minc", geometry, dtype, {}, load)


def _dimensions(minc: Any) -> list[str]:
    """Return the names of the dimensions in the file's order.

    nibabel has no public attribute for them. If its private one is missing, the file is refused
    rather than its order guessed.
    """
    names = getattr(minc, "_dim_names", None)
    if names is None:
        raise FormatError(
            "this version of nibabel does not tell the order of the dimensions of MINC files; "
            "install another, or convert the file with mnc2nii"
        )
    return [str(name) for name in names]


def _geometry(image: Any, minc: Any, shape: tuple[int, ...]) -> Geometry:
    names = _dimensions(minc)
    unknown = [n for n in names if n not in _DIMS]
    if unknown or len(set(names)) != len(names) or len(names) != len(shape):
        raise FormatError(f"expected dimensions among {', '.join(_DIMS)}, got {names}")
    dims: list[str | None] = [_DIMS[n] for n in names]
    space = [i for i, n in enumerate(dims) if n in ("x", "y", "z")]
    # The columns of nibabel's affine follow the space dimensions in the file's order.
    affine = np.asarray(image.affine, np.float64)
    if len(space) != 3:
        raise FormatError(f"expected three space dimensions, got {names}")
    axes, units = ["x", "y", "z"], ["mm", "mm", "mm"]
    if "t" in dims:
        t = dims.index("t")
        time = minc._dims[t]
        step = float(getattr(time, "step", 0) or 0)
        if step > 0:
            start = float(getattr(time, "start", 0) or 0)
            affine = _insert_time(affine, sum(i < t for i in space), step, start)
            axes, units = [*axes, "t"], [*units, _text(getattr(time, "units", "")) or "s"]
        else:
            dims[t] = None
    return Geometry.from_affine(shape, affine, dims, world=World(axes, units, "RAS"))


def _insert_time(affine: NDArray[Any], column: int, step: float, start: float) -> NDArray[Any]:
    """Return an affine with a last world axis of time, which one more column runs along."""
    out = np.zeros((5, 5))
    space = [i for i in range(4) if i != column]
    out[np.ix_([0, 1, 2], space)] = affine[:3, :3]
    out[:3, 4], out[4, 4] = affine[:3, 3], 1
    out[3, column], out[3, 4] = step, start
    return out


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


class Minc(Format):
    """MINC 1 and 2; read only."""

    name, suffixes = "minc", (".mnc",)

    open = staticmethod(open_source)

    def matches(self, path: Path, head: bytes) -> bool:
        """Whether a file is of this format, by its first bytes."""
        if head.startswith(b"CDF") and head[3:4] in (b"\x01", b"\x02"):
            return b"xspace" in head or b"zspace" in head or path.suffix.lower() == ".mnc"
        return head.startswith(HDF5_SIGNATURE) and b"minc-2.0" in head


FORMAT = Minc()
