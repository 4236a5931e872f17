"""A pyramid of OME-Zarr from a Zarr store on disk, beside the libraries that write the same.

Each contender runs in a process of its own: it opens the source (chunks of 128, zstd) as its users
would, and writes four levels of factor 2 in chunks of 128. Its time is that of the call, without
imports, on the clock and on the CPUs, which other work on the machine disturbs less; its memory the
highest resident size over that before the call. How far its levels lie from where its metadata say
is measured on a ramp of odd size, in voxels of the finest level: the largest difference between a
level's values and the ramp at its own places, without and with the outermost voxels.

    python -m benchmarks.benchmark_pyramid [--rounds 2] [--shape 512 768 768]
        [--python multiscale-spatial-image=/path/of/another/python]

multiscale-spatial-image needs older versions of its dependencies than the others, so that it can be
run by another Python.
"""

from __future__ import annotations

import argparse
import importlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks._memory import peak, resident

if TYPE_CHECKING:
    from collections.abc import Callable

SPACING = {"z": 1.0, "y": 0.5, "x": 0.5}
CHUNK, LEVELS = 128, 4


def ours(source: str, target: str, **options: Any) -> Callable[[], Any]:
    import dask.array  # noqa: F401
    import zarr

    import spatial_duck as sd
    from spatial_duck import io

    array = zarr.open_array(source, mode="r")
    image = sd.SpatialArray(array, spacing=tuple(SPACING.values()))
    options = {"levels": LEVELS, "factors": 2, "chunks": CHUNK, **options}
    return lambda: io.write(target, image, format="ome-zarr", **options)


def with_ngff_zarr(source: str, target: str) -> Callable[[], Any]:
    import dask.array as da
    import ngff_zarr as nz

    def run() -> None:
        data = da.from_zarr(source)
        image = nz.to_ngff_image(data, dims=list("zyx"), scale=SPACING)
        levels = nz.to_multiscales(image, scale_factors=[2, 4, 8], chunks=CHUNK)
        nz.to_ngff_zarr(target, levels, version="0.5")

    return run


def with_ome_zarr(source: str, target: str) -> Callable[[], Any]:
    import dask.array as da
    from ome_zarr.scale import Methods
    from ome_zarr.writer import write_image

    def run() -> None:
        write_image(
            da.from_zarr(source), target, axes=list("zyx"), scale=SPACING,
            method=Methods.LOCAL_MEAN,
            scale_factors=[dict.fromkeys("zyx", f) for f in (2, 4, 8)],
        )  # fmt: skip

    return run


def with_multiscale_spatial_image(source: str, target: str) -> Callable[[], Any]:
    import dask.array as da
    from multiscale_spatial_image import Methods, to_multiscale
    from spatial_image import to_spatial_image

    def run() -> None:
        image = to_spatial_image(da.from_zarr(source), dims=list("zyx"), scale=SPACING)
        levels = to_multiscale(
            image, [2, 4, 8], method=Methods.XARRAY_COARSEN, chunks=dict.fromkeys("zyx", CHUNK)
        )
        # As its own writer does, in the version that others read.
        levels.msi.to_zarr(target)

    return run


CONTENDERS: dict[str, tuple[str, Callable[..., Callable[[], Any]]]] = {
    "spatial_duck, mean": ("spatial_duck", ours),
    "spatial_duck, gaussian": ("spatial_duck", lambda s, t: ours(s, t, method="gaussian")),
    "ngff-zarr": ("ngff_zarr", with_ngff_zarr),
    "ome-zarr-py": ("ome_zarr", with_ome_zarr),
    "multiscale-spatial-image": ("multiscale_spatial_image", with_multiscale_spatial_image),
}


class PyramidSuite:
    """For asv: methods on a volume in memory."""

    params = ("mean", "gaussian", "nearest", "mode")
    param_names = ("method",)

    def setup(self, method: str) -> None:
        import spatial_duck as sd

        values = np.random.default_rng(0).integers(0, 4000, (96, 128, 128), dtype="u2")
        self.image = sd.SpatialArray(values)

    def time_shrink(self, method: str) -> None:
        from spatial_duck.pyramids import shrink

        shrink(self.image, 2, method)


# --- one contender, in a process of its own -----------------------------------------------


def run_one(name: str, source: str, target: str) -> dict[str, float]:
    call = CONTENDERS[name][1](source, target)
    idle = resident()
    begin, cpu = time.perf_counter(), time.process_time()
    call()
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    return {"seconds": seconds, "cpu": cpu, "peak": peak() - idle}


def _levels(target: Path) -> list[tuple[Any, Any, Any]]:
    """Read each level, its scale and its translation by the standard's metadata alone."""
    import zarr

    group = zarr.open_group(str(target), mode="r")
    attributes = group.attrs.asdict()
    entry = attributes.get("ome", attributes)["multiscales"][0]
    out = []
    for item in entry["datasets"]:
        scale, shift = np.ones(3), np.zeros(3)
        for step in item["coordinateTransformations"]:
            if step["type"] == "scale":
                scale = np.array(step["scale"])
            else:
                shift = np.array(step["translation"])
        out.append((np.asarray(group[item["path"]][...], float), scale, shift))
    return out


def geometric_error(target: Path) -> tuple[float, float]:
    """Return how far levels of a ramp along each axis in turn lie off, in fine voxels."""
    inner = outer = 0.0
    for axis, name in enumerate("zyx"):
        for values, scale, shift in _levels(target / name):
            at = (np.arange(values.shape[axis]) * scale[axis] + shift[axis]) / SPACING[name]
            off = abs(values - at.reshape([-1 if a == axis else 1 for a in range(3)]))
            outer = max(outer, off.max())
            inner = max(inner, off[1:-1, 1:-1, 1:-1].max())
    return inner, outer


# --- all of them --------------------------------------------------------------------------


def make_sources(folder: Path, shape: tuple[int, ...]) -> None:
    """Write the volume, and a ramp along each axis."""
    import zarr

    options = {"chunks": (CHUNK,) * 3}
    volume = zarr.create_array(str(folder / "volume"), shape=shape, dtype="u2", **options)
    rng = np.random.default_rng(0)
    rows, columns = np.ogrid[: shape[1], : shape[2]]
    for start in range(0, shape[0], CHUNK):
        depth = np.arange(start, min(start + CHUNK, shape[0]))[:, None, None]
        smooth = 2000 + 900 * np.sin(depth / 40) * np.cos(rows / 60) * np.sin(columns / 50)
        noise = rng.integers(0, 64, smooth.shape, dtype="u2")
        volume[start : start + CHUNK] = smooth.astype("u2") + noise
    for axis, name in enumerate("zyx"):
        ramp = zarr.create_array(str(folder / name), shape=(67, 101, 83), dtype="f8", **options)
        line = np.arange(ramp.shape[axis], dtype=float)
        ramp[...] = np.broadcast_to(
            line.reshape([-1 if a == axis else 1 for a in range(3)]), ramp.shape
        )


def _child(python: str, name: str, source: Path, target: Path) -> dict[str, float] | None:
    command = [python, "-W", "ignore", "-m", "benchmarks.benchmark_pyramid", "--one", name]
    done = subprocess.run(
        [*command, str(source), str(target)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        print(f"{name}: not run: {last[0]}")
        return None
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _size(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", nargs=3)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--shape", type=int, nargs=3, default=(512, 768, 768))
    parser.add_argument("--python", action="append", default=[])
    given = parser.parse_args()
    if given.one:
        print(json.dumps(run_one(*given.one)))
        return
    from benchmarks._table import environment, render

    pythons = dict(item.split("=", 1) for item in given.python)
    times: dict[str, list[float]] = {}
    cpus: dict[str, list[float]] = {}
    rest: dict[str, tuple[float, float, tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_sources(folder, tuple(given.shape))
        for n in range(given.rounds):
            for name in CONTENDERS:
                python = pythons.get(name, sys.executable)
                target = folder / f"{n}.ome.zarr"
                found = _child(python, name, folder / "volume", target)
                if found is None:
                    continue
                times.setdefault(name, []).append(found["seconds"])
                cpus.setdefault(name, []).append(found["cpu"])
                size = _size(target)
                shutil.rmtree(target)
                if n == 0:
                    ramps = folder / "ramps"
                    ramps.mkdir()
                    for axis in "zyx":
                        _child(python, name, folder / axis, ramps / axis)
                    rest[name] = (found["peak"], size, geometric_error(ramps))
                    shutil.rmtree(ramps)
    first, first_cpu = min(times["spatial_duck, mean"]), min(cpus["spatial_duck, mean"])
    rows = [
        [name, f"{min(t):.1f}", f"{min(t) / first:.1f}", f"{min(cpus[name]):.1f}",
         f"{min(cpus[name]) / first_cpu:.1f}", f"{rest[name][0] / 1e6:.0f}",
         f"{rest[name][1] / 1e6:.0f}", f"{rest[name][2][0]:.2g}", f"{rest[name][2][1]:.2g}"]
        for name, t in times.items()
    ]  # fmt: skip
    shape = "×".join(map(str, given.shape))
    header = ["", "s", "ratio", "CPU s", "ratio", "peak MB", "disk MB", "off, inner", "off, all"]
    print(render(f"Pyramid of {shape} uint16, Zarr to OME-Zarr", header, rows))
    packages = [importlib.import_module(module).__name__ for module in ("numpy", "zarr", "dask")]
    print(environment([*packages, "ngff-zarr", "ome-zarr"]))


if __name__ == "__main__":
    main()
