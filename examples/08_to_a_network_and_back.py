"""Run a 3-D network over a volume larger than a memory cap, and bring its answer back.

Run it with ``python examples/08_to_a_network_and_back.py``. It needs PyTorch and the extras
``zarr`` and ``resample``. The volume is oblique and has thick slices; the network, a small U-Net
with random weights, wants voxels of 1 mm that run to SPL, and intensities from 0 to 1. All steps
are lazy: what is in memory at any time is the windows in flight, and those that wait for the ones
beside them.
"""

from __future__ import annotations

import ctypes
import resource
import sys
import tempfile
import time
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import torch
import zarr

import spatial_duck as sd

MB = 1e6
CAP = 30 * MB
SHAPE, SPACING, CHUNK = (480, 144, 144), (1.0, 0.8, 0.8), 48
WINDOW = 48
TURN = np.array([[0.98, -0.199, 0.0], [0.199, 0.98, 0.0], [0.0, 0.0, -1.0]])


class SmallUNet(torch.nn.Module):
    """Down once, up once, and a bridge."""

    def __init__(self, channels: int = 4, classes: int = 2) -> None:
        super().__init__()
        self.enter = torch.nn.Conv3d(1, channels, 3, padding=1)
        self.down = torch.nn.Conv3d(channels, 2 * channels, 3, stride=2, padding=1)
        self.up = torch.nn.ConvTranspose3d(2 * channels, channels, 2, stride=2)
        self.leave = torch.nn.Conv3d(2 * channels, classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return probabilities of two classes."""
        enter = torch.relu(self.enter(x))
        up = torch.relu(self.up(torch.relu(self.down(enter))))
        return torch.softmax(self.leave(torch.cat([enter, up], dim=1)), dim=1)


def peak() -> float:
    """Return the most bytes that this process ever held."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most * (1 if sys.platform == "darwin" else 1024)


def make_volume(folder: Path) -> sd.SpatialArray:
    """Write a volume, a slab at a time: bright balls in noise."""
    array = zarr.create_array(folder / "volume.zarr", shape=SHAPE, chunks=(CHUNK,) * 3, dtype="f4")
    rng = np.random.default_rng(0)
    y, x = (np.arange(n)[:, None] if k == 1 else np.arange(n) for k, n in enumerate(SHAPE) if k)
    for z in range(0, SHAPE[0], CHUNK):
        k = np.arange(z, min(z + CHUNK, SHAPE[0]))[:, None, None]
        far = np.sqrt(((k % 80 - 40) * 2.0) ** 2 + (y % 96 - 48.0) ** 2 + (x % 96 - 48.0) ** 2)
        noise = rng.normal(0, 20, far.shape)
        array[z : z + CHUNK] = np.where(far < 30, 150, -50) + noise
    return sd.SpatialArray(
        array, spacing=SPACING, origin=(-120, 40, 700), direction=TURN, frame="LPS", unit="mm"
    )


def ask(volume: sd.SpatialArray, network: torch.nn.Module) -> tuple[sd.SpatialArray, ...]:
    """Plan the whole way: to the network's grid, through it in windows, and back."""
    there, record = sd.conform(
        volume, orientation="SPL", spacing=1.0, intensity=("ct-window", 40, 400)
    )
    answer = sd.sliding_window(network, there, window=WINDOW, overlap=0.25, plain={"c": 2})
    labels = there.replace(answer.data.argmax(axis=0).astype("uint8"))
    return there, answer, sd.restore(labels, record, kind="label")


def run(folder: Path) -> None:
    volume = make_volume(folder)
    torch.manual_seed(0)
    network = SmallUNet().eval()
    # What PyTorch, Numba and Dask themselves need at their first use does not count.
    ask(volume[:96, :64, :64], network)[-1].compute(scheduler="synchronous")
    if sys.platform == "linux":  # glibc would keep what is freed among what is still needed
        getattr(ctypes.CDLL(None), "mallopt", lambda *_: 0)(-3, 1 << 18)
    before = peak()

    start = time.perf_counter()
    there, probabilities, back = ask(volume, network)
    planned = time.perf_counter() - start
    assert back.geometry == volume.geometry
    target = zarr.create_array(folder / "labels.zarr", shape=SHAPE, chunks=(CHUNK,) * 3, dtype="u1")
    # PyTorch uses the cores itself: one window at a time.
    with dask.config.set(scheduler="synchronous"):
        da.store(back.data.rechunk(CHUNK), target, lock=False)
    taken = time.perf_counter() - start
    used = peak() - before

    kept = "kept" if used < CAP else "broken"
    print(f"the volume      {volume.shape}, {volume.size * 4 / MB:.0f} MB")
    print(f"the network saw {there.shape}, {there.spacing} mm, {there.size * 4 / MB:.0f} MB")
    print(f"its answer      {probabilities.shape}, {probabilities.size * 4 / MB:.0f} MB")
    print(f"planned in      {planned:.2f} s, computed in {taken:.1f} s")
    print(f"peak memory     {used / MB:.0f} MB above the start; cap of {CAP / MB:.0f} MB {kept}")
    answer = np.asarray(target[:])
    bright = np.asarray(volume.data.array[:]) > 50
    agree = max((answer == bright).mean(), (answer != bright).mean())
    print(f"labels          {answer.shape}, on the volume's own grid; {100 * agree:.0f} % of them")
    print("                tell bright from dark")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder))


if __name__ == "__main__":
    main()
