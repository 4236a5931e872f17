"""Filters of SimpleITK and ITK on images: the geometry is kept, and lazy images stay lazy.

    python examples/10_itk_filters_on_lazy_volumes.py

Needs SimpleITK and Dask (pip install 'spatial-duck[dask,interop]'); ITK where it is installed.
"""

from importlib.util import find_spec

import numpy as np

import spatial_duck as sd

# An oblique volume: a smooth ball and noise.
z, y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in (24, 40, 48)], indexing="ij")
values = 100 * (z**2 + y**2 + x**2 < 0.4) + np.random.default_rng(0).normal(0, 10, z.shape)
turn = np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])
volume = sd.SpatialArray(
    values.astype("f4"), spacing=(2.5, 0.75, 0.75), direction=turn, frame="LPS", unit="mm"
)

# Every filter of SimpleITK takes and gives images; lengths are in mm.
smooth = sd.sitk.SmoothingRecursiveGaussian(volume, 1.5)
mask = sd.sitk.OtsuThreshold(smooth, 0, 1)
print("geometry kept:", mask.geometry == volume.geometry)
print("volume of the ball in mm³:", round(float(mask.data.sum() * np.prod(volume.spacing))))

# A filter that changes the grid returns an image with the new geometry.
half = sd.sitk.BinShrink(volume, [2, 2, 1])  # x, y, z, as SimpleITK has them
print("spacing after shrinking:", half.spacing)

# A lazy volume stays lazy: halo= is the radius of the filter.
lazy = volume.chunk((12, 20, 24))
median = sd.sitk.Median(lazy, [1, 1, 1], halo=1, halo_unit="voxel")
print("a Dask array in", median.data.npartitions, "blocks")
whole = sd.sitk.Median(volume, [1, 1, 1])
print("blocks equal the whole:", np.array_equal(np.asarray(median.compute()), np.asarray(whole)))

# Without halo= a filter needs the whole volume, which is not computed implicitly if it is large.
with sd.config(max_read_bytes=10_000):
    try:
        sd.sitk.Median(lazy, [1, 1, 1])
    except sd.errors.TooLargeError as error:
        print("refused:", str(error)[:60], "…")

# Two images must be on the same grid.
try:
    sd.sitk.Add(volume, volume[:, :, ::-1][:, :, ::-1].replace(origin=(5, 0, 0)))
except sd.errors.GeometryMismatchError as error:
    print("refused:", str(error).splitlines()[0][:60], "…")

if find_spec("itk"):
    # sd.itk has the same for ITK; within hook_itk(), the functions of itk itself accept images.
    import itk

    with sd.hook_itk():
        print("ITK itself:", type(itk.median_image_filter(volume, radius=1)).__name__)
