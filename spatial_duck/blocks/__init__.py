"""Any function over a large image, block by block: `map_blocks`, `reduce_blocks`, `sliding_window`.

The grid of the result is cut into cores, and each core is read with a halo around it: its window.
`_cover` says which cores and windows there are along one axis, and with what weights windows that
overlap are blended; `_index_map` says which voxels of each image a window needs; a `BlockJob`
(`_tasks`) turns those voxels into images, calls the function and puts what it returns in its place.
`_memory` and `_lazy` run a job over arrays in memory and over arrays in chunks (Dask, Zarr).

To add a way of blending, add a row to `_cover.PROFILES`. To add an executor, write a module that
calls `BlockJob.compute` for each number of `BlockJob.numbers` with the voxels that `BlockJob.boxes`
asks for, and choose it in `_api`.
"""

from __future__ import annotations

from spatial_duck.blocks._api import map_blocks, reduce_blocks
from spatial_duck.blocks._sliding import sliding_window
from spatial_duck.blocks._tasks import BlockValue

__all__ = ["BlockValue", "map_blocks", "reduce_blocks", "sliding_window"]
