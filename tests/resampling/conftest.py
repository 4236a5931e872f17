"""What these tests compare with others' is what is compiled, from the first image on."""

import pytest

from spatial_duck.resampling import _engines as engines


@pytest.fixture(autouse=True, scope="session")
def compiled_from_the_first_image_on():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engines, "PATIENCE", -1)
        yield
