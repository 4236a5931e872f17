"""The demo of ``spatial-duck demo``: reading, resampling and writing a real image.

The image is an oblique fMRI volume with time that nibabel ships. It is written as a chunked
OME-Zarr, opened lazily, sliced, flipped and transposed without a read, resampled out of core to an
isotropic grid along the patient's axes, and written with its pyramid. A thousand points of it are
then looked up with nibabel and SimpleITK, in the file that the image came from.
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import spatial_duck as sd
from spatial_duck._optional import require
from spatial_duck.resampling._targets import aligned_grid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Report", "Step", "run"]

#: Spacing in mm of the grid that the image is brought to.
_SPACING = 2.0
_CHUNKS = {"t": 1, "z": 12, "y": 48, "x": 64}
_POINTS = 1000


class Step(NamedTuple):
    """One line of the report.

    Attributes
    ----------
    what : str
        What was done.
    seconds : float
        How long it took.
    read, written : int
        Bytes of chunks that went through the stores meanwhile.
    """

    what: str
    seconds: float
    read: int
    written: int


class Report(NamedTuple):
    """Report of a run of the demo.

    Attributes
    ----------
    steps : tuple of Step
        In order.
    checks : dict of str to float
        Largest difference found in each check.
    peak : int or None
        Most bytes of memory that the process held, where the system tells.
    before : int or None
        The same before the image was read: Python and its packages.
    folder : Path
        Where the results are.
    """

    steps: tuple[Step, ...]
    checks: dict[str, float]
    peak: int | None
    before: int | None
    folder: Path


class _Log:
    """Steps with their times and the bytes that went through stores."""

    def __init__(self, say: Callable[[str], Any]) -> None:
        self.steps: list[Step] = []
        self.say = say
        self.stores: list[Any] = []
        say(f"{'step':<58}{'seconds':>8}{'read':>12}{'written':>12}")

    @contextmanager
    def step(self, what: str, target: Path | None = None) -> Iterator[None]:
        """Time a step; `target` is a folder of chunks that it writes."""
        before, start = self._read(), time.perf_counter()
        yield
        seconds = time.perf_counter() - start
        written = 0 if target is None else _chunk_bytes(target)
        found = Step(what, seconds, self._read() - before, written)
        self.steps.append(found)
        self.say(f"{what:<58}{seconds:>8.2f}{_bytes(found.read):>12}{_bytes(written):>12}")

    def watched(self, image: Any) -> Any:
        """Return a Zarr-backed image whose store notes each chunk that is read."""
        import zarr

        from spatial_duck.testing._stores import RecordingStore

        array = image.data.array
        store = RecordingStore(array.store)
        self.stores.append((store, Path(array.store.root)))
        return image.replace(zarr.open_array(store, path=array.path, mode="r"))

    def _read(self) -> int:
        return sum(
            (root / key).stat().st_size
            for store, root in self.stores
            for key in store.chunks_read
            if (root / key).is_file()  # a chunk of nothing but fill values is not stored
        )


def _chunk_bytes(folder: Path) -> int:
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file() and f.name != "zarr.json")


def _bytes(count: float) -> str:
    return f"{count / 1e6:.2f} MB" if count else "0"


def _peak_memory() -> int | None:
    """Return the most memory the process has held, in bytes."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def _source() -> Path:
    nibabel = require("nibabel", "The demo", "cli")
    return Path(nibabel.__file__).parent / "tests" / "data" / "example4d.nii.gz"


def run(folder: Path, say: Callable[[str], Any] = print) -> Report:
    """Run the demo.

    Parameters
    ----------
    folder : Path
        Where to write the results; it is made if it is not there. Results of an earlier run are
        replaced.
    say : callable, optional
        Takes each line of the report.

    Returns
    -------
    Report

    Raises
    ------
    ImportError
        If a package that it needs is not installed; the error names the extra.
    RuntimeError
        If a check fails.
    """
    require("SimpleITK", "The demo", "cli")
    require("matplotlib.figure", "The demo", "cli")
    folder.mkdir(parents=True, exist_ok=True)
    source = _source()
    store, result = folder / "example4d.ome.zarr", folder / "isotropic.ome.zarr"
    say(f"{source.name}: an oblique fMRI volume with time, from nibabel\n")
    before = _peak_memory()
    log = _Log(say)
    with log.step("read the NIfTI file"):
        image = sd.read(source)
    with log.step("write it as a chunked OME-Zarr", store):
        # The standard cannot say that axes are oblique: keep the exact geometry beside it.
        sd.write(store, image, overwrite=True, chunks=_CHUNKS, oblique="keep")
    with log.step("open that lazily"):
        lazy = log.watched(sd.read(store))
    with log.step("slice, flip and transpose it"):
        part = np.flip(lazy[:, 2:-2, ::-1, 10:100:3], axis=-1).T
        corner = part.index_to_physical([0, 0, 0, 0])
    with log.step(f"plan a {_SPACING:g} mm grid along R, A, S"):
        grid = aligned_grid(lazy.geometry, spacing=_SPACING, orientation="SAR")
        planned = sd.resample(lazy.astype(np.float32), to=grid)
    with log.step("resample onto it, chunk by chunk, with a pyramid", result):
        sd.write(result, planned, overwrite=True, chunks=_CHUNKS, levels=3)
    with log.step(f"look {_POINTS:,} points up with nibabel and SimpleITK"):
        checks = _check(source, image, result, folder)
        checks["place of a flipped, transposed slice (mm)"] = _position_error(image, part, corner)
    with log.step("draw before and after"):
        _draw(image, sd.read(result), folder / "before-after.png")
    report = Report(tuple(log.steps), checks, _peak_memory(), before, folder)
    _print_report(report, say)
    return report


def _check(source: Path, image: Any, result: Path, folder: Path) -> dict[str, float]:
    """Compare points and values of the result with the file that it came from."""
    import nibabel
    import SimpleITK as sitk
    from nibabel.affines import apply_affine

    out = sd.read(result)
    rng = np.random.default_rng(0)
    index = np.stack([rng.integers(0, n, _POINTS) for n in out.shape], axis=-1)
    points = out.index_to_physical(index)
    world = out.world.axes
    xyz = points[:, [world.index(name) for name in "xyz"]]

    # Where each point is among the voxels of the file, by nibabel and by us.
    theirs: Any = nibabel.load(source)
    ijk = apply_affine(np.linalg.inv(theirs.affine), xyz)
    from_us = np.zeros((_POINTS, len(image.world.axes)))
    for name in world:
        from_us[:, image.world.axes.index(name)] = points[:, world.index(name)]
    ours = image.physical_to_index(from_us)[:, [image.dims.index(name) for name in "xyz"]]

    # What SimpleITK finds there; it is in LPS and takes one volume at a time.
    values = np.asarray(out)[tuple(index.T)]
    when = index[:, out.dims.index("t")]
    lps = xyz * (-1, -1, 1)
    whole = sitk.ReadImage(str(source))
    size = whole.GetSize()
    places, differences = [], []
    for t in range(size[3]):
        volume = sitk.Extract(whole, [*size[:3], 0], [0, 0, 0, t])
        volume = sitk.Cast(volume, sitk.sitkFloat64)
        for n in np.flatnonzero(when == t).tolist():
            at = volume.TransformPhysicalPointToContinuousIndex(lps[n].tolist())
            places.append(np.abs(np.subtract(at, ours[n])).max())
            inside = all(-0.5 + 1e-6 < x < s - 0.5 - 1e-6 for x, s in zip(at, size, strict=False))
            if inside:
                found = volume.EvaluateAtPhysicalPoint(lps[n].tolist(), sitk.sitkLinear)
                differences.append(abs(found - float(values[n])))

    # The result as other libraries read it.
    copy = folder / "isotropic.nii.gz"
    sd.write(copy, out, overwrite=True)
    again: Any = nibabel.load(copy)
    order = [out.dims.index(name) for name in "xyz"]
    theirs_out = apply_affine(again.affine, index[:, order])
    value_range = float(np.ptp(np.asarray(image)))
    return {
        "voxel in the file, against nibabel (voxels)": float(np.abs(ijk - ours).max()),
        "voxel in the file, against SimpleITK (voxels)": float(max(places)),
        f"value at {len(differences)} points inside, against SimpleITK (of the range)": float(
            max(differences) / value_range
        ),
        "place in the result as NIfTI, by nibabel (mm)": float(np.abs(theirs_out - xyz).max()),
    }


def _position_error(image: Any, part: Any, corner: Any) -> float:
    """Return how far the first voxel of the moved part is from where it was in the file."""
    at = dict(zip(part.world.axes, corner.tolist(), strict=True))
    index = {"x": 97, "y": image.shape[1] - 1, "z": 2, "t": 0}  # by hand, from the slices in `run`
    there = image.index_to_physical([index[name] for name in image.dims])
    return max(float(abs(at[name] - v)) for name, v in zip(image.world.axes, there, strict=True))


#: Largest difference that a check may find.
_MAX_ERROR = {"(voxels)": 1e-4, "(mm)": 1e-4, "(of the range)": 1e-6}


def _draw(before: Any, after: Any, path: Path) -> None:
    from matplotlib.figure import Figure

    from spatial_duck.viewer import _plot as plotting

    figure = Figure(figsize=(11, 7.2), layout="constrained")
    top, bottom = np.ravel(figure.subfigures(2, 1, hspace=0.06))
    shape = " × ".join(str(n) for n in before.shape[:3])
    plotting.plot(before, figure=top, title=f"before: oblique, {shape} voxels, 2 × 2 × 2.2 mm")
    shape = " × ".join(str(n) for n in after.shape[:0:-1])
    plotting.plot(
        after,
        figure=bottom,
        title=f"after: along the patient's axes, {shape} voxels, {_SPACING:g} mm",
    )
    figure.savefig(path, dpi=100)


def _print_report(report: Report, say: Callable[[str], Any]) -> None:
    say(f"\n{'check':<70}{'largest difference':>20}")
    for name, value in report.checks.items():
        say(f"{name:<70}{value:>20.1e}")
    if report.peak is not None and report.before is not None:
        grown = (report.peak - report.before) / 1e6
        say(
            f"\npeak memory {report.peak / 1e6:.0f} MB: {report.before / 1e6:.0f} MB before the "
            f"image was read, {grown:.0f} MB more after (compiled kernels and matplotlib included)"
        )
    say(f"results and before-after.png are in {report.folder}")
    wrong = [
        name
        for name, value in report.checks.items()
        if not value <= next(v for unit, v in _MAX_ERROR.items() if name.endswith(unit))
    ]
    if wrong:
        raise RuntimeError(f"the demo found a difference in: {'; '.join(wrong)}")
