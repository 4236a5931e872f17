"""ImgLib2 and ImageJ as referees: interpolation, and calibration of the TIFFs that are written.

Debian's libimglib2-java and libij-java, run through JPype in a process of their own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import spatial_duck as sd

pytestmark = pytest.mark.library

JARS = Path("/usr/share/java")
START = """
import json, sys
import jpype
import numpy as np
jpype.startJVM("-Djava.awt.headless=true", "-Xmx256m", classpath=sys.argv[1:3])
given = json.loads(sys.argv[3])
"""
INTERPOLATE = """
from jpype import JArray, JFloat, JLong
img = jpype.JClass("net.imglib2.img.array.ArrayImgs").floats(
    JArray(JFloat)(np.ravel(given["values"]).tolist()), JArray(JLong)(given["shape"][::-1]))
edge = jpype.JClass("net.imglib2.view.Views").extendBorder(img)
out = []
for name in ("NLinearInterpolatorFactory", "NearestNeighborInterpolatorFactory"):
    factory = jpype.JClass("net.imglib2.interpolation.randomaccess." + name)()
    at = jpype.JClass("net.imglib2.view.Views").interpolate(edge, factory).realRandomAccess()
    found = []
    for index in given["indices"]:
        for d, i in enumerate(index[::-1]):
            at.setPosition(float(i), d)
        found.append(float(at.get().getRealDouble()))
    out.append(found)
print(json.dumps(out))
"""
CALIBRATION = """
image = jpype.JClass("ij.io.Opener")().openImage(given["path"])
c = image.getCalibration()
stack = image.getStack()
planes = [[[float(stack.getProcessor(z + 1).getf(x, y)) for x in range(image.getWidth())]
           for y in range(image.getHeight())] for z in range(image.getStackSize())]
print(json.dumps({"spacing": [c.pixelDepth, c.pixelHeight, c.pixelWidth], "planes": planes,
                  "unit": str(c.getUnit()), "slices": int(image.getNSlices())}))
"""


def java(script: str, **given: Any) -> Any:
    jars = [JARS / "imglib2.jar", JARS / "ij.jar"]
    missing = [jar.name for jar in jars if not jar.exists()]
    if missing or not find_spec("jpype"):
        pytest.skip(f"needs JPype, and {', '.join(missing) or 'nothing else'} in {JARS}")
    command = [sys.executable, "-W", "ignore", "-c", START + script, *map(str, jars),
               json.dumps(given)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert not done.returncode, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def image() -> sd.SpatialArray:
    values = np.random.default_rng(0).random((4, 5, 6), "f4")
    return sd.SpatialArray(values, spacing=(2, 1, 0.5), origin=(1, 2, 3), unit="um")


def test_imglib2_interpolates_to_the_same_values() -> None:
    mine = image()
    inside = np.random.default_rng(1).uniform(0, 1, (20, 3)) * (np.array(mine.shape) - 1)
    points = mine.index_to_physical(inside)
    linear, nearest = java(
        INTERPOLATE, values=np.asarray(mine).tolist(), shape=mine.shape, indices=inside.tolist()
    )
    assert np.allclose(sd.sample(mine, points), linear, atol=1e-5)
    assert np.allclose(sd.sample(mine, points, interpolation="nearest"), nearest)


@pytest.mark.parametrize("kind", ["ome", "imagej"])
def test_imagej_reads_the_calibration_of_a_tiff(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("tifffile", reason="needs tifffile")
    mine = image().replace(origin=(0, 0, 0))
    sd.write(tmp_path / "a.tif", mine, kind=kind)
    found = java(CALIBRATION, path=str(tmp_path / "a.tif"))
    # The distance of slices of an OME-TIFF stands in its XML, which ImageJ leaves to Bio-Formats.
    known = slice(1, None) if kind == "ome" else slice(None)
    assert np.allclose(found["spacing"][known], mine.spacing[known])
    assert found["unit"] in ("µm", "um", "micron", "microns")
    assert found["slices"] == 4
    assert np.array_equal(np.array(found["planes"], "f4"), np.asarray(mine))
