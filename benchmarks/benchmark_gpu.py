"""Resampling on a GPU: this package, cupyx and PyTorch in one run, and the copy bandwidth.

    python -m benchmarks.benchmark_gpu [--side 512]

Prints ``not run: no GPU`` where there is none, as on the machines where this was written: no figure
of it has been published.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import numpy as np

import spatial_duck as sd
from spatial_duck.geometry import Geometry

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["found_gpu", "work"]

C, S = np.cos(0.3), np.sin(0.3)
TURN = np.array([[C, -S, 0], [S, C, 0], [0, 0, 1]]) @ [[1, 0, 0], [0, C, -S], [0, S, C]]
ROUNDS = 20


def found_gpu() -> str | None:
    """Return why there is no GPU to run on, or None where there is one."""
    try:
        import cupy
    except ImportError:
        return "CuPy is not installed"
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return f"no GPU ({error})"
    return None if count else "no GPU"


def grids(side: int) -> dict[str, tuple[Geometry, Geometry]]:
    """Return source and target of each kind of work, of about ``side**3`` voxels."""
    source = Geometry((side // 2, side, side), (2, 1, 1))
    middle = source.index_to_physical((np.array(source.shape) - 1) / 2)
    start = middle - TURN @ (np.full(3, side - 1) / 2)
    return {
        "axes": (source, Geometry((side, side, side), (1, 1, 1), (-0.5, 0, 0))),
        "matrix": (source, Geometry((side, side, side), (1, 1, 1), start, TURN)),
    }


def _seconds(run: Callable[[], Any], clock: Callable[[Callable[[], Any]], float]) -> float:
    run()
    return min(clock(run) for _ in range(ROUNDS))


def _clock(run: Callable[[], Any]) -> float:
    """Return the seconds that the device takes."""
    import cupy

    start, stop = cupy.cuda.Event(), cupy.cuda.Event()
    start.record()
    run()
    stop.record()
    stop.synchronize()
    return float(cupy.cuda.get_elapsed_time(start, stop)) / 1000


def work(side: int) -> None:
    """Print a table of seconds, ratios and shares of the copy bandwidth."""
    import cupy
    from cupyx.scipy import ndimage

    name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    print(f"{name}, CuPy {cupy.__version__}, {side}³ float32")
    for kind, (source, target) in grids(side).items():
        data = cupy.random.default_rng(0).random(source.shape, dtype=cupy.float32)
        image = sd.SpatialArray(data, source)
        copied = _seconds(lambda data=data: data.copy(), _clock)
        bandwidth = 2 * data.nbytes / copied
        moved = data.nbytes + 4 * side**3
        print(f"copy: {bandwidth / 1e9:.0f} GB/s")
        for how, order in (("nearest", 0), ("linear", 1), ("cubic", 3)):
            ours = _seconds(
                lambda i=image, t=target, h=how: sd.resample(i, t, interpolation=h), _clock
            )
            matrix = np.linalg.inv(source.affine) @ target.affine
            theirs = _seconds(
                lambda d=data, m=matrix, o=order, s=target.shape: ndimage.affine_transform(
                    d, cupy.asarray(m), output_shape=s, order=o, mode="nearest"
                ),
                _clock,
            )
            line = f"{kind:7s} {how:8s} {ours * 1e3:8.2f} ms, cupyx {theirs / ours:5.1f} times"
            line += f", {moved / ours / bandwidth:4.0%} of the copy bandwidth"
            torch_seconds = _by_torch(data, source, target, how)
            if torch_seconds is not None:
                line += f", grid_sample {torch_seconds / ours:5.1f} times"
            print(line, flush=True)


def _by_torch(data: Any, source: Geometry, target: Geometry, how: str) -> float | None:
    """Return the seconds of `grid_sample`, the making of its grid included; None: it cannot."""
    try:
        import torch
    except ImportError:
        return None
    if not torch.cuda.is_available() or how == "cubic":  # it has no cubic in 3-D
        return None
    volume = torch.as_tensor(data, device="cuda")[None, None]
    to_index = np.linalg.inv(source.affine) @ target.affine
    # From voxels to torch's units, -1 and 1 at the outer edges, x first.
    n = np.array(source.shape)
    unit = np.diag([*(2 / n), 1.0])
    unit[:3, 3] = 1 / n - 1
    m = np.array(target.shape)
    back = np.diag([*(m / 2), 1.0])
    back[:3, 3] = (m - 1) / 2
    theta = (unit @ to_index @ back)[:3]
    theta = np.concatenate([theta[::-1, 2::-1], theta[::-1, 3:]], axis=1)
    matrix = torch.as_tensor(theta, dtype=torch.float32, device="cuda")[None]
    mode = {"nearest": "nearest", "linear": "bilinear"}[how]

    def run() -> Any:
        grid = torch.nn.functional.affine_grid(matrix, [1, 1, *target.shape], align_corners=False)
        return torch.nn.functional.grid_sample(volume, grid, mode=mode, align_corners=False)

    def clock(run: Callable[[], Any]) -> float:
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        stop.record()
        stop.synchronize()
        return float(start.elapsed_time(stop)) / 1000

    return _seconds(run, clock)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=512)
    side = parser.parse_args().side
    why = found_gpu()
    if why is not None:
        print(f"not run: {why}")
        return
    work(side)


if __name__ == "__main__":
    main()
