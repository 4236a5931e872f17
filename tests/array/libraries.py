"""What SciPy's and scikit-image's functions give for images.

``SCIPY_ARRAY_API=1 python tests/libraries.py`` prints a table: ``keeps``, where the result lies on
the image's grid or on what a reduction leaves of it; ``in part``, where some of its axes do;
``no place``, an image whose axes are plain; ``bare``, no image; ``refused``, with the error. With
``markdown`` it is sorted by answer, as the README has it.
"""

from __future__ import annotations

import json
import sys
import warnings
from importlib import import_module
from typing import Any

import numpy as np

from spatial_duck import SpatialArray

V = np.random.default_rng(2).uniform(0.1, 0.9, (6, 7, 8))
IMAGE = SpatialArray(V, spacing=(3, 2, 0.5), origin=(1, 2, 3))
_W = np.ones((3, 3, 3))

#: Where a result may lie: on the image's grid, on what a reduction of axis 0 leaves, on another.
SAME, REDUCED, OTHER = IMAGE.geometry, IMAGE.geometry.reduce(0), None

#: Function: how it is called, and the grid of its result.
FUNCTIONS: dict[str, tuple[Any, Any]] = {
    **{f"special.{n}": (lambda m, x, n=n: getattr(m, n)(x), SAME)
       for n in ("gammaln", "expit", "erf", "entr", "log_ndtr", "i0")},
    **{f"special.{n}": (lambda m, x, n=n: getattr(m, n)(x, x), SAME)
       for n in ("xlogy", "rel_entr", "kl_div")},
    **{f"special.{n}": (lambda m, x, n=n: getattr(m, n)(x, axis=0), SAME)
       for n in ("softmax", "log_softmax")},
    "special.logsumexp": (lambda m, x: m.logsumexp(x, axis=0), REDUCED),
    **{f"stats.{n}": (lambda m, x, n=n: getattr(m, n)(x, axis=0), REDUCED)
       for n in ("skew", "kurtosis", "gmean", "hmean", "entropy", "variation", "tmean", "sem",
                 "circmean", "iqr")},
    "stats.zscore": (lambda m, x: m.zscore(x, axis=0), SAME),
    "stats.moment": (lambda m, x: m.moment(x, 2, axis=0), REDUCED),
    "stats.trim_mean": (lambda m, x: m.trim_mean(x, 0.1, axis=0), REDUCED),
    "stats.ttest_1samp": (lambda m, x: m.ttest_1samp(x, 0.3, axis=0).pvalue, REDUCED),
    "stats.pearsonr": (lambda m, x: m.pearsonr(x, x * x, axis=0).statistic, REDUCED),
    "stats.rankdata": (lambda m, x: m.rankdata(x, axis=0), SAME),
    "fft.fft": (lambda m, x: m.fft(x), OTHER),
    "fft.rfftn": (lambda m, x: m.rfftn(x, axes=(0, 1)), OTHER),
    "fft.fftshift": (lambda m, x: m.fftshift(x), OTHER),
    "fft.dct": (lambda m, x: m.dct(x), OTHER),
    "integrate.trapezoid": (lambda m, x: m.trapezoid(x, axis=0), REDUCED),
    "integrate.simpson": (lambda m, x: m.simpson(x, axis=0), REDUCED),
    "integrate.cumulative_trapezoid": (lambda m, x: m.cumulative_trapezoid(x, axis=0), OTHER),
    "signal.detrend": (lambda m, x: m.detrend(x), SAME),
    "signal.wiener": (lambda m, x: m.wiener(x), SAME),
    "signal.hilbert": (lambda m, x: m.hilbert(x), OTHER),
    "signal.fftconvolve": (lambda m, x: m.fftconvolve(x, x, mode="same"), OTHER),
    "signal.resample": (lambda m, x: m.resample(x, 4), OTHER),
    "signal.resample_poly": (lambda m, x: m.resample_poly(x, 2, 1), OTHER),
    "signal.savgol_filter": (lambda m, x: m.savgol_filter(x, 5, 2), SAME),
    "signal.medfilt": (lambda m, x: m.medfilt(x), SAME),
    "signal.lfilter": (lambda m, x: m.lfilter([1, 2], [1.0], x), SAME),
    "cluster.vq.whiten": (lambda m, x: m.whiten(x[0]), IMAGE[0].geometry),
    "linalg.det": (lambda m, x: m.det(x[:, :6, :6]), OTHER),
    "linalg.norm": (lambda m, x: m.norm(x[0]), OTHER),
    **{f"ndimage.{n}": (lambda m, x, n=n, k=k: getattr(m, n)(x, **k), g) for n, k, g in [
        ("gaussian_filter", {"sigma": 1}, SAME), ("median_filter", {"size": 3}, SAME),
        ("uniform_filter", {"size": 3}, SAME), ("grey_erosion", {"size": 3}, SAME),
        ("sobel", {}, SAME), ("convolve", {"weights": _W}, SAME), ("zoom", {"zoom": 2}, OTHER),
        ("shift", {"shift": 1}, OTHER), ("rotate", {"angle": 30}, OTHER),
        ("distance_transform_edt", {}, SAME), ("label", {}, SAME), ("center_of_mass", {}, OTHER),
        ("map_coordinates", {"coordinates": np.ones((3, 4))}, OTHER),
    ]},
    "skimage.filters.gaussian": (lambda m, x: m.gaussian(x, 1), SAME),
    "skimage.filters.sobel": (lambda m, x: m.sobel(x), SAME),
    "skimage.filters.threshold_otsu": (lambda m, x: m.threshold_otsu(x), OTHER),
    "skimage.morphology.erosion": (lambda m, x: m.erosion(x), SAME),
    "skimage.measure.label": (lambda m, x: m.label(x > 0.5), SAME),
    "skimage.measure.block_reduce": (lambda m, x: m.block_reduce(x, (2, 2, 2)), OTHER),
    "skimage.transform.rescale": (lambda m, x: m.rescale(x, 2), OTHER),
    "skimage.transform.resize": (lambda m, x: m.resize(x, (3, 3, 3)), OTHER),
    "skimage.exposure.rescale_intensity": (
        lambda m, x: m.rescale_intensity(x, out_range=(0.0, 1.0)), SAME,
    ),
    "skimage.exposure.equalize_hist": (lambda m, x: m.equalize_hist(x), SAME),
    "skimage.exposure.adjust_gamma": (lambda m, x: m.adjust_gamma(x, 2), SAME),
    "skimage.restoration.denoise_tv_chambolle": (lambda m, x: m.denoise_tv_chambolle(x), SAME),
    "skimage.segmentation.watershed": (lambda m, x: m.watershed(x), SAME),
    "skimage.util.img_as_float32": (lambda m, x: m.img_as_float32(x), SAME),
    "skimage.util.invert": (lambda m, x: m.invert(x), SAME),
    "skimage.util.crop": (lambda m, x: m.crop(x, 1), IMAGE[1:-1, 1:-1, 1:-1].geometry),
}  # fmt: skip


def outcome(name: str) -> str:
    """Return what a function gives for the image."""
    call, grid = FUNCTIONS[name]
    module = name.rpartition(".")[0]
    module = module if module.startswith("skimage") else f"scipy.{module}"
    try:
        found = call(import_module(module), IMAGE)
    except ModuleNotFoundError:
        return "not installed"
    except Exception as error:
        return f"refused: {type(error).__name__}"
    expected = call(import_module(module), V)
    if isinstance(found, tuple):
        found, expected = found[0], expected[0]
    if not np.allclose(np.asarray(found), np.asarray(expected), equal_nan=True):
        return "OTHER DATA"
    return place(found, grid)


def place(found: Any, grid: Any) -> str:
    """Tell where a result lies, against the grid where it should."""
    if not isinstance(found, SpatialArray):
        return "bare"
    g = found.geometry
    if not g.sampled_axes:
        return "no place"
    if grid is not None and g == grid:
        return "keeps"
    # An axis with a position must be one of the image's, step for step, in its plane or centre.
    for axis in g.sampled_axes:
        column = g.direction[:, g.sampled_axes.index(axis)] * g.spacing[g.sampled_axes.index(axis)]
        own = IMAGE.geometry
        rows = [own.world.axes.index(name) for name in g.world.axes]
        if g.dims[axis] not in own.dims or g.shape[axis] != own.shape[own.dims.index(g.dims[axis])]:
            return "WRONG"
        i = own.sampled_axes.index(own.dims.index(g.dims[axis]))
        if not np.allclose(column, own.direction[rows, i] * own.spacing[i]):
            return "WRONG"
        w = g.world.axes.index(g.dims[axis])
        if not np.isclose(g.origin[w], own.origin[rows[w]]):
            return "WRONG"
    return "in part" if grid is None or g.lost else "WRONG"


#: The answers, as the README says them.
ANSWERS = {
    "keeps": "an image in its place",
    "in part": "an image, in its place along the axes that can be",
    "no place": "an image whose axes are plain",
    "bare": "a bare array or number",
    "refused": "refused with an error",
    "not installed": "not installed",
}


def markdown(found: dict[str, str]) -> str:
    """Return the functions by answer, as rows of a table."""
    lines = []
    for word, meaning in ANSWERS.items():
        names = [f"`{n}`" for n, f in found.items() if f.partition(":")[0] == word]
        if names:
            lines.append(f"| {meaning} | {', '.join(names)} |")
    return "\n".join(["| gives | functions |", "| --- | --- |", *lines]) + "\n"


def main() -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    found = {name: outcome(name) for name in FUNCTIONS}
    if sys.argv[1:] == ["json"]:
        sys.stdout.write(json.dumps(found))
        return
    if sys.argv[1:] == ["markdown"]:
        sys.stdout.write(markdown(found))
        return
    for name, word in found.items():
        sys.stdout.write(f"{name:45}{word}\n")


if __name__ == "__main__":
    main()
