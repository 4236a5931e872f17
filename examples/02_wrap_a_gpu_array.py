"""Wrap a GPU array: computation stays on the device, and nothing is copied to the host.

Run it with ``python examples/02_wrap_a_gpu_array.py``. With CuPy and an NVIDIA GPU it uses the GPU;
otherwise a device of array_api_strict, which runs on the CPU and, like a GPU array, refuses to be
copied to the host implicitly.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import spatial_duck as sd


def gpu() -> Any:
    """Return CuPy if there is a GPU that it can use."""
    try:
        import cupy

        cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # no package, no driver, no device: each has its own error
        print(f"no GPU ({type(error).__name__}): a stand-in shows how it works\n")
        return None
    return cupy


def on_device(values: np.ndarray) -> Any:
    """Copy an array to a device, where NumPy cannot read it."""
    cupy = gpu()
    if cupy is not None:
        return cupy.asarray(values)
    import array_api_strict

    return array_api_strict.asarray(values, device=array_api_strict.Device("device1"))


def main() -> None:
    values = np.random.default_rng(0).random((4, 64, 64), dtype=np.float32)
    image = sd.SpatialArray(on_device(values), spacing=(3, 0.5, 0.5), frame="LPS", unit="mm")
    print(image)

    # Slicing, arithmetic and reductions run on the device and update the geometry.
    part = (image[1:, ::-1, ::2] - 0.5) * 2
    mean = np.mean(part, axis=0)
    print(f"\nmean over 3 slices: spacing {mean.spacing} mm, origin {mean.origin} mm")
    print(f"held by {type(mean.data).__module__.partition('.')[0]}, on {mean.device}")

    # To the host only on request.
    try:
        np.asarray(mean)
    except (TypeError, RuntimeError, ValueError) as error:
        print(f"\nnp.asarray(mean)\n{type(error).__name__}: {error}")
    host = mean.to("numpy")
    expected = ((values[1:, ::-1, ::2] - 0.5) * 2).mean(axis=0)
    print(
        f"\nmean.to('numpy'): largest difference from NumPy {abs(host.data - expected).max():.1e}"
    )


if __name__ == "__main__":
    main()
