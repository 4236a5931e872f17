"""What `benchmarks.filters` gives to each filter: images, and arguments that it wants besides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import spatial_duck as sd

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["SKIPPED", "inputs"]

#: Names that are not compared, and why.
SKIPPED = {
    "(?i)noise|random|anneal": "random",
    "level_set|anti_alias|demons|registration|fractal|^StochasticFractal": (
        "iterative, left out for its time"
    ),
    "label_map|shape_label|mesh|path|point_set|spatial_object|histogram_to|quad_edge|polyline|"
    "contour_extractor|_to_histogram|to_texture|run_length|list_sample|sample_to|_fem_|"
    "_patch_based": "take or give other things than images",
}

TURN = np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])


def image(shape: tuple[int, ...], kind: str) -> sd.SpatialArray:
    """Return an oblique image, as the filters' own documentation asks for them."""
    at = np.indices(shape)
    r = np.sqrt(sum(((a - n / 2 + 0.5) / n) ** 2 for a, n in zip(at, shape, strict=True)))
    smooth = 100 * np.exp(-4 * r**2) + 3 * np.sin(at[-1]) + at[0]
    values = {"float": smooth.astype("f4"), "byte": smooth.astype("u1"),
              "labels": ((r < 0.35) * (1 + (at[-1] > shape[-1] / 2))).astype("u1"),
              "complex": np.fft.fftn(smooth).astype("c8")}[kind]  # fmt: skip
    n = len(shape)
    given: dict[str, Any] = {
        "spacing": (2.5, 0.75, 0.5)[-n:], "origin": (-10, 5, 3)[-n:], "frame": "LPS", "unit": "mm",
    }  # fmt: skip
    direction = TURN if n == 3 else TURN[1:, 1:]
    return sd.SpatialArray(values, direction=direction, **given)


#: What filters want besides images, by names of which each is tried that a filter may take.
ARGUMENTS: dict[str, list[dict[str, Any]]] = {
    "itk": [{}, {"radius": 1}, {"sigma": 2.0}, {"number_of_iterations": 2},
            {"lower_threshold": 20, "upper_threshold": 80}],
    "sitk": [{}],
}  # fmt: skip


def vectors(shape: tuple[int, ...]) -> sd.SpatialArray:
    """Return a field of small displacements."""
    space = image(shape, "float")
    n = len(shape)
    values = np.stack([np.asarray(space) / (40 + 10 * k) for k in range(n)], axis=-1)
    coords = {"component": ("c", list("xyz"[:n]))}
    dims = (*space.dims, "c")
    g = space.geometry
    return sd.SpatialArray(
        values, dims=dims, coords=coords, spacing=g.spacing, origin=g.origin,
        direction=g.direction, frame="LPS", unit="mm",
    )  # fmt: skip


def inputs(module: str, name: str) -> Iterator[tuple[str, list[Any], dict[str, Any]]]:
    """Return calls to try in turn: words for them, images, and further arguments."""
    if module == "sitk" and "LabelMap" in name:
        import SimpleITK as sitk

        one = image((8, 12, 16), "labels")
        objects = sitk.LabelImageToLabelMap(sd.to_simpleitk(one))
        yield "a label map and an image", [objects, one], {}
    shapes = ((8, 12, 16), (12, 16))
    for kwargs in ARGUMENTS[module]:
        for shape in shapes if not kwargs else shapes[:1]:
            for kind in ("float", "byte", "labels", "complex", "vectors"):
                for count in (1, 2):
                    one = vectors(shape) if kind == "vectors" else image(shape, kind)
                    words = f"{count} × {kind} {len(shape)}-D"
                    yield (
                        words + (f", {', '.join(kwargs)}" if kwargs else ""),
                        [one] * count,
                        kwargs,
                    )
