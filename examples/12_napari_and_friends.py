"""napari, imageio and pandas: layers with an affine, spacing in properties, a table of regions.

    python examples/12_napari_and_friends.py

Needs imageio and pandas; no window is opened, and napari need not be installed.
"""

import tempfile
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pandas as pd

import spatial_duck as sd

turn = np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])
labels = np.zeros((8, 10, 12), "u1")
labels[1:4, 2:8, 2:5] = 1
labels[4:7, 2:8, 6:11] = 2
mask = sd.SpatialArray(labels, spacing=(2, 1, 0.5), direction=turn, frame="LPS", unit="mm")

# A layer-data tuple of napari: data, arguments with an affine, and the type of layer.
data, arguments, kind = sd.to_napari(mask, name="liver", kind="labels")
print(kind, "with units", arguments["units"])
print(np.round(arguments["affine"], 2))
print("and back:", sd.from_napari((data, arguments, kind)).geometry.isclose(mask.geometry))
# In napari itself, File > Open and Save offer all formats, through the plugin's manifest.

with tempfile.TemporaryDirectory() as folder:
    # imageio returns NumPy arrays; the geometry is in its properties and metadata.
    path = Path(folder) / "mask.nrrd"
    plugin = sd.interop.ImageioPlugin
    iio.imwrite(path, mask, plugin=plugin)
    voxels = iio.imread(path, plugin=plugin)
    print("imageio:", voxels.shape, iio.improps(path, plugin=plugin).spacing)
    print("frame:", iio.immeta(path, plugin=plugin)["frame"])

# A table of regions converts to a data frame; its columns are named after the world axes.
table = sd.measure.regionprops(mask)
frame = pd.DataFrame(table)
print(frame[["label", "volume", "centroid_z", "centroid_x"]].round(2).to_string(index=False))
print("units:", table.units["volume"], table.units["centroid_z"])
