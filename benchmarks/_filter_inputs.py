"""The images and further arguments with which `benchmarks.filters` calls each filter."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

import spatial_duck as sd

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["SKIPPED", "inputs", "mirrored"]

#: Names that are not compared, and why.
SKIPPED = {
    "(?i)^moving_histogram_image": (
        "natively of memory that nothing initialises: a part of other filters"
    ),
    "(?i)fractal|patch_based": "more than 90 s on a few voxels",
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


def mirrored(one: sd.SpatialArray) -> sd.SpatialArray:
    """Return another image on the same grid."""
    axis = one.dims.index("x")
    return one.replace(data=np.ascontiguousarray(np.flip(np.asarray(one), axis)))


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


def label_map(module: str, shape: tuple[int, ...]) -> Any:
    """Return a library's own map of label objects."""
    one = image(shape, "labels")
    if module == "sitk":
        import SimpleITK as sitk

        return sitk.LabelImageToLabelMap(sd.to_simpleitk(one))
    import itk

    return itk.label_image_to_label_map_filter(sd.to_itk(one))


def seeds() -> Any:
    """Return the nodes from which a front of ITK starts."""
    import itk

    node = itk.LevelSetNode[itk.F, 3]()
    node.SetValue(0)
    node.SetIndex([4, 4, 4])
    nodes = itk.VectorContainer[itk.UI, itk.LevelSetNode[itk.F, 3]].New()
    nodes.InsertElement(0, node)
    return nodes


def _particular(
    module: str, name: str, shape: tuple[int, ...]
) -> Iterator[tuple[str, list[Any], dict[str, Any]]]:
    """Return calls of filters that want, or that crash without, something of their own."""
    float_, labels = (image(shape, kind) for kind in ("float", "labels"))
    lower = name.lower()
    if re.search("label_?map|objects_label", lower):
        objects = label_map(module, shape)
        yield "a label map and labels", [objects, labels], {}
        yield "a label map and an image", [objects, float_.astype("i2")], {}
        yield "a label map and an image", [objects, float_], {}
        yield "a label map", [objects], {}
    if "noise" in lower:
        yield "1 × float 3-D, seed", [float_], {"seed": 1}
    if module == "sitk":
        return
    if "registration" in lower:
        few = {"number_of_iterations": 2}
        yield (
            "2 × float 3-D, by name",
            [],
            {"fixed_image": float_, "moving_image": mirrored(float_), **few},
        )
    if re.search("level_set|iteration|anti_alias", lower):
        zero = float_ - float(np.mean(float_))
        yield "2 × float 3-D, number_of_iterations", [zero, float_], {"number_of_iterations": 1}
        yield "1 × float 3-D, number_of_iterations", [zero], {"number_of_iterations": 1}
    if "scalar_image_to_" in lower:
        import itk

        yield "1 × labels 3-D, offset", [labels], {"offset": itk.Offset[3]([1, 0, 0])}
    if "checker_board" in lower:
        yield "2 × float 3-D", [float_, mirrored(float_)], {}
    if "tile_image" in lower:
        yield "2 × float 3-D, layout", [float_, mirrored(float_)], {"layout": [1, 1, 2]}
    if "colliding_fronts" in lower:
        yield "1 × float 3-D, seeds", [float_], {"seed_points1": seeds(), "seed_points2": seeds()}


def inputs(
    module: str, name: str, shape: tuple[int, ...] = (8, 12, 16)
) -> Iterator[tuple[str, list[Any], dict[str, Any]]]:
    """Return calls to try in turn: words for them, images, and further arguments."""
    yield from _particular(module, name, shape)
    shapes = (shape, shape[1:])
    for kwargs in ARGUMENTS[module]:
        for shape in shapes if not kwargs else shapes[:1]:
            for kind in ("float", "byte", "labels", "complex", "vectors"):
                for count in (1, 2):
                    one = vectors(shape) if kind == "vectors" else image(shape, kind)
                    words = f"{count} × {kind} {len(shape)}-D"
                    words += f", {', '.join(kwargs)}" if kwargs else ""
                    yield words, [one, mirrored(one)][:count], kwargs
