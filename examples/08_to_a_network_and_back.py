"""Train a network, run it over a long volume within a memory limit, and measure the result.

Run it with ``python examples/08_to_a_network_and_back.py``. It needs PyTorch, pydicom and the
extras ``zarr`` and ``resample``. A small U-Net learns within a minute to segment balls in noise,
from patches of oblique volumes with thick slices; it expects voxels of 1 mm in orientation SPL, and
intensities from 0 to 1. Inference runs in sliding windows, lazily, within less memory than the
volume has: two layers of windows, the chunks of the volume that are needed again, what PyTorch
needs for one window, and the task graph, which alone grows with the volume (by about a seventh of
its bytes here). The labels are resampled to the volume's own grid, measured in millimetres, and the
first planes are written as DICOM-SEG.
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
CAP = 80 * MB
SHAPE, SPACING, CHUNK = (1440, 144, 144), (1.0, 0.8, 0.8), 48
WINDOW = 48
#: Side of a patch, number of training steps, and level and width of the CT window.
PATCH, STEPS, LEVEL, WIDTH = 32, 60, 40, 400
#: Planes of the result whose surfaces are measured and that are written as DICOM-SEG.
PART = 240
TURN = np.array([[0.98, -0.199, 0.0], [0.199, 0.98, 0.0], [0.0, 0.0, -1.0]])


class SmallUNet(torch.nn.Module):
    """A U-Net with one downsampling, one upsampling and one skip connection."""

    def __init__(self, channels: int = 4, classes: int = 2) -> None:
        super().__init__()
        self.enter = torch.nn.Conv3d(1, channels, 3, padding=1)
        self.down = torch.nn.Conv3d(channels, 2 * channels, 3, stride=2, padding=1)
        self.up = torch.nn.ConvTranspose3d(2 * channels, channels, 2, stride=2)
        self.leave = torch.nn.Conv3d(2 * channels, classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the probabilities of the classes."""
        return torch.softmax(self.scores(x), dim=1)

    def scores(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        enter = torch.relu(self.enter(x))
        up = torch.relu(self.up(torch.relu(self.down(enter))))
        return self.leave(torch.cat([enter, up], dim=1))


def peak() -> float:
    """Return the peak memory of this process in bytes; on Linux since `reset_peak`."""
    if sys.platform == "linux":
        lines = Path("/proc/self/status").read_text("ascii").splitlines()
        return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most * (1 if sys.platform == "darwin" else 1024)


def reset_peak() -> None:
    """Start a new measurement of the peak, without the memory of training and imports."""
    if sys.platform == "linux":
        getattr(ctypes.CDLL(None), "malloc_trim", lambda _: 0)(0)
        Path("/proc/self/clear_refs").write_text("5", "ascii")


def balls(start: int, stop: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return planes of a volume of bright balls in noise, and the mask of the balls."""
    z, y, x = np.ogrid[start:stop, : SHAPE[1], : SHAPE[2]]
    dz, dy, dx = (s * (k % 80 - 40) for s, k in zip(SPACING, (z, y, x), strict=True))
    far = np.sqrt(dz**2 + dy**2 + dx**2)
    inside = far < 24
    return np.where(inside, 150, -50) + rng.normal(0, 60, far.shape), inside


def as_image(data: object) -> sd.SpatialArray:
    """Return data as an oblique image of a patient."""
    return sd.SpatialArray(
        data, spacing=SPACING, origin=(-120, 40, 700), direction=TURN, frame="LPS", unit="mm"
    )


def train(network: SmallUNet) -> None:
    """Train a network on patches of two volumes, each rotated and on the network's grid."""
    cases = []
    for seed in (1, 2):
        values, inside = balls(0, 96, np.random.default_rng(seed))
        cases.append((as_image(values.astype("f4")), as_image(inside)))
    patches = sd.patches(
        cases, PATCH, spacing=1.0, orientation="SPL", count=STEPS // 2, balance=1, fill=-50,
        augment={"rotation": 15},
    )  # fmt: skip
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for values, inside in patches:
        scaled = np.clip((values.data - LEVEL) / WIDTH + 0.5, 0, 1)
        scores = network.scores(torch.from_numpy(scaled)[None, None])
        target = torch.from_numpy(inside.data.astype("i8"))[None]
        loss = torch.nn.functional.cross_entropy(scores, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def make_volume(folder: Path) -> tuple[sd.SpatialArray, sd.SpatialArray]:
    """Write a volume and the mask of its balls, a slab at a time."""
    chunks = (CHUNK,) * 3
    volume = zarr.create_array(folder / "volume.zarr", shape=SHAPE, chunks=chunks, dtype="f4")
    truth = zarr.create_array(folder / "truth.zarr", shape=SHAPE, chunks=chunks, dtype="u1")
    rng = np.random.default_rng(0)
    for z in range(0, SHAPE[0], CHUNK):
        stop = min(z + CHUNK, SHAPE[0])
        volume[z:stop], truth[z:stop] = balls(z, stop, rng)
    return as_image(volume), as_image(truth)


def segment(volume: sd.SpatialArray, network: torch.nn.Module) -> tuple[sd.SpatialArray, ...]:
    """Return, lazily: the network's input, its probabilities, the labels on the volume's grid."""
    there, record = sd.conform(
        volume, orientation="SPL", spacing=1.0, intensity=("ct-window", LEVEL, WIDTH)
    )
    probabilities = sd.sliding_window(network, there, window=WINDOW, overlap=0.25, plain={"c": 2})
    labels = there.replace(probabilities.data.argmax(axis=0).astype("uint8"))
    return there, probabilities, sd.restore(labels, record, kind="label")


def run(folder: Path) -> None:
    if sys.platform == "linux":  # glibc would not return freed memory to the system
        getattr(ctypes.CDLL(None), "mallopt", lambda *_: 0)(-3, 1 << 16)
    volume, truth = make_volume(folder)
    torch.manual_seed(0)
    network = SmallUNet()
    start = time.perf_counter()
    train(network)
    trained = time.perf_counter() - start
    network.eval()
    # Import and compile everything first, so that only the volume counts as memory.
    segment(volume[:96, :64, :64], network)[-1].compute(scheduler="synchronous")
    reset_peak()
    before = peak()

    start = time.perf_counter()
    with sd.config(max_kept_bytes=8e6):  # of decoded chunks, which other blocks may need
        there, probabilities, back = segment(volume, network)
    planned = time.perf_counter() - start
    assert back.geometry == volume.geometry
    chunks = back.data.chunksize
    target = zarr.create_array(folder / "labels.zarr", shape=SHAPE, chunks=chunks, dtype="u1")
    # PyTorch uses the cores itself: one window at a time.
    with dask.config.set(scheduler="synchronous"):
        da.store(back.data, target, lock=False)
    taken = time.perf_counter() - start
    used = peak() - before

    whole = (volume.size + there.size + probabilities.size) * 4
    assert volume.size * 4 > 1.4 * CAP
    kept = "kept" if used < CAP else "broken"
    print(f"the volume      {volume.shape}, {volume.size * 4 / MB:.0f} MB")
    print(f"the network saw {there.shape}, {there.spacing} mm, {there.size * 4 / MB:.0f} MB")
    print(f"probabilities   {probabilities.shape}, {probabilities.size * 4 / MB:.0f} MB")
    print(f"all three       {whole / MB:.0f} MB")
    print(f"planned in      {planned:.2f} s, computed in {taken:.1f} s")
    print(f"peak memory     {used / MB:.0f} MB above the start; cap of {CAP / MB:.0f} MB {kept}")

    dice = sd.metrics.dice(truth, as_image(target)).compute()[1]  # block by block
    found, wanted = as_image(target)[:PART].compute(), truth[:PART].compute()
    distance = sd.metrics.hausdorff(wanted, found, percentile=95)[1]
    print(f"trained in      {trained:.1f} s, on {STEPS} patches of {PATCH}³")
    print(f"agreement       Dice {dice:.3f}, 95 % of the surfaces within {distance:.1f} mm")
    assert dice > 0.9

    scan = as_image(np.rint(volume[:PART].compute().data).astype("i2"))
    sd.write(folder / "scan", scan, format="dicom")
    sd.write(folder / "balls.dcm", found, kind="seg", segments={1: "ball"}, source=folder / "scan")
    again = sd.read(folder / "balls.dcm")[0].compute().astype("u1")
    there = sd.resample(again, to=found, interpolation="nearest")
    assert np.array_equal(there.data, found.data)
    print(f"DICOM-SEG       {(folder / 'balls.dcm').stat().st_size / MB:.1f} MB, read back equal")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder))


if __name__ == "__main__":
    main()
