"""Add a file format to `sd.read` and `sd.write`, from a package of your own, and check it.

Run it with ``python examples/13_add_a_file_format.py``. The format is made up: one line of JSON and
then the voxels. A package that provides it has this module, and in its pyproject.toml::

    [project.entry-points."spatial_duck.formats"]
    plain = "plain_duck:FORMAT"

Here such a package is written to a temporary folder. `sd.write` publishes the file completely or
not at all, and takes care of overwriting, locks and the remains of interrupted writes; the checks
of `FormatConformance` test that, and that each voxel is read back at its position.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import spatial_duck as sd
from spatial_duck.io import Format, Source
from spatial_duck.testing import FormatConformance

MAGIC = b"PLAIN1 "


class Plain(Format):
    """A line of JSON with the metadata, then the voxels."""

    name, suffixes = "plain", (".plain",)

    def matches(self, path: Path, head: bytes) -> bool:
        return head.startswith(MAGIC)

    def open(self, path: Path) -> Source:
        with path.open("rb") as file:
            said = json.loads(file.readline()[len(MAGIC) :])
            start = file.tell()
        dtype, shape = np.dtype(said["dtype"]), tuple(said["shape"])
        geometry = sd.Geometry(
            shape,
            said["spacing"],
            said["origin"],
            np.array(said["direction"]).reshape(len(said["origin"]), len(said["sampled"])),
            said["dims"],
            sampled=said["sampled"],
            world=sd.World(*said["world"]),
        )

        def load(lazy: bool | None) -> Any:
            if 0 in shape:
                return np.zeros(shape, dtype)
            mapped = np.memmap(path, dtype, "c", start, shape)
            return np.array(mapped) if lazy is False else np.asarray(mapped)

        return Source("plain", geometry, dtype, said["attrs"], load)

    def write(self, path: Path, image: sd.SpatialArray) -> None:
        g, values = image.geometry, np.asarray(image)
        if g.lost or values.dtype.kind not in "biufc":
            raise sd.FormatError("plain files hold numbers, and need a geometry")
        said = {
            "dtype": values.dtype.str, "shape": g.shape, "spacing": g.spacing.tolist(),
            "origin": g.origin.tolist(), "direction": g.direction.tolist(), "dims": g.dims,
            "sampled": list(g.sampled_axes),
            "world": [g.world.axes, g.world.units, g.world.frame], "attrs": dict(image.attrs),
        }  # fmt: skip
        with path.open("wb") as file:
            file.write(MAGIC + json.dumps(said).encode() + b"\n")
            file.write(values.tobytes())


FORMAT = Plain()


class Checks(FormatConformance):
    """In a test suite: ``class TestPlain(FormatConformance)``, and pytest runs each check."""

    suffix, keeps_attrs = ".plain", True


def install(folder: Path) -> None:
    """Write the package as pip would install it."""
    (folder / "plain_duck-1.dist-info").mkdir()
    (folder / "plain_duck.py").write_text(Path(__file__).read_text(encoding="utf-8"))
    (folder / "plain_duck-1.dist-info/METADATA").write_text("Name: plain-duck\nVersion: 1\n")
    (folder / "plain_duck-1.dist-info/entry_points.txt").write_text(
        "[spatial_duck.formats]\nplain = plain_duck:FORMAT\n"
    )
    sys.path.insert(0, str(folder))


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        install(folder)
        image = sd.SpatialArray(
            np.arange(24.0).reshape(2, 3, 4), spacing=(3, 1, 1), frame="LPS", unit="mm"
        )
        sd.write(folder / "a.plain", image)
        back = sd.read(folder / "a.plain")
        same = back.geometry == image.geometry
        print(f"{sd.io.sniff(folder / 'a.plain')}: read back with its geometry: {same}")
        print(Checks.report())


if __name__ == "__main__":
    main()
