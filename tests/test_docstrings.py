"""Docstrings: numpydoc's checks over every public name, help that reads well, and completion."""

from __future__ import annotations

import inspect
import pydoc
import warnings
from typing import Any

import numpy as np
import pytest

import spatial_duck as sd
from tests.test_public_api import CALLABLES

#: numpydoc's checks that are not asked for, and why.
LEFT_OUT = {
    "ES01": "a summary may say all there is",
    "EX01": "examples where they help; those that are there run as doctests",
    "SA01": "a See Also section where there is something to see",
    "RT03": "the type of what comes back may say all there is, as nibabel.Nifti1Image does",
    "SS05": "it takes words that end in s for the third person",
}
#: What is documented elsewhere.
ELSEWHERE = {
    "spatial_duck.backends.": "for those who add a backend: the module's docstring is their guide",
    "spatial_duck.testing.DeviceArray": "has the methods of NumPy's array",
    "spatial_duck.interface.SpatialImage": "at the front",
}


def _problems(path: str, value: Any) -> list[str]:
    validate = pytest.importorskip("numpydoc.validate", reason="needs numpydoc")
    name = path if path.startswith("spatial_duck.") else f"spatial_duck.{path}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own parsing
        found = validate.validate(name)["errors"]
    doc = inspect.getdoc(value) or ""
    return [
        f"{code}: {message}"
        for code, message in found
        if code not in LEFT_OUT and not _is_said(code, message, doc, path, value)
    ]


def _is_said(code: str, message: str, doc: str, path: str, value: Any) -> bool:
    """Whether the words say what a section of its own would say."""
    owner, _, name = path.rpartition(".")
    if owner == "SpatialArray" and hasattr(np.ndarray, name):
        return code in ("PR01", "RT01")  # NumPy's method, with NumPy's parameters
    stands = hasattr(value, "__signature__") and "**options\n" in doc  # for what is shown
    if stands and (code == "PR01" or (code == "PR02" and message.endswith("{'**options'}"))):
        return True
    if code == "RT01":
        return doc.startswith(("Return ", "Whether ", "Give ")) or isinstance(value, property)
    if code == "PR01":
        # A method of one line, such as geometry.flip(axes), says it with its parameters' names; a
        # named tuple has attributes; a protocol is not called.
        record = inspect.isclass(value) and (
            issubclass(value, tuple) or hasattr(value, "_is_protocol") or "Attributes\n---" in doc
        )
        return record or ("." in path and "Parameters\n---" not in doc)
    if code == "PR04":
        return "As for `" in doc or "as for `" in doc  # the types are said there
    return False


@pytest.mark.slow
def test_numpydoc_has_nothing_to_say() -> None:
    checked = [p for p in CALLABLES if not p.startswith(tuple(ELSEWHERE))]
    found = {p: said for p in checked if (said := _problems(p, CALLABLES[p]))}
    assert not found


def test_the_exceptions_are_of_things_that_are_there() -> None:
    for prefix, reason in ELSEWHERE.items():
        assert reason
        assert any(path.startswith(prefix) for path in CALLABLES)


def test_completion_finds_what_there_is_and_no_more() -> None:
    """Every name that completion offers is there; those of imports and typing are not offered."""
    image = sd.SpatialArray(np.zeros((3, 4, 5)), frame="LPS")
    assert {"spacing", "spacing_zyx", "origin_xyz", "replace", "mean", "T"} <= {*dir(image)}
    assert not {name for name in dir(image) if name.startswith("_") and name[1] != "_"} - {
        "_attrs", "_data", "_geometry"} - {*dir(type(image))}  # fmt: skip
    for thing in (sd, image.geometry, sd.ndimage, sd.errors):
        for name in dir(thing):
            assert hasattr(thing, name)
    assert not {"Any", "TYPE_CHECKING", "annotations"} & {*dir(sd)}
    assert {*sd.__all__} <= {*dir(sd)}


def test_completion_shows_parameters_of_methods() -> None:
    image = sd.SpatialArray(np.zeros((3, 4)))
    for name in ("mean", "max", "std", "argmax", "cumsum", "repeat", "squeeze", "take"):
        ours = list(inspect.signature(getattr(image, name)).parameters)
        assert ours == list(inspect.signature(getattr(np, name)).parameters)[1:]
    # ndarray's, which differ from those of np.clip.
    assert list(inspect.signature(image.clip).parameters)[:4] == ["min", "max", "out", "where"]
    for thing in (image, image.geometry):
        shown = inspect.signature(thing.replace).parameters
        assert {"spacing", "origin", "direction", "frame", "unit", "dims"} <= {*shown}
        given = {"spacing": 2, "frame": None, "unit": "mm"}
        assert thing.replace(**given).unit == ("mm", "mm")


@pytest.mark.parametrize(
    "thing", [sd.SpatialArray, sd.Geometry, sd.read, sd.resample, sd.testing.check]
)
def test_help_begins_with_what_it_is_and_how_to_make_it(thing: Any) -> None:
    text = pydoc.plain(pydoc.render_doc(thing))
    head = text[:6000]
    assert inspect.getdoc(thing).splitlines()[0] in head  # type: ignore[union-attr]
    assert "Parameters" in head
    assert "Examples" in head or "Returns" in head
    assert max(map(len, (inspect.getdoc(thing) or "").splitlines())) <= 100


def test_help_of_the_package_says_where_to_begin() -> None:
    doc = inspect.getdoc(sd) or ""
    assert "SpatialArray" in doc
    assert ">>>" in doc


IMAGE = sd.SpatialArray(np.zeros((4, 5, 6)), spacing=(3, 1, 1))

#: What newcomers try: what they wrote, and the words of the message that tell what to write.
MISTAKES: dict[str, tuple[Any, str]] = {
    "four axes": (lambda: sd.SpatialArray(np.zeros((1, 2, 3, 4))), "for example dims="),
    "three spacings for two axes": (
        lambda: sd.SpatialArray(np.zeros((2, 3)), spacing=(1, 2, 3)),
        r"'y', 'x'.*got \(1, 2, 3\)",
    ),
    "a negative spacing": (
        lambda: sd.SpatialArray(np.zeros((2, 3)), spacing=(-1, 1)),
        "negative column in direction",
    ),
    "setting the spacing": (lambda: setattr(IMAGE, "spacing", (1, 1, 1)), r"replace\(spacing="),
    "setting a geometry's origin": (
        lambda: setattr(IMAGE.geometry, "origin", (1, 1, 1)), r"replace\(origin="
    ),
    "setting the data": (lambda: setattr(IMAGE, "data", None), r"replace\(data="),
    "a frame change from nowhere": (lambda: IMAGE.geometry.to_frame("RAS"), r"replace\(frame="),
    "an unknown suffix": (lambda: sd.write("a.foo", IMAGE), "format="),
    "np.save": (lambda: np.save("a.npy", IMAGE), "spatial_duck.write"),
    "neighbours": (lambda: IMAGE[1:] - IMAGE[:-1], "same grid"),
    "after ravel": (lambda: sd.resample(IMAGE.ravel(), spacing=2), "before 'ravel'"),
    "a misspelt interpolation": (
        lambda: sd.resample(IMAGE, spacing=2, interpolation="lin"),  # type: ignore[arg-type]
        "'linear'",
    ),
    "no frame to reorient in": (lambda: sd.reorient(IMAGE, "RAS"), r"replace\(frame="),
    "a frame that is none": (lambda: IMAGE.replace(frame="LPX"), "'LPS' or 'RAS'"),
    "an image of an image": (lambda: sd.SpatialArray(IMAGE), r"image.replace\("),
    "chunks of an array in memory": (lambda: IMAGE.chunks, r"image.chunk\("),
    "bounds of another shape": (lambda: sd.crop(IMAGE, [1, 2]), r"shape \(2, 3\)"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_errors_suggest_what_to_write(mistake: str) -> None:
    act, words = MISTAKES[mistake]
    with pytest.raises((sd.SpatialDuckError, TypeError, ValueError, AttributeError), match=words):
        act()
