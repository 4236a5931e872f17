"""Any function over a large image, block by block: `map_blocks`, `reduce_blocks`, `sliding_window`.

The grid of the result is cut into cores, and each core is read with a halo around it: its window.
`cover` says which cores and windows there are along one axis, and with what weights windows that
overlap are blended; `regions` says which voxels of each image a window needs; a `Job` (`job`) turns
those voxels into images, calls the function and puts what it returns in its place. `memory` and
`lazy` run a job over arrays in memory and over arrays in chunks (Dask, Zarr).

To add a way of blending, add a row to `cover.PROFILES`. To add an executor, write a module that
calls `Job.compute` for each number of `Job.numbers` with the voxels that `Job.boxes` asks for, and
choose it in `front`.
"""

from __future__ import annotations

from spatial_duck.blocks._api import map_blocks, reduce_blocks
from spatial_duck.blocks._sliding import sliding_window
from spatial_duck.blocks._tasks import BlockValue

__all__ = ["BlockValue", "map_blocks", "reduce_blocks", "sliding_window"]
