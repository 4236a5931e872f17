"""Geometries, pyramids, transforms and registrations as HTML: closed, escaped, drawn in place."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import spatial_duck as sd
from spatial_duck._display import _drawing as pages
from spatial_duck.testing import _strategies as ours
from spatial_duck.testing import assert_lazy
from spatial_duck.transforms import BSpline
from tests.display.test_image import check_html

LPS = sd.World(("x", "y", "z"), "mm", "LPS")


def shapes(html: str, tag: str) -> list[np.ndarray]:
    """Return the points of polygons or polylines in pixels."""
    found = re.findall(rf'<{tag} points="([^"]*)"', html)
    return [np.array([list(map(float, p.split(","))) for p in each.split()]) for each in found]


@settings(max_examples=30, deadline=None)
@given(ours.geometries())
def test_every_geometry_is_shown(geometry: sd.Geometry) -> None:
    html = geometry._repr_html_()
    check_html(html)
    assert "nan" not in html
    assert "inf" not in html


def test_grids_are_drawn_in_proportion_turned_as_the_body_is() -> None:
    axial, coronal, sagittal = shapes(
        sd.Geometry((10, 40, 80), spacing=(3, 2, 1), frame="RAS")._repr_html_(), "polygon"
    )
    for drawn, ratio in ((axial, 1), (coronal, 80 / 30), (sagittal, 80 / 30)):
        width, height = np.ptp(drawn, axis=0)
        assert width / height == pytest.approx(ratio, rel=0.01)
    html = sd.Geometry((10, 40, 80), frame="RAS")._repr_html_()
    assert re.findall(r">([RLAPSI])</text>", html) == list("RLAPRLSIAPSI")


def test_an_oblique_grid_has_its_corners() -> None:
    c, s = np.cos(0.5), np.sin(0.5)
    turned = sd.Geometry((20, 40), direction=[[c, -s], [s, c]], spacing=2)
    (drawn,) = shapes(turned._repr_html_(), "polygon")
    sides = np.linalg.norm(np.diff(drawn, axis=0, append=drawn[:1]), axis=1)
    assert len(sides) == 4
    assert max(sides) / min(sides) == pytest.approx(2, rel=0.01)


def test_chunks_are_drawn_where_they_lie() -> None:
    da = pytest.importorskip("dask.array", reason="needs dask")
    image = sd.SpatialArray(da.zeros((100, 60), chunks=((70, 30), (20, 20, 20))), spacing=(1, 2))
    with assert_lazy():
        html = image._repr_html_()
    check_html(html)
    (outer,) = shapes(html, "polygon")
    lines = shapes(html, "polyline")
    assert len(lines) == 1 + 2
    low, high = outer.min(axis=0), outer.max(axis=0)
    assert (lines[0][:, 1] - low[1]) / (high - low)[1] == pytest.approx(0.7, abs=0.01)
    assert [(line[0, 0] - low[0]) / (high - low)[0] for line in lines[1:]] == pytest.approx(
        [1 / 3, 2 / 3], abs=0.01
    )


def test_a_million_chunks_are_a_small_drawing() -> None:
    da = pytest.importorskip("dask.array", reason="needs dask")
    image = sd.SpatialArray(da.zeros((100_000, 100_000), chunks=100), spacing=1)
    assert len(image._repr_html_()) < 20_000


def test_a_pyramid_says_its_levels() -> None:
    levels = sd.pyramid(sd.SpatialArray(np.zeros((128, 256)), spacing=0.5, unit="um"))
    html = levels._repr_html_()
    check_html(html)
    assert "64 × 128" in html
    assert "µm" in html


def field(values: Any = None) -> sd.DisplacementField:
    values = np.ones((3, 6, 7, 8)) if values is None else values
    return sd.DisplacementField(
        sd.SpatialArray(values, dims=("c", "z", "y", "x"), frame="LPS", unit="mm")
    )


TRANSFORMS = {
    "identity": lambda: sd.Affine(np.eye(4), LPS),
    "huge": lambda: sd.Affine(np.diag([1e4, 1, 1e-3, 1]), LPS),
    "shear": lambda: sd.Affine([[1, 0.3, 0], [0, 1, 4], [0, 0, 1]], sd.World(("x", "y"), "um")),
    "mirror": lambda: sd.Affine(np.diag([-1.0, 1, 1, 1]), LPS),
    "one axis": lambda: sd.Affine([[2, 1], [0, 1]], sd.World(("t",), "s")),
    "field": field,
    "spline": lambda: BSpline(
        np.ones((3, 5, 5, 5)), sd.Geometry((5, 5, 5), frame="LPS", unit="mm")
    ),
    "spline of order 2": lambda: BSpline(np.ones((2, 5, 5)), sd.Geometry((5, 5)), 2),
    "both": lambda: sd.Composite(sd.Affine(np.eye(4), LPS), field().to_world(LPS)),
    "many": lambda: sd.Composite(*[sd.Affine(np.eye(4), LPS)] * 20),
}


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_every_transform_is_shown(kind: str) -> None:
    html = TRANSFORMS[kind]()._repr_html_()
    check_html(html)
    assert "nan" not in html


def test_lines_are_drawn_where_the_transform_takes_them() -> None:
    moved = sd.Affine([[1, 0, 0], [0, 1, 5], [0, 0, 1]], sd.World(("x", "y")))._repr_html_()
    before = shapes(moved, "polygon")[0]
    after = np.concatenate(shapes(moved, "polyline"))
    scale = np.ptp(before, axis=0)[0] / (15 * 9 / 8)  # three movements between outer voxels
    assert after[:, 1].max() - before[:, 1].max() == pytest.approx(5 * scale, rel=0.02)
    assert after[:, 0].max() == pytest.approx(before[:, 0].max(), abs=0.2)


def test_vectors_that_are_not_in_memory_are_not_read() -> None:
    da = pytest.importorskip("dask.array", reason="needs dask")
    with assert_lazy():
        html = field(da.ones((3, 6, 7, 8)))._repr_html_()
    check_html(html)
    assert "not read yet" in html


def test_a_registration_says_whether_it_can_be_trusted() -> None:
    from spatial_duck.registration._outcome import LevelLog, Registration

    log = (LevelLog("rigid", (2.0, 2.0), (8, 8), (3.0, 2.0, 1.5), "small steps <b>", True),)
    found = Registration(
        sd.Affine(np.eye(3), sd.World(("x", "y"), "mm")), True, "small <steps>", 1.5, 3.0, log,
        0.9, 1.0, "rigid", "mean_squares", "simpleitk", doubt="another start is as good",
    )  # fmt: skip
    html = found._repr_html_()
    check_html(html)
    assert "NO: another start is as good" in html
    assert "3 → 1.5" in html


def test_charts_leave_out_what_is_not_finite() -> None:
    assert pages.chart([[1.0]], "metric") == ""
    html = pages.chart([[3.0, np.nan, 2.0], [5.0, 5.0]], "metric <1>")
    check_html(html)
    assert len(shapes(html, "polyline")) == 2
