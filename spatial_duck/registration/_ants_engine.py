"""ANTs as an engine of registration, through ANTsPy (the package ``antspyx``).

One run of antsRegistration over its own pyramid of the finest level, halved as often as there are
levels. It runs in a process of its own: how many threads it uses is read once, when its library
loads, and the metric of each iteration is only printed. `progress` hears of it when the search is
over.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck._optional import missing_extra
from spatial_duck.errors import RegistrationError
from spatial_duck.registration._common import (
    check_job,
    engine_error,
    engine_input,
    field_outcome,
    outcome,
    report_log,
)
from spatial_duck.registration._engine import Engine
from spatial_duck.registration._metric import histogram_bins
from spatial_duck.registration._outcome import LevelLog

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spatial_duck.registration._common import EngineInput
    from spatial_duck.registration._outcome import Outcome, RegistrationJob

    Floats = NDArray[np.float64]

__all__ = ["ENGINE", "ANTsEngine"]

_TRANSFORMS = {
    "translation": "Translation", "rigid": "Rigid", "similarity": "Similarity", "affine": "Affine",
    "syn": "SyN",
}  # fmt: skip
_METRICS = {"mattes": "Mattes", "mean_squares": "MeanSquares", "correlation": "GC"}
#: By SyN, correlation is that of neighbourhoods, of so many voxels to each side.
_NEIGHBOURHOOD = 2
#: The largest step, in voxels; by SyN followed by what smooths each step and the whole (variances
#: in voxels).
_STEP, _SYN_STEP = 0.25, "0.25,3,0"
#: A level ends when the slope of the metric over so many iterations is as small.
_FLAT, _WINDOW = 1e-6, 10
#: Steps that do not end are at rest where the metric then stays within this part of its gain.
_STILL = 1e-3


class ANTsEngine(Engine):
    """Models that are matrices, and symmetric normalisation, by ANTs."""

    name = "ants"
    models = (*Engine.models, "syn")

    def ready(self) -> None:
        """Raise an ImportError if ANTsPy is not installed."""
        try:
            absent = find_spec("ants") is None
        except ValueError:  # it is marked as one that cannot be imported
            absent = True
        if absent:
            raise missing_extra("ants", "Registration by ANTs")

    def run(self, job: RegistrationJob) -> Outcome:
        """Optimise.

        Raises
        ------
        RegistrationError
            If ANTs gives up, with what it says, or cannot take the images or the start.
        """
        check_job(job, "ants")
        given = engine_input(job)
        with TemporaryDirectory() as folder:
            said = _call(job, given, Path(folder))
            answer = np.load(Path(folder) / "found.npz")["answer"]
        log = _log(job, given, said)
        found = report_log(job, log)
        if job.model == "syn":
            return field_outcome(job, given, answer, found)
        corners = answer
        matrix = (corners[1:] - corners[0]).T
        return outcome(job, given, lambda points: points @ matrix.T + corners[0], found)


ENGINE = ANTsEngine()


def _call(job: RegistrationJob, given: EngineInput, folder: Path) -> str:
    """Run ANTs, and return what it says."""
    arrays: dict[str, Any] = {"arguments": np.array(_arguments(job, given))}
    sides = {"fixed": given.fixed, "moving": given.moving}
    for (name, side), limits in zip(sides.items(), _limits(job, given), strict=True):
        arrays[f"{name}_data"] = np.clip(side.data, *limits)
        for what in ("mask", "spacing", "origin", "direction"):
            if getattr(side, what) is not None:
                arrays[f"{name}_{what}"] = getattr(side, what)
    np.savez(folder / "job.npz", **arrays)
    worker = Path(__file__).with_name("_ants_worker.py")
    threads = {"ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": str(job.threads)}
    done = subprocess.run(
        [sys.executable, "-P", str(worker), str(folder)],
        capture_output=True, text=True, errors="replace", check=False, env=os.environ | threads,
    )  # fmt: skip
    if done.returncode or not (folder / "found.npz").exists():
        raise engine_error("ANTs", done.stderr or f"nothing, exit status {done.returncode}")
    return done.stdout


def _limits(job: RegistrationJob, given: EngineInput) -> list[tuple[float, float]]:
    """Return the lowest and the highest value that each image may keep.

    ANTs brings the values of each image to 0 to 1 by its own lowest and highest, masked or not.
    Those that take part say what these are; and where values themselves are compared, both images
    need the same ones, so that those beyond the range of either count as its ends.

    Raises
    ------
    RegistrationError
        If the images have no range in common, and their values are to be compared.
    """
    found = []
    for side in (given.fixed, given.moving):
        values: Any = side.data if side.mask is None else side.data[side.mask.astype(bool)]
        found.append((float(values.min()), float(values.max())))
    if job.metric != "mean_squares":
        return found
    low, high = max(a for a, _ in found), min(b for _, b in found)
    if not low < high:
        raise RegistrationError(
            "registration failed: the images have no values in common, which mean squares would "
            "compare; give metric='correlation' or 'mattes'"
        )
    return [(low, high)] * 2


def _arguments(job: RegistrationJob, given: EngineInput) -> list[str]:
    """Return antsRegistration's arguments, with names for images and files."""
    share = 1.0 if job.samples is None else min(1.0, job.samples / given.n_voxels)
    bins = histogram_bins(given.n_voxels)  # of mutual information; others have no use for it
    # With "Regular" and a mask the answer was up to 0.7 of a voxel off.
    strategy = f"Random,{share:.9g}" if share < 1 else "None"
    factors = [2**k for k in reversed(range(len(job.levels)))]
    metric, step, size = _METRICS[job.metric], str(_STEP), bins
    if job.model == "syn":
        step, strategy = _SYN_STEP, "None"  # each voxel has a displacement of its own
        if job.metric == "correlation":
            metric, size = "CC", _NEIGHBOURHOOD
    options = {
        "--dimensionality": len(job.centre),
        "--float": 0,
        "--random-seed": job.seed + 1,
        "--metric": f"{metric}[{{FIXED}},{{MOVING}},1,{size},{strategy}]",
        "--transform": f"{_TRANSFORMS[job.model]}[{step}]",
        "--convergence": f"[{'x'.join([str(job.iterations)] * len(factors))},{_FLAT},{_WINDOW}]",
        "--smoothing-sigmas": "x".join([str(f / 2) for f in factors]),
        "--shrink-factors": "x".join([str(f) for f in factors]),
        "--masks": "[{FIXED_MASK},{MOVING_MASK}]",
        "--use-histogram-matching": 0,
        "--collapse-output-transforms": 1,
        "--verbose": 1,
        "--output": "{OUT}",
    }
    return [text for option, value in options.items() for text in (option, str(value))]


def _log(job: RegistrationJob, given: EngineInput, said: str) -> tuple[LevelLog, ...]:
    """Return the metric of each iteration; a level begins where they are counted from 1 again."""
    levels: list[list[float]] = []
    for number, value in re.findall(r"DIAGNOSTIC,\s*(\d+),\s*([^\s,]+),", said):
        if int(number) == 1:
            levels.append([])
        levels[-1].append(given.scale * float(value))
    if len(levels) != len(job.levels):
        raise RegistrationError(
            f"registration failed: ANTs went through {len(levels)} levels of {len(job.levels)}"
        )
    out = []
    gained = float(np.ptp([value for values in levels for value in values]))
    for level, values in zip(job.levels, levels, strict=True):
        still = float(np.ptp(values[-_WINDOW:])) < _STILL * gained and len(values) > _WINDOW
        rest = len(values) < job.iterations or still
        reason = f"the metric is flat over {_WINDOW} iterations" if rest else "no iteration is left"
        spacing = tuple(level.fixed.spacing.tolist())
        out.append(LevelLog(job.model, spacing, level.fixed.shape, tuple(values), reason, rest))
    return tuple(out)
