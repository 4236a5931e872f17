# %% [markdown]
# # Add a file format
#
# A format is a class with three methods. Reading of any kind, writing whole or not at all,
# overwriting and the checks of what users give come with it. A backend is added in the same way,
# by a class with five methods: `spatial_duck/backends/README.md` has it whole. Needs NumPy alone.

# %%
import json
import tempfile
from pathlib import Path

import numpy as np

import spatial_duck as sd
from spatial_duck import io

# %% [markdown]
# The format: a line of JSON that says where the image is, then its values.

# %%


class Plain(io.Format):
    """Axis-aligned images of float64 in `.plain` files."""

    name = "plain"
    suffixes = (".plain",)

    def matches(self, path, head):
        """Whether the first bytes are those of this format."""
        return head.startswith(b'{"plain"')

    def open(self, path):
        """Return the image in a file."""
        first, _, rest = Path(path).read_bytes().partition(b"\n")
        said = json.loads(first)["plain"]
        values = np.frombuffer(rest, "<f8").reshape(said["shape"])
        return sd.SpatialArray(values, spacing=said["spacing"], origin=said["origin"])

    def write(self, path, image, *, overwrite=False, progress=None):
        """Write an image; what this file cannot say is refused before."""
        if not np.array_equal(image.direction, np.eye(image.ndim)):
            raise sd.GeometryLossError(".plain holds axis-aligned images alone")
        said = {
            "shape": image.shape,
            "spacing": image.spacing.tolist(),
            "origin": image.origin.tolist(),
        }
        values = np.asarray(image, "<f8")
        Path(path).write_bytes(json.dumps({"plain": said}).encode() + b"\n" + values.tobytes())


FORMAT = Plain()

# %% [markdown]
# A package names it in its `pyproject.toml`, and `sd.read` and `sd.write` find it by its suffix and
# its first bytes:
#
# ```toml
# [project.entry-points."spatial_duck.formats"]
# plain = "plain_duck:FORMAT"
# ```
#
# Without a package it is used as it is.

# %%
image = sd.SpatialArray(np.arange(12.0).reshape(3, 4), spacing=(2.0, 0.5), origin=(1.0, 2.0))
with tempfile.TemporaryDirectory() as folder:
    FORMAT.write(Path(folder) / "a.plain", image)
    back = FORMAT.open(Path(folder) / "a.plain")
assert back.geometry == image.geometry
assert np.array_equal(back.data, image.data)
print(back)

# %% [markdown]
# One class in your tests runs the suite that the formats of this package are held to. An example of
# such a package, whole, is among the `examples/`.
#
# ```python
# from spatial_duck.testing import FormatConformance
#
#
# class TestPlain(FormatConformance):
#     suffix = ".plain"
# ```
