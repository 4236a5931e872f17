# %% [markdown]
# # Accept images in a library of your own
#
# A function that is written with NumPy's functions takes images as it takes arrays, and gives
# images back. What needs lengths reads `spacing`, `origin` and `direction` where they are. Neither
# needs spatial_duck. Dask is used to show that nothing is computed.

# %%
import dask.array as da
import numpy as np

import spatial_duck as sd

# %% [markdown]
# NumPy's functions, and no `np.asarray` at the top: that is what takes an image's place away.

# %%


def normalise(image):
    """Bring values to mean 0 and deviation 1; any array, any image."""
    return (image - np.mean(image)) / np.std(image)


def edges(image):
    """Return the change of values along the last axis, per unit of length where there is one."""
    spacing = getattr(image, "spacing", None)
    step = 1.0 if spacing is None else float(spacing[-1])
    return np.diff(image, axis=-1) / step


# %%
values = np.random.default_rng(0).random((6, 8))
image = sd.SpatialArray(values, spacing=(2.0, 0.5), origin=(10.0, 20.0), unit="mm")
lazy = image.replace(da.from_array(values, chunks=3))

assert isinstance(normalise(values), np.ndarray)
assert normalise(image).geometry == image.geometry
assert np.allclose(edges(image).data, edges(values) / 0.5)
assert np.allclose(edges(image).origin, [10.0, 20.25])  # between the voxels
assert isinstance(normalise(lazy).data, da.Array)
print(edges(lazy))

# %% [markdown]
# The interface is a typing protocol. `asarray` makes an image of whatever has it, and of the images
# of other libraries, without a copy.

# %%


class TheirImage:
    """A class that has never heard of spatial_duck."""

    shape, ndim, dtype = values.shape, 2, values.dtype
    spacing, origin, direction = (2.0, 0.5), (10.0, 20.0), np.eye(2)

    def __array__(self, dtype=None, copy=None):
        return np.array(values, dtype=dtype, copy=copy)


assert isinstance(TheirImage(), sd.SpatialImage)
assert np.allclose(sd.asarray(TheirImage()).origin, image.origin)
print(sd.asarray(TheirImage()))

# %% [markdown]
# While you look for the place where an image becomes a bare array, let it be said.

# %%
with sd.config(on_bare="raise"):
    normalise(image)
    try:
        np.asarray(image)
    except sd.SpatialDuckError as error:
        print(f"{type(error).__name__}: {error}")
