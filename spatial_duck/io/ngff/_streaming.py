"""Writing an array and its pyramid in one pass: every block of the source is computed once.

`_block_plan` divides each level into blocks such that a block is made of whole blocks of the level
below. A block of the finest level is computed, written and binned; when all blocks below a coarser
one are binned it is joined from them, written and binned too. Nothing is read again, and memory
holds a block or two of each level besides the blocks that are being processed. With a method whose
kernel extends beyond a bin (gaussian) each level is computed in a pass of its own over the level
below, as it was written; the source is still computed once.

The blocks are tasks of a Dask graph: a lazy image's own graph is merged with it, so that its chunks
are computed by the scheduler that the user chose (threads, or the workers of ``dask.distributed``,
which then need access to the target's directory), and tasks that blocks share run once. A graph has
at most about `_BLOCKS_PER_GRAPH` blocks.
"""

from __future__ import annotations

import itertools
import math
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck._config import current
from spatial_duck.backends import backend_of
from spatial_duck.backends.zarr._chunks import read, write
from spatial_duck.errors import FormatError
from spatial_duck.pyramids._binning import find_method, trim
from spatial_duck.resampling._chunk_reader import assemble, chunks_meeting
from spatial_duck.resampling._chunk_tasks import edges_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from spatial_duck.io.ngff._block_plan import BlockPlan
    from spatial_duck.io.ngff._journal import Journal
    from spatial_duck.pyramids._binning import Method
    from spatial_duck.resampling._chunk_reader import Cuts

    Shape = tuple[int, ...]

__all__ = ["WriteJob", "check_source", "write_blocks"]

#: Blocks of one graph. Larger graphs take more memory; with smaller ones tasks that blocks share
#: run again in each.
_BLOCKS_PER_GRAPH = 4096
#: Voxels that are smoothed at once, few enough for the processor's cache; and the least length of
#: such a slab in bins.
_VOXELS_PER_SLAB, _MIN_BINS_PER_SLAB = 1 << 16, 4


# --- work on a block ----------------------------------------------------------------------


class WriteJob:
    """Data that all tasks share, and the work on one block.

    Parameters
    ----------
    blocks : BlockPlan
        Division of the levels into blocks.
    arrays : sequence of zarr.Array
        Array of each level.
    method : str
        Name of a method in `spatial_duck.pyramids._binning.METHODS`.
    journal : Journal
        Holds the finished blocks.
    source : array, optional
        Voxels of the finest level in memory; None if they come from a Dask graph.
    """

    def __init__(
        self, blocks: BlockPlan, arrays: Sequence[Any], method: str, journal: Journal, source: Any
    ) -> None:
        self.blocks, self.arrays, self.journal, self.source = blocks, arrays, journal, source
        self.method = method

    @property
    def row(self) -> Method:
        """The method, as in the table of methods."""
        return find_method(self.method)

    def write_finest(
        self, chunks: Sequence[Any] = (), cuts: Sequence[Cuts] = (), *, index: Shape
    ) -> Any:
        """Write a block of the finest level, of the chunks of a lazy source; return its bins."""
        box = self.blocks.box(0, index)
        if self.source is not None:
            block = self.source[box]
        else:
            block = assemble(chunks, tuple([(s.start, s.stop) for s in box]), cuts)
        return self._write_and_bin(
            0, index, _to_numpy(block).astype(self.arrays[0].dtype, copy=False)
        )

    def write_joined(
        self, parts: Sequence[Any], *, level: int, index: Shape, below: Sequence[Shape]
    ) -> Any:
        """Join a block of the bins of the blocks below, and write it; return its bins."""
        box = self.blocks.box(level, index)
        block = np.empty([s.stop - s.start for s in box], self.arrays[level].dtype)
        for child, part in zip(below, parts, strict=True):
            there = self.blocks.binned_box(level - 1, child)
            key = [slice(s.start - b.start, s.stop - b.start)
                   for s, b in zip(there, box, strict=True)]  # fmt: skip
            if part.size:
                block[tuple(key)] = part
        return self._write_and_bin(level, index, block)

    def read_bins(self, level: int, index: Shape) -> Any:
        """Return the bins of a block that is written already."""
        return self._bin(level, read(self.arrays[level], self.blocks.box(level, index)))

    def write_smoothed(self, *, level: int, index: Shape) -> None:
        """Write a block that is computed from a region of the level below, as it was written."""
        plan, bins, reach = self.blocks, self.blocks.bins[level], self.row.reach
        box = plan.box(level, index)
        origin, _ = plan.region_below(level, box, reach)
        source = read(self.arrays[level - 1], origin)
        block = np.empty([s.stop - s.start for s in box], source.dtype)
        axis = next((a for a, n in enumerate(block.shape) if n > 1), 0)
        line = source.size // max(1, block.shape[axis])
        step = max(_MIN_BINS_PER_SLAB, _VOXELS_PER_SLAB // max(1, line))
        for start in range(box[axis].start, box[axis].stop, step):
            slab = slice(start, min(start + step, box[axis].stop))
            part = (*box[:axis], slab, *box[axis + 1 :])
            there, here = plan.region_below(level, part, reach)
            cut = [slice(s.start - o.start, s.stop - o.start)
                   for s, o in zip(there, origin, strict=True)]  # fmt: skip
            target = [slice(s.start - b.start, s.stop - b.start)
                      for s, b in zip(part, box, strict=True)]  # fmt: skip
            block[tuple(target)] = self.row.kernel(source[tuple(cut)], bins)[here]
        self._write(level, index, block)

    def _write_and_bin(self, level: int, index: Shape, block: Any) -> Any:
        self._write(level, index, block)
        return self._bin(level, block)

    def _write(self, level: int, index: Shape, block: Any) -> None:
        self.journal.check_current()
        write(self.arrays[level], self.blocks.box(level, index), block)
        self.journal.add(level, *index)

    def _bin(self, level: int, block: Any) -> Any:
        if level + 1 == len(self.blocks.shapes) or self.row.reach:
            return None
        bins = self.blocks.bins[level + 1]
        return np.ascontiguousarray(self.row.kernel(trim(block, bins), bins))


def _to_numpy(block: Any) -> Any:
    return block if type(block) is np.ndarray else np.asarray(backend_of(block).to_numpy(block))


# --- graphs -------------------------------------------------------------------------------


class _Runner:
    """Builds graphs of the blocks that remain, and runs them."""

    def __init__(
        self, job: WriteJob, data: Any, workers: int, report: Callable[[int, int], Any]
    ) -> None:
        self.job, self.blocks, self.data = job, job.blocks, data
        self.workers, self.report = workers, report
        self.dtype = np.dtype(job.arrays[0].dtype)
        self.done = job.journal.done
        self.total = sum(self.dtype.itemsize * math.prod(s) for s in self.blocks.shapes)
        self.written = self.count_bytes(self.done)
        self.client = _client(data)

    def count_bytes(self, places: Iterable[Shape]) -> int:
        """Return the number of bytes of blocks, each given by level and index."""
        return sum(self.blocks.count_bytes(p[0], p[1:], self.dtype) for p in places)

    def write_levels(self) -> None:
        """Write all levels: in one pass, or in one for each if the kernel extends beyond a bin."""
        top = len(self.blocks.shapes) - 1
        if self.job.row.reach:
            for level in range(top + 1):
                left = [i for i in self.blocks.indices(level) if (level, *i) not in self.done]
                for batch in _batched(left, _BLOCKS_PER_GRAPH):
                    self.run_batch(level, batch, {})
            return
        # A batch consists of blocks of a coarse level, each with all blocks below it.
        leaves = max(1, math.prod(self.blocks.counts(0)))
        cut = top
        while (
            cut
            and leaves > _BLOCKS_PER_GRAPH * math.prod(self.blocks.counts(cut))
            and leaves > _BLOCKS_PER_GRAPH
        ):
            cut -= 1
        cells = [c for root in self.blocks.indices(top) for c in self.remaining(top, root, cut)]
        parts: dict[Shape, Any] = {}
        for batch in _batched(
            cells, max(1, _BLOCKS_PER_GRAPH * math.prod(self.blocks.counts(cut)) // leaves)
        ):
            parts |= self.run_batch(cut, batch, {})
        if cut < top:
            self.run_batch(
                top, [i for i in self.blocks.indices(top) if (top, *i) not in self.done], parts
            )

    def remaining(self, level: int, index: Shape, cut: int) -> Iterator[Shape]:
        """Yield the blocks of the level `cut` that are not finished, or whose bins are needed."""
        top = len(self.blocks.shapes) - 1
        finished = (level, *index) in self.done
        if level == cut:
            if not (finished and level == top):
                yield index
        elif not finished:
            for child in self.blocks.blocks_below(level, index):
                yield from self.remaining(level - 1, child, cut)

    def run_batch(
        self, level: int, batch: Sequence[Shape], parts: dict[Shape, Any]
    ) -> dict[Shape, Any]:
        """Write blocks of a level and all that remain below them; return their bins."""
        # A name that no other graph on the same workers has.
        name = f"spatial-duck-{uuid.uuid4().hex}"
        graph: dict[Any, Any] = {f"{name}-job": self.job}
        leaves: list[Shape] = []
        keys = [self.add_task(graph, name, leaves, parts, level, index) for index in batch]
        if not keys:
            return {}
        if self.data is not None and leaves:
            graph |= self.source_graph(graph, name, leaves)
        if self.client is not None:
            values = self.run_on_client(graph, keys)
        else:
            values = self.run_in_threads(graph, name, keys)
        return {(level, *index): value for index, value in zip(batch, values, strict=True)}

    def add_task(
        self,
        graph: dict[Any, Any],
        name: str,
        leaves: list[Shape],
        parts: dict[Shape, Any],
        level: int,
        index: Shape,
    ) -> Any:
        """Add the tasks of a block and of those below it; return the key of the block's."""
        key, job = (name, level, *index), f"{name}-job"
        if (level, *index) in parts:
            graph[key] = parts[level, *index]
        elif (level, *index) in self.done:
            graph[key] = (partial(WriteJob.read_bins, level=level, index=index), job)
        elif level == 0:
            leaves.append(index)
            graph[key] = (partial(WriteJob.write_finest, index=index), job)
        elif self.job.row.reach:
            graph[key] = (partial(WriteJob.write_smoothed, level=level, index=index), job)
        else:
            below = self.blocks.blocks_below(level, index)
            made = [self.add_task(graph, name, leaves, parts, level - 1, child) for child in below]
            graph[key] = (
                partial(WriteJob.write_joined, level=level, index=index, below=below),
                job,
                made,
            )
        return key

    def source_graph(
        self, graph: dict[Any, Any], name: str, leaves: Sequence[Shape]
    ) -> dict[Any, Any]:
        """Return the graph of the Dask image, with its chunks as input of the finest blocks."""
        from dask.array.optimization import optimize

        edges = edges_of(self.data.chunks)
        wanted: dict[Any, None] = {}
        for index in leaves:
            met = [chunks_meeting(e, s.start, s.stop)
                   for e, s in zip(edges, self.blocks.box(0, index), strict=True)]  # fmt: skip
            keys = [(self.data.name, *n) for n in itertools.product(*[m[0] for m in met])]
            first = partial(WriteJob.write_finest, cuts=[m[1] for m in met], index=index)
            graph[name, 0, *index] = (first, f"{name}-job", keys)
            wanted |= dict.fromkeys(keys)
        return dict(optimize(self.data.__dask_graph__(), list(wanted)))

    def run_in_threads(self, graph: dict[Any, Any], name: str, keys: list[Any]) -> Any:
        """Run a graph in threads of this process; `name` is in the keys of its blocks."""
        import dask.threaded

        before = set(self.done)

        def finished(key: Any, *_: Any) -> None:
            if isinstance(key, tuple) and key[0] == name and key[1:] not in before:
                self.written += self.count_bytes([key[1:]])
                self.report(self.written, self.total)

        callbacks = [(None, None, None, finished, None)]
        # The pool waits for running tasks, so that nothing is written after an interrupt.
        with ThreadPoolExecutor(self.workers) as pool:
            return dask.threaded.get(graph, keys, pool=pool, callbacks=callbacks)

    def run_on_client(self, graph: dict[Any, Any], keys: list[Any]) -> Any:
        """Run a graph on the workers of dask.distributed."""
        from distributed import wait

        limit, last_manned = current().max_idle_seconds, time.monotonic()
        futures = self.client.get(graph, keys, sync=False)
        try:
            running = list(futures)
            while running:
                if self.client.scheduler_info()["workers"]:
                    last_manned = time.monotonic()
                elif time.monotonic() - last_manned > limit:
                    raise TimeoutError(
                        f"{self.client.scheduler.address} has had no workers for {limit:g} s; "
                        f"{self.written:,} of {self.total:,} bytes are written. Start workers and "
                        "write again with resume=True, or wait longer: "
                        "sd.config(max_idle_seconds=...)"
                    )
                try:
                    running = list(wait(running, timeout=0.5).not_done)
                except TimeoutError:
                    running = [f for f in running if not f.done()]
                # The progress of the workers is in the journal.
                new = self.job.journal.read_new()
                self.done |= new
                self.written += self.count_bytes(new)
                self.report(self.written, self.total)
            return self.client.gather(futures)
        except BaseException:
            self.client.cancel(futures)
            raise


def _batched(items: Sequence[Shape], size: int) -> Iterator[Sequence[Shape]]:
    return (items[i : i + size] for i in range(0, len(items), size))


def _client(data: Any) -> Any:
    """Return the client of dask.distributed that would compute a Dask array, or None."""
    if data is None:
        return None
    from dask.base import get_scheduler

    return getattr(get_scheduler(collections=[data]), "__self__", None)


def write_blocks(job: WriteJob, data: Any, workers: int, report: Callable[[int, int], Any]) -> None:
    """Write the blocks that are not finished.

    Parameters
    ----------
    job : WriteJob
        Source and target.
    data : dask.array.Array or None
        Voxels of the finest level, if the job has no source.
    workers : int
        Number of local threads.
    report : callable
        Called with the number of bytes written and of all bytes, in the calling thread.
    """
    _Runner(job, data, workers, report).write_levels()


def check_source(job: WriteJob, data: Any) -> None:
    """Compare the two largest finished blocks with the source.

    Parameters
    ----------
    job : WriteJob
        A job with finished blocks.
    data : dask.array.Array or None
        Voxels of the finest level, if the job has no source.

    Raises
    ------
    FormatError
        If they differ: the interrupted write was of other voxels.
    """
    array = job.arrays[0]

    def stored_bytes(index: Shape) -> int:
        unit = array.shards or array.chunks
        chunk = [s.start // c for s, c in zip(job.blocks.box(0, index), unit, strict=True)]
        return int(job.journal.size_of(0, array.metadata.encode_chunk_key(tuple(chunk))))

    found = [tuple(rest) for level, *rest in job.journal.done if level == 0]
    for index in sorted(found, key=stored_bytes, reverse=True)[:2]:
        box = job.blocks.box(0, index)
        block = job.source[box] if data is None else data[box]
        now = _to_numpy(block).astype(job.arrays[0].dtype, copy=False)
        before = read(job.arrays[0], box)
        if not np.array_equal(now, before, equal_nan=now.dtype.kind in "fc"):
            raise FormatError(
                f"the interrupted write of {job.journal.fresh} was of an image with other "
                f"voxels: they differ at {box}. Continue with that image, or start again without "
                "resume=True"
            )
