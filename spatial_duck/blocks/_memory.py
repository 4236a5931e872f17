"""Jobs over arrays in memory: one block after the other, or in a pool of threads."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.blocks._cover import weighted
from spatial_duck.blocks._index_map import slices
from spatial_duck.resampling._blocks import work_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from spatial_duck.blocks._tasks import BlockJob

__all__ = ["execute", "rounded", "values"]


def execute(job: BlockJob, arrays: Sequence[Any], threads: int) -> Any:
    """Run a job and return the whole result.

    Parameters
    ----------
    job : BlockJob
        The work on each block.
    arrays : sequence of array
        The data of each image.
    threads : int
        How many blocks to work on at the same time. The result does not depend on it.
    """

    def work(number: tuple[int, ...]) -> Any:
        boxes = job.boxes(number)
        return job.compute(number, boxes, _cut(arrays, boxes))

    out: Any = None
    dtype = job.dtype
    for number, part in _in_order(work, job.numbers, threads):
        if out is None:
            dtype = part.dtype if dtype is None else dtype
            kind = work_type(dtype) if job.blended else dtype
            out = np.zeros_like(part, shape=job.grid.shape, dtype=kind)
        elif part.dtype != dtype:
            raise TypeError(
                f"map_blocks: the function returned values of type {dtype} for one block and "
                f"{part.dtype} for another; make it return one type"
            )
        box = job.needed(number)
        if job.blended:
            out[slices(box)] += weighted(part, job.weights(number, box), out.dtype)
        else:
            out[slices(box)] = part
    return rounded(out, dtype)


def values(job: BlockJob, arrays: Sequence[Any], threads: int) -> list[Any]:
    """Run a job and return what the function returned for each block."""

    def work(number: tuple[int, ...]) -> Any:
        boxes = job.boxes(number)
        return job.value(number, boxes, _cut(arrays, boxes))

    return [value for _, value in _in_order(work, job.numbers, threads)]


def rounded(values: Any, dtype: Any) -> Any:
    """Return blended values in the type wanted; integers are rounded to the nearest."""
    if values.dtype == dtype:
        return values
    return (np.rint(values) if dtype.kind in "iu" else values).astype(dtype)


def _cut(arrays: Sequence[Any], boxes: Sequence[Any]) -> list[Any]:
    return [array[slices(box)] for array, box in zip(arrays, boxes, strict=True)]


def _in_order(
    work: Callable[[Any], Any], items: Iterable[Any], threads: int
) -> Iterator[tuple[Any, Any]]:
    """Yield items and results in order, with no more finished results than threads."""
    if threads == 1:
        for item in items:
            yield item, work(item)
        return
    waiting: deque[tuple[Any, Future[Any]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(work, item)))
                if len(waiting) > threads:
                    done, future = waiting.popleft()
                    yield done, future.result()
            while waiting:
                done, future = waiting.popleft()
                yield done, future.result()
        finally:
            for _, future in waiting:
                future.cancel()
