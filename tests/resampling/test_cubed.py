"""The plan and its blocks know nothing of Dask: cubed computes the same, to the bit.

Cubed bounds the memory of each task ahead, and keeps what is between operations in Zarr. All that
it needs of this library is what `_chunk_tasks` has: the box of the source for a box of the output,
and the function that makes the one of the other.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.geometry import Geometry
from spatial_duck.resampling import _chunk_tasks as tasks
from spatial_duck.resampling import make_plan
from spatial_duck.resampling._output_chunks import output_chunks
from spatial_duck.resampling._prefilter import prepared_type

cubed = pytest.importorskip("cubed", reason="needs cubed")
da = pytest.importorskip("dask.array", reason="needs dask")

C, S = np.cos(0.3), np.sin(0.3)
SOURCE = Geometry((20, 25, 30), (2, 1, 1))
TARGETS = {
    "scaled": Geometry((30, 25, 22), (1.3, 1.1, 1.4)),
    "oblique": Geometry((22, 24, 26), (1.5, 1.1, 1.2), (5, 5, 2), [[1, 0, 0], [0, C, -S],
                                                                  [0, S, C]]),
}  # fmt: skip


def by_cubed(work, array, chunks):
    """Return a lazy array of cubed: one operation for a piece of work of ours."""
    from cubed.core.ops import map_selection

    def out_box(number):
        return tuple([(int(e[i]), int(e[i + 1])) for e, i in zip(work.outs, number, strict=True)])

    def select(key):
        box = work.box(out_box(key.coords)) or ((0, 1),) * array.ndim
        return tuple([slice(*bounds) for bounds in box])

    def make(piece, block_id=None):
        wanted = out_box(block_id)
        box = work.box(wanted)
        if box is None:
            return np.full([b - a for a, b in wanted], work.fill, work.dtype)
        return work.make(np.asarray(piece), box, wanted)

    met = 1
    for number in itertools.product(*[range(len(c)) for c in chunks]):
        box = work.box(out_box(number)) or ()
        spans = [-(-b // c[0]) - a // c[0] for (a, b), c in zip(box, array.chunks, strict=False)]
        met = max(met, int(np.prod(spans)))
    shape = tuple([int(e[-1]) for e in work.outs])
    return map_selection(make, select, array, shape, work.dtype, chunks, met)


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("how", ["nearest", "linear", "cubic"])
def test_cubed_computes_the_same(name, how, tmp_path):
    data = np.random.default_rng(0).normal(size=SOURCE.shape).astype("f4")
    lazy = sd.resample(sd.SpatialArray(da.from_array(data, chunks=10), SOURCE), TARGETS[name],
                       interpolation=how, fill=7)  # fmt: skip
    plan = make_plan(SOURCE, TARGETS[name], None, how)
    array = cubed.from_array(
        data, chunks=(10, 10, 10), spec=cubed.Spec(work_dir=str(tmp_path), allowed_mem="500MB")
    )
    edges = tasks.edges_of(array.chunks)
    if plan.filters:
        kind = prepared_type(data.dtype)
        array = by_cubed(tasks.Filter(plan, edges, edges, kind, 0), array, array.chunks)
    chunks, _ = output_chunks(plan, array.chunks, 4)
    work = tasks.ResampleTasks(plan, tasks.edges_of(chunks), edges, data.dtype, np.float32(7))
    np.testing.assert_array_equal(by_cubed(work, array, chunks).compute(), lazy.data.compute())
