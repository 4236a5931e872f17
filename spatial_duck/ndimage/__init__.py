"""The names of `scipy.ndimage` with parameters in world units.

``gaussian_filter(image, sigma=2)`` smooths by 2 mm in an image in mm, whatever its voxels: along
anisotropic, oblique and sheared axes, in slices that live in 3-D, on NumPy (SciPy), CuPy, Dask and
Zarr arrays. Filters work along the space axes (``axes=`` chooses others), keep the grid and the
attrs, and on a lazy image are lazy: the overlap of chunks follows from the lengths given.
Functions that need the whole of an image say so in the error for a lazy one.

Results of lazy images equal those in memory. SciPy is an optional dependency (extra ``resample``).

To add a filter: write a kernel of blocks, run it with `_running.run` and the halo that it needs,
add its name here, and rows to the tables of ``tests/ndimage``.
"""

from __future__ import annotations

from typing import Any

from spatial_duck._advice import nearest_name
from spatial_duck.ndimage._derivatives import (
    gaussian_gradient_magnitude,
    gaussian_laplace,
    gradient,
    gradient_magnitude,
    laplace,
    prewitt,
    sobel,
)
from spatial_duck.ndimage._filters import (
    gaussian_filter,
    maximum_filter,
    median_filter,
    minimum_filter,
    percentile_filter,
    rank_filter,
    uniform_filter,
)
from spatial_duck.ndimage._grey_morphology import (
    black_tophat,
    grey_closing,
    grey_dilation,
    grey_erosion,
    grey_opening,
    morphological_gradient,
    white_tophat,
)
from spatial_duck.ndimage._interpolation import affine_transform, rotate, shift, zoom
from spatial_duck.ndimage._label_statistics import (
    maximum,
    mean,
    median,
    minimum,
    standard_deviation,
    sum_labels,
    variance,
)
from spatial_duck.ndimage._measurements import (
    center_of_mass,
    extrema,
    find_objects,
    label,
    maximum_position,
    minimum_position,
)
from spatial_duck.ndimage._morphology import (
    ball,
    binary_closing,
    binary_dilation,
    binary_erosion,
    binary_fill_holes,
    binary_opening,
    distance_transform_edt,
)

__all__ = [
    "affine_transform",
    "ball",
    "binary_closing",
    "binary_dilation",
    "binary_erosion",
    "binary_fill_holes",
    "binary_opening",
    "black_tophat",
    "center_of_mass",
    "distance_transform_edt",
    "extrema",
    "find_objects",
    "gaussian_filter",
    "gaussian_gradient_magnitude",
    "gaussian_laplace",
    "gradient",
    "gradient_magnitude",
    "grey_closing",
    "grey_dilation",
    "grey_erosion",
    "grey_opening",
    "label",
    "laplace",
    "maximum",
    "maximum_filter",
    "maximum_position",
    "mean",
    "median",
    "median_filter",
    "minimum",
    "minimum_filter",
    "minimum_position",
    "morphological_gradient",
    "percentile_filter",
    "prewitt",
    "rank_filter",
    "rotate",
    "shift",
    "sobel",
    "standard_deviation",
    "sum_labels",
    "uniform_filter",
    "variance",
    "white_tophat",
    "zoom",
]

#: SciPy's names that have another name or place in this package.
_ELSEWHERE = {
    "map_coordinates": "spatial_duck.sample(image, points) takes values at points of the world",
    "geometric_transform": "spatial_duck.resample(image, to, transform=...) moves an image",
    "generate_binary_structure": "ball(image, radius) makes a structuring element in world units",
    "iterate_structure": "ball(image, radius) makes a structuring element in world units",
    "gaussian_filter1d": "gaussian_filter(image, sigma, axes='x') works along one axis",
    "uniform_filter1d": "uniform_filter(image, size, axes='x') works along one axis",
    "maximum_filter1d": "maximum_filter(image, size, axes='x') works along one axis",
    "minimum_filter1d": "minimum_filter(image, size, axes='x') works along one axis",
}


def __getattr__(name: str) -> Any:
    near = nearest_name(name, __all__, 0.8)
    hint = _ELSEWHERE.get(name) or (
        f"did you mean {near!r}?" if near else "scipy.ndimage works on image.data, in voxels"
    )
    raise AttributeError(f"module 'spatial_duck.ndimage' has no {name!r}: {hint}")
