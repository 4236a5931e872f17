"""Segment in millimetres: the same lengths on a scan with thick slices, and in chunks.

Run it with ``python examples/physical_segmentation.py``. It needs the extras ``resample`` and
``zarr``; with scikit-image it also measures a surface. The scan is oblique and has slices of 3 mm.
"""

from __future__ import annotations

import math
import tempfile
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import zarr

import spatial_duck as sd
from spatial_duck import measure, ndimage

#: Centres (x, y, z in mm, LPS) and radii of the bright balls in the phantom.
BALLS = {(0.0, 0.0, 0.0): 12.0, (30.0, 5.0, -10.0): 8.0, (-25.0, -20.0, 12.0): 6.0}


def phantom(spacing: tuple[float, float, float]) -> sd.SpatialArray:
    """Return balls of 100 on noise, and a thin wire that joins two of them, on an oblique grid."""
    turn = math.radians(20)
    slices = [0.0, -math.sin(turn), math.cos(turn)]
    rows = [0.0, math.cos(turn), math.sin(turn)]
    direction = np.array([slices, rows, [1.0, 0.0, 0.0]]).T
    shape = tuple(int(100 / s) for s in spacing)
    middle = direction @ (np.array(spacing) * (np.array(shape) - 1) / 2)
    geometry = sd.Geometry(
        shape, spacing, -middle, direction, world=("x", "y", "z"), frame="LPS", unit="mm"
    )
    place = geometry.index_to_physical(np.moveaxis(np.indices(shape), 0, -1))
    inside = np.zeros(shape, bool)
    for center, radius in BALLS.items():
        inside |= np.linalg.norm(place - center, axis=-1) <= radius
    end = np.array([30.0, 5.0, -10.0])
    along = np.clip(place @ end / (end @ end), 0, 1)[..., None] * end
    inside |= np.linalg.norm(place - along, axis=-1) <= 1.5
    noise = np.random.default_rng(0).normal(0, 20, shape)
    return sd.SpatialArray((inside * 100 + noise).astype("f4"), geometry)


def segment(scan: sd.SpatialArray) -> sd.SpatialArray:
    """Smooth by 1 mm, cut at half height, take away what is thinner than 5 mm, number the rest."""
    smooth = ndimage.gaussian_filter(scan, sigma=1.0)
    opened = ndimage.binary_opening(smooth > 50, radius=2.5)
    labels, _ = ndimage.label(opened)
    return labels


def show(name: str, table: dict[str, np.ndarray]) -> None:
    print(f"\n{name}")
    for center, volume, axes in zip(
        table["centroid"], table["volume"], table["axis_lengths"], strict=True
    ):
        where = ", ".join(f"{c:6.1f}" for c in center)
        print(f"  at ({where}) mm: {volume:7.0f} mm³, axes {np.round(axes, 1)} mm")


def main() -> None:
    truth = sorted(4 / 3 * math.pi * r**3 for r in BALLS.values())
    print("volumes that are there:", ", ".join(f"{v:.0f}" for v in truth), "mm³")
    for spacing in ((1.0, 1.0, 1.0), (3.0, 0.8, 0.8)):
        table = measure.regionprops(segment(phantom(spacing)))
        show(f"voxels of {spacing} mm", table)
        error = max(abs(np.sort(table["volume"]) / truth - 1))
        print(f"  largest error of a volume: {100 * error:.0f} %")
        assert len(table["label"]) == len(BALLS)
        assert error < 0.2

    scan = phantom((3.0, 0.8, 0.8))
    with tempfile.TemporaryDirectory() as folder:
        store = zarr.create_array(
            Path(folder) / "scan.zarr", shape=scan.shape, chunks=(16, 50, 50), dtype="f4"
        )
        store[...] = scan.data
        lazy = segment(sd.SpatialArray(store, scan.geometry))  # nothing is read yet
        same = np.array_equal(lazy.compute().data, segment(scan).data)
    print(f"\nlabels of the chunked scan are those in memory: {same}")
    assert same

    if find_spec("skimage"):
        # scikit-image 0.26 unpacks its tables in a way that NumPy 2.5 warns of.
        warnings.filterwarnings("ignore", "Setting the shape", DeprecationWarning)
        surface = measure.marching_cubes(ndimage.gaussian_filter(scan, 1.0), 50.0)
        area = measure.surface_area(surface)
        print(f"surface with its wire: {area:.0f} mm², {len(surface.faces)} triangles")


if __name__ == "__main__":
    main()
