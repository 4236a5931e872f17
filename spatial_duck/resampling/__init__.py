"""Resampling: one plan, several executors.

`_planning` turns two geometries and a transform into a `Plan`: what has to be done. `_blocks` does
it for one block of output voxels, with the arithmetic of an engine (`_numba_engine`,
`_numpy_engine` where Numba is missing, or would take longer to load); `_prefilter` runs the filters
that have to run over the source first; `_memory` and `_chunked` decide which blocks there are, for
arrays in memory and for arrays in chunks (Dask, Zarr). `_device` does the same for every other
array where it is, by functions of the array API (`_device_values`), and for CuPy by kernels
(`_cuda`). `_sampling` has values at points.

To add an interpolation, give it a row in `_interpolations.kinds` and its weights, and its taps in
each engine and in `_device_values`. To add an engine, write a module with the functions of
`_numpy_engine` and choose it in `_engines.engine_for`. To add an executor, make it call
`_blocks.block` with the box of source voxels that `Plan.input_box` asks for, and choose it in
`resample`.
"""

from __future__ import annotations

from spatial_duck.resampling._api import resample, target_grid
from spatial_duck.resampling._interpolations import INTERPOLATIONS
from spatial_duck.resampling._physical import crop, pad_to, reorient, sample
from spatial_duck.resampling._plan import Plan
from spatial_duck.resampling._planning import make_plan

__all__ = [
    "INTERPOLATIONS",
    "Plan",
    "crop",
    "make_plan",
    "pad_to",
    "reorient",
    "resample",
    "sample",
    "target_grid",
]
