"""Pictures without a reader of their own (PNG, JPEG, GIF, BMP, WebP, …), through imageio.

Arrays are ``(y, x)`` or ``(y, x, c)``, with an unnamed axis in front for several frames. The frame
is unspecified and the origin 0. The resolution in dots per inch, where the file has one, becomes
the spacing in mm; without one the spacing is 1 and has no unit. Only PNG is written, as it changes
no value; its resolution is in whole dots per metre. Options of `write`: ``oblique="drop"`` accepts
that origin, frame and direction are lost.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck._optional import require
from spatial_duck.array import SpatialArray
from spatial_duck.errors import FormatError
from spatial_duck.geometry import Geometry, World
from spatial_duck.io import _safety as safety
from spatial_duck.io._axis_aligned import require_axis_aligned
from spatial_duck.io._coords import color_names
from spatial_duck.io._format import Format
from spatial_duck.io._layout import Rules, check_dtype, check_precision, fit_layout, in_order
from spatial_duck.io._source import Source

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["FORMAT"]

RULES = Rules("PNG", (), unit=("mm",), plain="last", unspecified=True, named=True, time=False)
_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"BM", b"P5", b"P6")
#: A picture's compressor reaches this ratio at most, in files that were not made to deceive.
_RATIO = 1032


def _imageio() -> Any:
    return require("imageio.v3", "Reading pictures")


@contextmanager
def _open_picture(path: Path) -> Iterator[Any]:
    """Open a picture; decoders ask for as many bytes as its parts declare."""
    with safety.BoundedFile(path) as raw, _imageio().imopen(raw, "r") as file:
        yield file


def _refusal(path: Path, error: Exception) -> FormatError:
    return FormatError(f"{path}: it cannot be read as a picture: {error}")


def open_source(path: str | os.PathLike[str]) -> Source:
    """Open a picture; see `spatial_duck.read`."""
    file_path = Path(path)
    _imageio()
    try:
        with _open_picture(file_path) as file:
            several = (file.properties(index=...).n_images or 1) > 1
            found = file.properties(index=... if several else 0)
            meta = file.metadata(index=0, exclude_applied=False)
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # each plugin raises its own
        raise _refusal(file_path, error) from error
    shape, dtype = tuple(int(n) for n in found.shape), np.dtype(found.dtype)
    if not 2 <= len(shape) <= 4 or dtype.kind not in "biufc":
        raise FormatError(
            f"{file_path}: a picture has 2 to 4 axes of numbers, got {shape} of {dtype}"
        )
    colours = len(shape) - several > 2
    dims = (*([None] if several else []), "y", "x", *(["c"] if colours else []))
    spacing, unit = _spacing(meta.get("dpi"))
    geometry = Geometry(shape, spacing, dims=dims, world=World(("x", "y"), unit))
    needed = safety.count_bytes(shape, dtype)
    if needed > file_path.stat().st_size * _RATIO:
        safety.check_memory(file_path, needed)

    def read() -> NDArray[Any]:
        safety.check_memory(file_path, needed)
        try:
            with _open_picture(file_path) as file:
                values = np.asarray(file.read(index=... if several else 0))
        except (MemoryError, RecursionError):
            raise
        except Exception as error:  # as above
            raise _refusal(file_path, error) from error
        if values.shape != shape:
            raise FormatError(f"{file_path}: expected shape {shape}, got {values.shape}")
        return values

    def load(lazy: bool | None) -> Any:
        return None if lazy else read()

    kept = {k: v for k, v in meta.items() if isinstance(v, str | int | float) and k != "shape"}
    attrs = {"picture": kept} if kept else {}
    return Source("picture", geometry, dtype, attrs, load, coords=_colors(geometry))


def _colors(geometry: Geometry) -> dict[str, Any]:
    """Return the coordinate of the colors of a picture; none of one in shades of gray."""
    count = geometry.shape[-1] if geometry.dims[-1] == "c" else 0
    return {"channel": ("c", color_names(count))} if count in (3, 4) else {}


def _spacing(dpi: Any) -> tuple[tuple[float, float], str | None]:
    """Return spacing along y and x, and its unit."""
    try:
        across, down = (float(v) for v in dpi)
    except (TypeError, ValueError):
        return (1.0, 1.0), None
    if not (0.01 < across < 1e9 and 0.01 < down < 1e9):
        return (1.0, 1.0), None
    return (25.4 / down, 25.4 / across), "mm"


def write_image(
    path: Path,
    image: Any,
    *,
    progress: Any = None,
    oblique: str = "refuse",
) -> None:
    """Write a PNG file; see `spatial_duck.write`."""
    if path.suffix.lower() != ".png":
        raise FormatError(
            f"{path}: pictures that change values are not written; use .png, .tif or .npy"
        )
    # What no change of its place mends is said first.
    in_space = _is_plane_in_space(image.geometry)
    if "z" in image.dims and not in_space:
        raise FormatError(
            f"PNG holds one 2-D picture, got shape {image.shape} with dims "
            f"{image.dims!r}; write one plane, such as image.isel(z=0), or the planes as "
            "drawn: image.plot().savefig(path)"
        )
    more = []
    if in_space:
        image = _flat(image)
        more.append("where the plane lies in space")
    fit = in_order(fit_layout(image, RULES, minimum=2), "zyxp")
    g = fit.geometry
    dtype = check_dtype(np.dtype(fit.data.dtype), ("u1", "u2"), "PNG")
    if 0 in g.shape or (g.ndim > 2 and (g.shape[2] not in (1, 3, 4) or dtype.itemsize > 1)):
        raise FormatError(
            f"PNG holds grey, or 3 or 4 uint8 colours, got shape {g.shape} of {dtype}"
        )
    if g.origin.any():
        more.append(f"that the image begins at {g.origin.tolist()}")
    if g.frame is not None:
        more.append(f"the frame {g.frame!r}")
    if not any(g.unit) and (g.spacing != 1).any():
        more.append(f"the spacing {g.spacing.tolist()}, which has no unit (its resolution has)")
    require_axis_aligned(g, "PNG", oblique, ("drop",), more)
    options: dict[str, Any] = {}
    if any(g.unit):
        # Whole dots per metre.
        dots = [round(1000 / float(s)) for s in g.spacing]
        stored = g.replace(spacing=[1000 / max(d, 1) for d in dots])
        check_precision(g, stored, "PNG", "use .tif or .npy, or another spacing")
        options["dpi"] = (dots[1] * 0.0254, dots[0] * 0.0254)
    values = np.ascontiguousarray(np.asarray(fit.data), dtype=dtype)
    if values.ndim > 2 and values.shape[2] == 1:
        values = values[..., 0]
    _imageio().imwrite(path, values, extension=".png", **options)
    if callable(progress):
        progress(values.nbytes, values.nbytes)


def _is_plane_in_space(g: Geometry) -> bool:
    names = {g.dims[axis] for axis in g.sampled_axes}
    return "z" in g.world.axes and not g.lost_axes and len(names) == 2 and names <= set("xyz")


def _flat(image: Any) -> Any:
    """Return a plane of a volume as a 2-D image along y and x, with its spacing alone."""
    g = image.geometry
    dims = list(g.dims)
    for axis, name in zip(g.sampled_axes, ("y", "x"), strict=True):
        dims[axis] = name
    world = World(("x", "y"), g.unit[g.world.axes.index("z")])
    flat = Geometry(g.shape, g.spacing, dims=dims, sampled=("y", "x"), world=world)
    return SpatialArray(image.data, flat)


class Picture(Format):
    """Pictures that imageio reads; PNG is written."""

    name, suffixes = "picture", (".png",)

    open = staticmethod(open_source)
    write = staticmethod(write_image)

    def held_coords(self, image: Any, **options: Any) -> list[str]:  # noqa: ARG002
        """Return the names of colors, which a picture has without words."""
        found = [str(name) for name in image.coords.get("channel", ())]
        return ["channel"] if found in (color_names(3), color_names(4)) else []

    def matches(self, path: Path, head: bytes) -> bool:  # noqa: ARG002
        """Whether a file is of this format, by its first bytes."""
        return head.startswith(_MAGIC) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


FORMAT = Picture()
