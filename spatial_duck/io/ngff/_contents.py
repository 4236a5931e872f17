"""Images inside an OME-Zarr group: labels, wells and fields of a plate, series, scenes.

A group holds one image (or several, one for each entry of ``multiscales``), or is a collection of
groups that do: ``labels``, a ``plate`` of ``wells`` of fields, the series of bioformats2raw, a
``scene``, or any group with images in it. `list_images` names them by their path inside, which
``read(path, image=...)`` takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Any

from spatial_duck.io._safety import MALFORMED
from spatial_duck.io.ngff._metadata import ome_of

__all__ = ["describe_collection", "list_images", "only_image"]

#: Most images that an error names.
_MAX_NAMED = 6
#: Depth to which groups in groups are searched: a plate has rows, columns and fields.
_MAX_DEPTH = 4
#: Kinds of collections, by the key of their metadata.
_KINDS = {
    "plate": "a plate", "well": "a well of a plate", "labels": "a group of labels",
    "bioformats2raw.layout": "a group of series by bioformats2raw",
    "scene": "a scene of several images",
}  # fmt: skip


def list_images(group: Any) -> Iterator[str]:
    """Yield the path of each image inside a group, and of its labels.

    Parameters
    ----------
    group : zarr.Group
        An image or a collection. Only metadata are read, one group at a time when it is reached.

    Yields
    ------
    str
        ``"."`` for the group itself where it is an image.
    """
    yield from dict.fromkeys(_images(group, "", _MAX_DEPTH))


def _images(group: Any, path: str, depth: int) -> Iterator[str]:
    ome = ome_of(dict(group.attrs))
    if ome.get("multiscales"):
        yield path or "."
        yield from _labels(group, path)
        return
    if depth == 0:
        return
    found = False
    for name in _listed_groups(group, ome):
        inside = _group(group, name)
        if inside is not None:
            for image in _images(inside, _join_path(path, name), depth - 1):
                found = True
                yield image
    if not found:
        # The groups that the metadata list may be missing, or not all.
        for name, inside in _child_groups(group):
            yield from _images(inside, _join_path(path, name), depth - 1)


def _labels(group: Any, path: str) -> Iterator[str]:
    inside = _group(group, "labels")
    if inside is not None:
        yield from _images(inside, _join_path(path, "labels"), 2)


def _listed_groups(group: Any, ome: Mapping[str, Any]) -> list[str]:
    """Return the paths of the groups that the metadata of a collection list."""
    try:
        if "plate" in ome:
            return [str(well["path"]) for well in ome["plate"]["wells"]]
        if "well" in ome:
            return [str(field["path"]) for field in ome["well"]["images"]]
        if "labels" in ome:
            return [str(name) for name in ome["labels"]]
        if "bioformats2raw.layout" in ome:
            inside = _group(group, "OME")
            series = ome_of(dict(inside.attrs)).get("series") if inside is not None else None
            return [str(name) for name in series or ()]
        if "scene" in ome:
            return _images_of_scene(ome["scene"])
    except MALFORMED:
        pass  # invalid metadata: all groups are searched
    return []


def _images_of_scene(scene: Mapping[str, Any]) -> list[str]:
    """Return the images that the transformations of a scene lead to and from."""
    ends = chain.from_iterable(
        (item.get("input"), item.get("output"))
        for item in scene.get("coordinateTransformations") or ()
    )
    paths = [end.get("path") for end in ends if isinstance(end, Mapping)]
    return list(dict.fromkeys(str(p) for p in paths if p and str(p) != "."))


def _group(group: Any, name: str) -> Any:
    """Return a group inside another, or None."""
    if name.startswith("/") or ".." in name.split("/"):
        return None
    try:
        inside = group[name]
        return inside if hasattr(inside, "group_keys") else None
    except Exception:  # stores raise exceptions of their own for missing or invalid groups
        return None


def _child_groups(group: Any) -> Iterator[tuple[str, Any]]:
    try:
        names = sorted(group.group_keys(), key=lambda name: (len(name), name))
    except Exception:  # a store that cannot list, such as one over HTTP
        return
    for name in names:
        inside = _group(group, name)
        if inside is not None:
            yield name, inside


def _join_path(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


# --- for messages -----------------------------------------------------------------------------


def only_image(group: Any) -> str | None:
    """Return the image of a bioformats2raw group that has only one, or None."""
    if "bioformats2raw.layout" not in ome_of(dict(group.attrs)):
        return None
    images = [name for name in islice(list_images(group), 3) if "labels" not in name.split("/")]
    return images[0] if len(images) == 1 else None


def describe_collection(group: Any) -> str | None:
    """Return text on what a group is and which images are inside; None if it is no collection."""
    names = list(islice(list_images(group), _MAX_NAMED + 1))
    ome = ome_of(dict(group.attrs))
    what = next((kind for key, kind in _KINDS.items() if key in ome), None)
    if not names:
        return f"it is {what}, not one image; none was found inside" if what else None
    more = ", …" if len(names) > _MAX_NAMED else ""
    listed = ", ".join(repr(name) for name in names[:_MAX_NAMED])
    return (
        f"it is {what or 'a group of images'}, not one image; open one of those inside with "
        f"image=: {listed}{more} (spatial_duck.io.list_images gives all)"
    )
