"""Pixels of DICOM files: decoded by pydicom and converted to values of an image.

A file of many frames is read in one pass if all of them are needed; a lazy image has a block for
each slice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck._optional import require
from spatial_duck.errors import FormatError
from spatial_duck.io import _safety as safety
from spatial_duck.io.dicom._files import open_file, pydicom_module, read_header
from spatial_duck.io.dicom._values import cast

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from spatial_duck.io.dicom._frames import Frame
    from spatial_duck.io.dicom._stack import Slice

__all__ = ["slice_loader"]


def slice_loader(
    file_path: Path, slices: Sequence[Slice], shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Callable[[bool | None], Any]:
    """Return the function that loads an image.

    Parameters
    ----------
    file_path : Path
        Named in messages.
    slices : sequence of Slice
        Slices along the axes before rows and columns, the last the fastest.
    shape : tuple of int
        Shape of the image.
    dtype : dtype
        Data type of the image.
    """
    plane = next(s.frame.shape for s in slices if s.frame is not None)

    def load(lazy: bool | None) -> Any:
        if lazy:
            return _lazy_slices(slices, plane, shape, dtype)
        return _read(file_path, slices, plane, shape, dtype)

    return load


def _read(
    file_path: Path, slices: Sequence[Slice], plane: tuple[int, ...], shape: tuple[int, ...],
    dtype: np.dtype[Any],
) -> NDArray[Any]:  # fmt: skip
    safety.check_memory(file_path, safety.count_bytes(shape, dtype))
    out = np.zeros(shape, dtype)
    flat = out.reshape(len(slices), *plane)
    files: dict[Path, list[int]] = {}
    for k, item in enumerate(slices):
        if item.frame is not None:
            files.setdefault(item.frame.path, []).append(k)
    for path, numbers in files.items():
        frames: list[Frame] = [f for k in numbers if (f := slices[k].frame) is not None]
        if any(slices[k].other for k in numbers):
            for k in numbers:
                flat[k] = _slice(slices[k], dtype)
        elif frames[0].number is None:
            whole = _decode(path, None, frames[0])[0]
            for k, frame in zip(numbers, frames, strict=True):
                flat[k] = _frame_values(whole, frame, dtype)
        else:
            order = sorted(range(len(numbers)), key=lambda i: frames[i].number or 0)
            planes = _decode(path, [frames[i].number or 0 for i in order], frames[0])
            for i, pixels in zip(order, planes, strict=True):
                flat[numbers[i]] = _frame_values(pixels, frames[i], dtype)
    return out


def _lazy_slices(
    slices: Sequence[Slice], plane: tuple[int, ...], shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Any:
    """Return a Dask array with a block for each slice."""
    dask = require("dask", "Reading with lazy=True")
    require("dask.array", "Reading with lazy=True")
    one = dask.delayed(_slice, pure=True)
    blocks = [
        dask.array.zeros(plane, dtype, chunks=plane)
        if item.frame is None
        else dask.array.from_delayed(one(item, dtype), plane, dtype)
        for item in (_without_elements(s) for s in slices)
    ]
    return dask.array.stack(blocks).reshape(shape, merge_chunks=False)


def _without_elements(item: Slice) -> Slice:
    """Return a slice without the elements of its frames, which no task needs."""
    return item._replace(
        frame=item.frame and item.frame._replace(elements={}),
        other=item.other and item.other._replace(elements={}),
    )


def _slice(item: Slice, dtype: np.dtype[Any]) -> NDArray[Any]:
    assert item.frame is not None
    plane = _plane(item.frame, dtype)
    if item.other is None:
        return plane
    after = _plane(item.other, dtype)
    out: NDArray[Any] = plane * (1 - item.weight) + after * item.weight
    return out


def _plane(frame: Frame, dtype: np.dtype[Any]) -> NDArray[Any]:
    indices = None if frame.number is None else [frame.number]
    return _frame_values(_decode(frame.path, indices, frame)[0], frame, dtype)


def _frame_values(pixels: NDArray[Any], frame: Frame, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the values of a frame, from decoded pixels."""
    if frame.tile is not None:
        row, column = frame.tile
        pixels = pixels[row : row + frame.shape[0], column : column + frame.shape[1]]
    if pixels.shape != frame.shape:
        raise FormatError(
            f"{frame.path}: expected pixels of shape {frame.shape}, got {pixels.shape}"
        )
    return cast(pixels, dtype, frame.scale, frame.name, frame.stored)


def _decode(path: Path, indices: list[int] | None, frame: Frame) -> list[NDArray[Any]]:
    """Return frames of a file, those listed or its only one, with the header's table applied.

    Raises
    ------
    FormatError
        If they cannot be read, or the file is another than that whose header was read.
    """
    try:
        return _decoded(path, indices, frame)
    finally:
        # What cannot be read of a file that was replaced is told by what happened to it.
        frame.identity.check()


def _decoded(path: Path, indices: list[int] | None, frame: Frame) -> list[NDArray[Any]]:
    from pydicom.pixels import apply_color_lut, apply_modality_lut, pixel_array

    tables = {"palette": apply_color_lut, "modality": apply_modality_lut}
    table = tables.get(frame.stored.table)
    try:
        with open_file(path) as file:
            if indices is not None and frame.stored.is_packed:
                # pydicom does not find frames that begin inside a byte.
                whole = pixel_array(file).reshape(-1, *frame.shape)
                return [whole[i] for i in indices]
            if indices is not None and table is None and frame.stored.has_syntax:
                return _frames(file, indices, frame)
            dataset = pydicom_module().dcmread(file, force=True)
        if not frame.stored.has_syntax:
            _set_transfer_syntax(dataset)
        planes = _frames(dataset, indices, frame)
        return planes if table is None else [table(p, dataset) for p in planes]
    except (MemoryError, RecursionError, FormatError):
        raise
    except Exception as error:  # decoders raise exceptions of their own
        raise FormatError(
            f"{path}: its pixels{_syntax_of(path)} cannot be read: {str(error).rstrip('.')}. "
            "Compressed ones may need a decoder: pip install pylibjpeg[all] or pyjpegls"
        ) from error


def _syntax_of(path: Path) -> str:
    """Return the transfer syntax of a file, for a message."""
    try:
        uid = read_header(path).dataset.file_meta.TransferSyntaxUID
    except (AttributeError, FormatError):
        return ""
    name = "" if uid.name == uid else f" {uid.name}"
    return f" (transfer syntax {uid}{name})"


def _frames(source: Any, indices: list[int] | None, frame: Frame) -> list[NDArray[Any]]:
    """Return the stored frames of a dataset or an open file."""
    from pydicom.pixels import iter_pixels, pixel_array

    if frame.stored.is_jpeg2000:
        # If stream and header disagree about signs, `iter_pixels` corrects arrays in place, which
        # are read-only with some decoders; `pixel_array` copies them first.
        return [pixel_array(source, index=i) for i in indices or [0]]
    return list(iter_pixels(source, indices=indices))


def _set_transfer_syntax(dataset: Any) -> None:
    """Set the transfer syntax of a file that has none, by the encoding of its elements."""
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    dataset.ensure_file_meta()
    implicit, little = dataset.original_encoding
    explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
