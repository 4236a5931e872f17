"""Names of other libraries, and misspelt ones, say what to type."""

from __future__ import annotations

import pytest

import spatial_duck as sd
from spatial_duck import _advice as advice


@pytest.mark.parametrize(
    "name, wanted",
    [
        ("load", "read(path)"),
        ("imread", "read(path)"),
        ("ReadImage", "read(path)"),
        ("WriteImage", "write(path, image)"),
        ("zoom", "resample"),
        ("resmaple", "resample"),
        ("GetImageFromArray", "SpatialArray(data"),
        ("from_sitk", "from_simpleitk"),
        ("dice", "metrics"),
        ("gaussian_filter", "ndimage"),
        ("keep_largest", "segmentation"),
        ("surface_dice", "metrics"),
        ("resample_logits_to_labels", "learning"),
        ("ZNormalization", "conform(image, intensity=...)"),
        ("CropOrPad", "conform(image, shape=...)"),
        ("Spacing", "resample(image, spacing=...)"),
    ],
)
def test_names_of_others(name: str, wanted: str) -> None:
    with pytest.raises(AttributeError) as caught:
        getattr(sd, name)
    assert wanted in str(caught.value)


def test_what_is_advised_is_there() -> None:
    for here, words in advice._WORDS.items():
        name = here.split("(")[0]
        assert name in sd.__all__
        assert hasattr(sd, name)
        for word in words.split():
            assert word == word.lower()
            assert word not in sd.__all__


def test_what_is_far_from_all_is_not_guessed() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'qwertyuiop'$"):
        sd.qwertyuiop  # noqa: B018
