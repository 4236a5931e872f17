"""How `benchmarks.filters` runs a filter in parts: frame by frame, and block by block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import spatial_duck as sd
from benchmarks._filter_inputs import mirrored

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["HALO", "in_blocks", "in_frames"]

#: Voxels that a block sees of its neighbours, and the chunks of the lazy image.
HALO, CHUNKS = 4, (6, 12, 12)


def _map_images(
    images: list[Any], kwargs: dict[str, Any], change: Callable[[sd.SpatialArray], Any]
) -> tuple[list[Any], dict[str, Any]]:
    def one(value: Any) -> Any:
        return change(value) if isinstance(value, sd.SpatialArray) else value

    return [one(v) for v in images], {k: one(v) for k, v in kwargs.items()}


def _series(image: sd.SpatialArray) -> sd.SpatialArray:
    """Return an image and another as time points 3 s apart."""
    g = image.geometry
    direction = np.eye(4)
    direction[1:, 1:] = g.direction
    return sd.SpatialArray(
        np.stack([np.asarray(image), np.asarray(mirrored(image))]), dims=("t", *image.dims),
        spacing=(3, *g.spacing), origin=(7, *g.origin), direction=direction, frame=g.frame,
        coords=image.coords, unit={"t": "s", **dict(zip(g.world.axes, g.world.units, strict=True))},
    )  # fmt: skip


def in_frames(proxy: Any, images: list[Any], kwargs: dict[str, Any]) -> tuple[str, str]:
    """Return "equal", "refused" or "wrong", and why: a series against each of its frames."""
    alone = []
    for change in (lambda image: image, mirrored):
        args, named = _map_images(images, kwargs, change)
        alone.append(proxy(*args, **named))
    args, named = _map_images(images, kwargs, _series)
    try:
        found = proxy(*args, **named)
    except Exception as error:
        return "refused", type(error).__name__
    for k, one in enumerate(alone):
        why = _differs_at(found, k, one)
        if why:
            return "wrong", why
    return "equal", ""


def _differs_at(found: Any, k: int, alone: Any) -> str:
    if isinstance(alone, tuple | list):
        pairs = zip(found, alone, strict=True)
        return next(filter(None, [_differs_at(f, k, a) for f, a in pairs]), "")
    if not isinstance(alone, sd.SpatialArray):
        return ""
    frame = found.isel(t=k)
    where = dict(zip(frame.world.axes, frame.index_to_physical([0] * frame.ndim), strict=True))
    if not np.allclose(np.asarray(frame), np.asarray(alone), rtol=1e-5, atol=1e-6, equal_nan=True):
        return "other voxels"
    space = frame.to_world(alone.world.axes).geometry
    placed = space.isclose(alone.geometry) and abs(where["t"] - (7 + 3 * k)) < 1e-9
    return "" if placed else "another geometry or time"


def in_blocks(proxy: Any, images: list[Any], kwargs: dict[str, Any]) -> tuple[str, str]:
    """Return "equal", "close", "other" or "refused", and why: blocks with a halo, and the whole."""
    whole = proxy(*images, **kwargs)
    if not isinstance(whole, sd.SpatialArray) or whole.shape != images[0].shape:
        return "refused", "the result lies on another grid"
    args, named = _map_images(images, kwargs, lambda image: image.chunk(CHUNKS))
    try:
        lazy = proxy(*args, **named, halo=HALO, halo_unit="voxel")
        if not hasattr(lazy.data, "dask"):
            return "wrong", "it was computed"
        found = np.asarray(lazy.compute())
    except Exception as error:
        return "refused", type(error).__name__
    wanted = np.asarray(whole)
    if not lazy.geometry.isclose(whole.geometry):
        return "wrong", "another geometry"
    if np.array_equal(found, wanted, equal_nan=wanted.dtype.kind in "fc"):
        return "equal", ""
    size = float(np.nanmax(np.abs(wanted), initial=0))
    far = float(np.nanmax(np.abs(found.astype("f8") - wanted.astype("f8"))) / (size or 1))
    return ("close", "") if far < 1e-4 else ("other", "")
