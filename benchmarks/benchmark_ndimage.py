"""Filters in world units beside SciPy on bare arrays and SimpleITK, in one run.

A volume of 64×128×128 float32 with voxels of 2×1×1 mm. SciPy is given what it needs in voxels, so
that "over SciPy" is what geometry costs. SimpleITK uses all cores, and SciPy and ours one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks._table import environment, measure, render

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks._table import Timing

SHAPE = (64, 128, 128)
SPACING = (2.0, 1.0, 1.0)
SIGMA, RADIUS = 2.0, 2.0
FILTERS = (
    "gaussian_filter",
    "gaussian_gradient_magnitude",
    "maximum_filter, ball",
    "binary_erosion, ball",
    "distance_transform_edt",
    "label",
    "center_of_mass",
)


def images() -> tuple[Any, Any, Any]:
    """Return the volume as ours, as a bare array, and as SimpleITK's or None."""
    import spatial_duck as sd

    values = np.random.default_rng(0).random(SHAPE).astype("f4")
    ours = sd.SpatialArray(values, spacing=SPACING, unit="mm", frame="LPS")
    try:
        import SimpleITK as sitk
    except ImportError:
        return ours, values, None
    theirs = sitk.GetImageFromArray(values)
    theirs.SetSpacing(SPACING[::-1])
    return ours, values, theirs


def cases(ours: Any, values: Any, theirs: Any) -> dict[str, dict[str, Callable[[], object]]]:
    """Return the calls of each row, by who makes them."""
    from scipy import ndimage as scipy_nd

    from spatial_duck import ndimage as nd

    voxels = [SIGMA / s for s in SPACING]
    ball = nd.ball(ours, RADIUS)
    mask, bare = ours > 0.5, values > 0.5
    rows: dict[str, dict[str, Callable[[], object]]] = {
        "gaussian_filter": {
            "spatial_duck": lambda: nd.gaussian_filter(ours, SIGMA),
            "SciPy": lambda: scipy_nd.gaussian_filter(values, voxels),
        },
        "gaussian_gradient_magnitude": {
            "spatial_duck": lambda: nd.gaussian_gradient_magnitude(ours, SIGMA),
            "SciPy": lambda: scipy_nd.gaussian_gradient_magnitude(values, voxels),
        },
        "maximum_filter, ball": {
            "spatial_duck": lambda: nd.maximum_filter(ours, radius=RADIUS),
            "SciPy": lambda: scipy_nd.maximum_filter(values, footprint=ball),
        },
        "binary_erosion, ball": {
            "spatial_duck": lambda: nd.binary_erosion(mask, RADIUS),
            "SciPy": lambda: scipy_nd.binary_erosion(bare, ball),
        },
        "distance_transform_edt": {
            "spatial_duck": lambda: nd.distance_transform_edt(mask),
            "SciPy": lambda: scipy_nd.distance_transform_edt(bare, sampling=SPACING),
        },
        "label": {
            "spatial_duck": lambda: nd.label(mask),
            "SciPy": lambda: scipy_nd.label(bare),
        },
        "center_of_mass": {
            "spatial_duck": lambda: nd.center_of_mass(ours),
            "SciPy": lambda: scipy_nd.center_of_mass(values),
        },
    }
    if theirs is not None:
        import SimpleITK as sitk

        binary = theirs > 0.5
        kernel = [round(RADIUS / s) for s in SPACING[::-1]]
        for name, call in {
            "gaussian_filter": lambda: sitk.DiscreteGaussian(theirs, SIGMA**2, 64, 0.001),
            "gaussian_gradient_magnitude": lambda: sitk.GradientMagnitudeRecursiveGaussian(
                theirs, SIGMA
            ),
            "maximum_filter, ball": lambda: sitk.GrayscaleDilate(theirs, kernel),
            "binary_erosion, ball": lambda: sitk.BinaryErode(binary, kernel),
            "distance_transform_edt": lambda: sitk.SignedMaurerDistanceMap(
                binary, insideIsPositive=True, squaredDistance=False, useImageSpacing=True
            ),
            "label": lambda: sitk.ConnectedComponent(binary),
        }.items():
            rows[name]["SimpleITK"] = call
    return rows


class NdimageSuite:
    params = (FILTERS, ("spatial_duck", "SciPy", "SimpleITK"))
    param_names = ("filter", "library")

    def setup(self, name: str, library: str) -> None:
        call = cases(*images())[name].get(library)
        if call is None:
            raise NotImplementedError(f"{library} is not installed, or has no {name}")
        self.call = call

    def time_filter(self, name: str, library: str) -> None:
        self.call()


def compare(rounds: int = 5) -> dict[str, dict[str, Timing]]:
    """Time all filters of all libraries."""
    rows = cases(*images())
    return {name: measure(calls, seconds=0.001, rounds=rounds) for name, calls in rows.items()}


def main() -> None:
    rows = []
    for name, row in compare().items():
        ours = row["spatial_duck"].best
        cells = [f"{1e3 * row[p].best:.1f}" if p in row else "-" for p in
                 ("spatial_duck", "SciPy", "SimpleITK")]  # fmt: skip
        ratios = [f"{row[p].best / ours:.2f}" if p in row else "-" for p in ("SciPy", "SimpleITK")]
        rows.append([name, *cells, *ratios])
    header = ["filter", "spatial_duck", "SciPy", "SimpleITK", "SciPy / ours", "SimpleITK / ours"]
    title = f"Best of interleaved rounds in ms, {'×'.join(map(str, SHAPE))} float32"
    print(render(title, header, rows))
    print()
    print(environment(["numpy", "scipy", "SimpleITK"]))


if __name__ == "__main__":
    main()
