"""Functions of `numpy.lib.recfunctions` on the fields of voxels; those on tables are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.lib import recfunctions

from spatial_duck.rules._rule import (
    UNKNOWN,
    elementwise_geometry,
    existing,
    geometries,
    geometry_or_none,
    refuse,
    rule,
)

if TYPE_CHECKING:
    from spatial_duck.geometry import Geometry

__all__: list[str] = []


rule(
    "keeps",
    *existing(recfunctions, "rename_fields require_fields repack_fields"),
    deferrable=True,
)(geometry_or_none)


@rule("keeps", *existing(recfunctions, "apply_along_fields"))
def _apply_along_fields(arr: Geometry) -> Geometry:
    return arr


@rule("keeps", *existing(recfunctions, "structured_to_unstructured"))
def _structured_to_unstructured(arr: Geometry) -> Geometry:
    return arr[..., None].with_shape((*arr.shape, UNKNOWN))


@rule("keeps", *existing(recfunctions, "unstructured_to_structured"))
def _unstructured_to_structured(arr: Geometry) -> Geometry:
    return arr.reduce(-1)


@rule("keeps", *existing(recfunctions, "assign_fields_by_name"))
def _assign_fields_by_name(name: str, dst: Any, src: Any) -> None:
    if len(geometries(dst, src)) == 2:
        elementwise_geometry(name, dst, src)


@rule("keeps", *existing(recfunctions, "recursive_fill_fields"))
def _recursive_fill_fields(name: str, input: Any, output: Any) -> Any:
    _assign_fields_by_name(name, output, input)
    return geometry_or_none(output)


refuse(
    "works on tables, and puts voxels in a row or under a mask: call it on image.data",
    *existing(recfunctions, "append_fields drop_fields find_duplicates join_by merge_arrays"),
    *existing(recfunctions, "rec_append_fields rec_drop_fields rec_join stack_arrays"),
)
