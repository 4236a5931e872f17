"""Accept image classes of any library in your own functions, and use their geometry.

Run it with ``python examples/04_accept_duck_arrays.py``. The first two functions need only NumPy;
the third uses spatial_duck to recognise the images of other libraries.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import spatial_duck as sd


def smooth(image: Any) -> Any:
    """Average each voxel with its neighbours along the last axis, with NumPy's functions alone.

    Written for arrays; for an image it returns an image, on the same backend.
    """
    padded = np.pad(image, [(0, 0)] * (image.ndim - 1) + [(1, 1)], mode="edge")
    return np.mean(np.lib.stride_tricks.sliding_window_view(padded, 3, axis=-1), axis=-1)


def gradient_per_mm(image: Any) -> Any:
    """Differentiate along the last axis, per unit of length if the image has a spacing.

    This is the duck interface: ``spacing``, ``origin`` and ``direction``, used if present.
    """
    spacing = getattr(image, "spacing", None)
    step = 1.0 if spacing is None else float(spacing[-1])
    return np.diff(image, axis=-1) / step


def centre_of_mass(image: Any) -> np.ndarray:
    """Return the centre of mass, in world coordinates, of any image that `sd.asarray` accepts."""
    image = sd.asarray(image)
    total = float(np.sum(image))
    index = [
        float(np.sum(np.sum(image, axis=others).data * np.arange(image.shape[axis]))) / total
        for axis in range(image.ndim)
        for others in [tuple(a for a in range(image.ndim) if a != axis)]
    ]
    return image.index_to_physical(index)


class TheirImage:
    """An image class of another library, with the three attributes and no use of spatial_duck."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values
        self.shape, self.dtype, self.ndim = values.shape, values.dtype, values.ndim
        self.spacing, self.origin, self.direction = (2.0, 0.5), (10.0, 20.0), np.eye(2)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array(self.values, dtype=dtype, copy=copy)


def main() -> None:
    values = np.random.default_rng(0).random((6, 8))
    image = sd.SpatialArray(values, spacing=(2.0, 0.5), origin=(10.0, 20.0))
    images: dict[str, Any] = {"NumPy in an image": image, "their own class": TheirImage(values)}
    try:
        import dask.array as da

        images["Dask in an image"] = image.replace(da.from_array(values, chunks=3))
    except ImportError:
        print("Dask is not installed: that row is left out")
    try:
        import SimpleITK as sitk

        theirs = sitk.GetImageFromArray(values)
        theirs.SetSpacing((0.5, 2.0))  # x, y
        theirs.SetOrigin((20.0, 10.0))
        images["SimpleITK"] = theirs
    except ImportError:
        print("SimpleITK is not installed: that row is left out")

    print(f"{'kind of image':<22}{'centre of mass':<30}")
    for name, each in images.items():
        world = sd.asarray(each).world.axes
        centre = dict(zip(world, centre_of_mass(each).round(6).tolist(), strict=True))
        print(f"{name:<22}{sorted(centre.items(), reverse=True)!s:<30}")

    print("\ngradient of a bare array and of an image, in its own unit:")
    print(f"  {gradient_per_mm(values)[0, :3].round(3)}")
    print(f"  {gradient_per_mm(image)[0, :3].data.round(3)}")
    smoothed = smooth(image)
    print(f"\nsmoothed, still where it was: {smoothed.geometry.isclose(image.geometry)}")
    assert smoothed.geometry.isclose(image.geometry)


if __name__ == "__main__":
    main()
