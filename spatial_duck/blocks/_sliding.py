"""`sliding_window`: a function that wants blocks of one size, over an image of any size."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from spatial_duck import backends
from spatial_duck.array import SpatialArray, as_image
from spatial_duck.blocks._api import _check, _grid, run, with_plain
from spatial_duck.blocks._cover import Cover, cover_windows
from spatial_duck.blocks._index_map import bare_grid
from spatial_duck.errors import GeometryError
from spatial_duck.resampling._api import voxels_per_axis

if TYPE_CHECKING:
    from spatial_duck.geometry import Geometry

__all__ = ["sliding_window"]


def sliding_window(
    predict: Callable[..., Any],
    image: SpatialArray,
    *,
    window: int | Sequence[int | None] | Mapping[str, int],
    overlap: float = 0.25,
    blend: str | None = "gaussian",
    plain: Mapping[str, int] | None = None,
    dtype: DTypeLike = "float32",
    pad: str = "edge",
    device: Any = None,
    threads: int = 1,
) -> SpatialArray:
    """Run a network over an image of any size, in windows of the one size that it takes.

    Parameters
    ----------
    predict : callable or torch.nn.Module
        A function is called with a window of the image, a read-only `SpatialArray`, and returns an
        image on its grid or an array of its shape, with the plain axes that `plain` names.
        ``torch.from_dlpack(block)`` makes a tensor of one without copying. A PyTorch module is
        called so with a batch of one: plain axes (or a new one) are its channels, and no gradients
        are kept. Call its ``eval()`` first.
    image : SpatialArray
        On a NumPy, CuPy, Dask or Zarr array; it may be larger than memory.
    window : int, sequence or mapping of str to int
        Voxels of the window. One number stands for all space axes; a sequence has an entry for
        each sampled axis, or for each space axis; a mapping goes by name. Axes without a number
        are handed over whole.
    overlap : float
        Part of the window that neighbours share at least, from 0 up to but not including 1.
    blend : {"gaussian", "linear"} or None
        Weights of windows where they overlap. None cuts them in the middle of what they share, as
        a function needs it that returns labels, which have no averages.
    plain : mapping of str to int, optional
        Plain axes of the result by name and length, before all others, such as ``{"c": 3}`` for
        three classes; by default those of the image.
    dtype : optional
        Type of the result, which the function must return.
    pad : str
        How an image that is smaller than the window is continued: a mode of `numpy.pad`.
    device : optional
        Where a PyTorch module and its windows go.
    threads : int
        As for `map_blocks`.

    Returns
    -------
    SpatialArray
        On the image's grid; lazy where the image is. Memory follows the windows in flight and,
        where they are blended, those that wait for the ones beside them: about two layers across
        the longest axis, whatever is computed of the result in turn (the largest of the classes,
        `restore`).

    Raises
    ------
    BlockError
        If the function raises; the message names the window's position in the world.

    Examples
    --------
    >>> image = SpatialArray(np.arange(10, dtype="f4"), spacing=0.5)
    >>> sliding_window(lambda block: block * 2, image, window=4, overlap=0.5).data
    array([ 0.,  2.,  4.,  6.,  8., 10., 12., 14., 16., 18.], dtype=float32)
    """
    image = as_image(image, "sliding_window")
    grid = _grid((image,), None, plain)
    _check(blend, threads)
    check_overlap(overlap)
    lengths = voxels_per_axis("window", window, grid)
    covers = [Cover((0, n), ((0, n),)) for n in grid.shape]
    for axis, size in zip(grid.sampled_axes, lengths, strict=True):
        if size is None:
            continue
        shared = min(round(size * overlap), size - 1)
        covers[axis] = cover_windows(grid.shape[axis], size, shared, blend)
    names = None if plain is None else tuple(plain)
    if _is_module(predict):
        predict = _Module(predict, device, names)
    padded = _Padded(predict, tuple(lengths), pad, names)
    return run(padded, (image,), grid, tuple(covers), dtype, None, 0, threads)


def check_overlap(overlap: Any) -> None:
    """Check the part of its size that a window shares with the next one.

    Raises
    ------
    ValueError
        If it is not one number of at least 0 and less than 1.
    """
    if not (isinstance(overlap, Real) and 0 <= float(overlap) < 1):
        raise ValueError(
            "overlap must be a part of the size, one for all axes, at least 0 and less than 1, got "
            f"{overlap!r}"
        )


def _is_module(predict: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(predict, torch.nn.Module)


class _Padded:
    """A function of windows of one size, as a function of blocks that may be smaller."""

    def __init__(
        self,
        predict: Callable[..., Any],
        window: tuple[int | None, ...],
        mode: str,
        plain: tuple[str, ...] | None,
    ) -> None:
        self.predict, self.window, self.mode, self.plain = predict, window, mode, plain
        self.__name__ = getattr(predict, "__name__", type(predict).__name__)

    def __call__(self, block: SpatialArray) -> Any:
        geometry = block.geometry
        widths = [(0, 0)] * block.ndim
        for axis, size in zip(geometry.sampled_axes, self.window, strict=True):
            missing = 0 if size is None else max(size - block.shape[axis], 0)
            widths[axis] = (missing // 2, missing - missing // 2)
        if not any(map(any, widths)):
            return self.predict(block)
        whole: SpatialArray = np.pad(block, widths, mode=self.mode)  # type: ignore[call-overload]
        result = self.predict(whole)
        if isinstance(result, SpatialArray):
            return result
        return SpatialArray(result, _geometry_like(whole.geometry, self.plain, result.shape))


def _geometry_like(
    geometry: Geometry, plain: tuple[str, ...] | None, shape: Sequence[int]
) -> Geometry:
    """Return the geometry of a bare result for a block."""
    if plain is None:
        return geometry
    lengths = dict(zip(plain, shape[: len(plain)], strict=True))
    return with_plain(bare_grid(geometry), lengths)


class _Module:
    """A PyTorch module, as a function of blocks."""

    def __init__(self, module: Any, device: Any, plain: tuple[str, ...] | None) -> None:
        if plain is not None and len(plain) > 1:
            raise GeometryError(
                f"plain: a PyTorch module gives one axis of channels, got names for {plain!r}"
            )
        self.module = module if device is None else module.to(device)
        self.device, self.plain = device, plain
        self.__name__ = type(module).__name__

    def __call__(self, block: SpatialArray) -> Any:
        import torch

        geometry = block.geometry
        channels = [a for a in range(block.ndim) if a not in geometry.sampled_axes]
        if len(channels) > 1:
            raise GeometryError(
                f"a PyTorch module takes one axis of channels, and the image has the plain axes "
                f"{[geometry.dims[a] for a in channels]!r}; index the others with an integer"
            )
        data = _for_torch(block.data)
        with torch.inference_mode():
            tensor = torch.from_dlpack(data).permute(*channels, *geometry.sampled_axes)
            tensor = tensor[None] if channels else tensor[None, None]
            weights = next(self.module.parameters(), tensor)
            out = self.module(tensor.to(device=self.device, dtype=weights.dtype))[0]
            if self.plain is None and channels:
                out = out.movedim(0, channels[0])
            elif not self.plain:
                if out.shape[0] != 1:
                    raise GeometryError(
                        f"the module gives {out.shape[0]} channels, and the result has no axis for "
                        f"them; give plain={{'c': {out.shape[0]}}}"
                    )
                out = out[0]
            if out.dtype == torch.bfloat16:  # which neither NumPy nor CuPy has
                out = out.float()
            if isinstance(data, np.ndarray):
                return out.cpu().numpy()
            return backends.namespace(data).from_dlpack(out)


def _for_torch(data: Any) -> Any:
    """Return data as they are where PyTorch can share them, else a copy that it can."""
    if not isinstance(data, np.ndarray):
        return data
    data = data.astype(data.dtype.newbyteorder("="), copy=False)
    return data if all(stride >= 0 for stride in data.strides) else data.copy()
