"""Work on a volume larger than memory: only the chunks that are needed are read.

Run it with ``python examples/03_larger_than_memory.py``. It needs the extra ``zarr`` and
``resample``. The volume has 1 TB of voxels, all but a few of them fill values: the store is small.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import zarr

import spatial_duck as sd

SIDE, CHUNK = 8000, 100  # 8000³ voxels of 2 bytes
BRIGHT = (slice(4000, 4200), slice(3900, 4100), slice(2000, 2200))


class RecordingStore(zarr.storage.LocalStore):
    """A folder of chunks; `chunks_read` holds the keys of those that were read."""

    chunks_read: list[str] = []  # noqa: RUF012

    async def get(self, key: str, *args: Any, **kwargs: Any) -> Any:
        if not key.endswith("zarr.json"):
            self.chunks_read.append(key)
        return await super().get(key, *args, **kwargs)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder))


def run(folder: Path) -> None:
    store = RecordingStore(folder / "volume.zarr")
    array = zarr.create_array(store, shape=(SIDE,) * 3, chunks=(CHUNK,) * 3, dtype="uint16")
    array[BRIGHT] = np.random.default_rng(0).integers(1, 1000, (200, 200, 200), dtype=np.uint16)
    volume = sd.SpatialArray(array, spacing=(1.0, 0.5, 0.5), unit="um")
    print(volume)
    print(f"\n{'step':<50}{'seconds':>10}{'chunks read':>14}")

    def step(name: str, start: float) -> None:
        print(f"{name:<50}{time.perf_counter() - start:>10.3f}{len(store.chunks_read):>14}")
        store.chunks_read.clear()

    store.chunks_read.clear()
    start = time.perf_counter()
    view = np.flip(volume, axis=0)[::2].transpose(2, 1, 0)
    step("flip, take every second slice, transpose", start)

    start = time.perf_counter()
    box = sd.crop(view, [[4000, 1950, 1000], [4049, 1999, 1049]])  # µm along z, y, x
    values = np.asarray(box)
    step(f"crop a box in µm and read it: {box.shape}", start)
    assert values.any()

    start = time.perf_counter()
    region = sd.crop(volume, [[3800, 1700, 800], [4399, 2299, 1399]])
    finer = sd.resample(region, spacing=0.5)
    step(f"plan a resample of 600 µm to {finer.shape}", start)

    start = time.perf_counter()
    block = finer[500:600, 550:650, 450:550].compute()
    step(f"compute one block of it: {block.shape}", start)
    assert block.data.any()

    start = time.perf_counter()
    try:
        np.asarray(volume)
    except sd.TooLargeError as error:
        print(f"\nnp.asarray(volume)\nTooLargeError: {str(error).replace(str(folder), '…')}")

    index = volume.physical_to_index(block.origin)
    print(f"\nthe block begins at {block.origin} µm, which is voxel {index} of the volume")


if __name__ == "__main__":
    main()
