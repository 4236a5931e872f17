"""Plots: the planes lie where the world says, whatever the backend, and overlays on them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.errors import GeometryError
from spatial_duck.testing import assert_lazy

if TYPE_CHECKING:
    from tests.conftest import BackendCase

figures = pytest.importorskip("matplotlib.figure", reason="needs matplotlib")

from spatial_duck.viewer import _planes as planes  # noqa: E402
from spatial_duck.viewer import _plot as plotting  # noqa: E402


def drawn(image: Any, *args: Any, **options: Any) -> Any:
    figure = figures.Figure(figsize=plotting.figure_size(image), layout="constrained")
    plotting.plot(image, *args, figure=figure, **options)
    figure.canvas.draw()
    return figure


def texts(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.texts]


@pytest.fixture
def volume() -> sd.SpatialArray:
    data = np.random.default_rng(0).random((5, 6, 7))
    return sd.SpatialArray(data, spacing=(4, 2, 1), origin=(-10, 20, 30), frame="LPS", unit="mm")


def test_pixels_lie_at_world_coordinates(volume: sd.SpatialArray) -> None:
    axial, coronal, sagittal = drawn(volume).axes
    assert axial.get_title() == "axial, z = -2 mm"
    assert [ax.get_xlabel() for ax in (axial, coronal, sagittal)] == ["x (mm)", "x (mm)", "y (mm)"]
    # Left, right, bottom, top, at the outer edges of voxels: x 30 … 36, y 20 … 30, z -10 … 6.
    assert tuple(axial.images[0].get_extent()) == (29.5, 36.5, 31, 19)
    assert tuple(coronal.images[0].get_extent()) == (29.5, 36.5, -12, 8)
    assert tuple(sagittal.images[0].get_extent()) == (19, 31, -12, 8)
    np.testing.assert_array_equal(axial.images[0].get_array(), volume.data[2])
    np.testing.assert_array_equal(coronal.images[0].get_array(), volume.data[::-1, 3])
    np.testing.assert_array_equal(sagittal.images[0].get_array(), volume.data[::-1, :, 3])


def test_every_pixel_is_at_its_voxels_place(volume: sd.SpatialArray) -> None:
    """In any orientation: fill the image with a coordinate, and read the axes' scale off it."""
    z, y, x = volume.geometry.index_to_physical(np.stack(np.indices(volume.shape), -1)).T
    for name, values in {"x": x.T, "y": y.T, "z": z.T}.items():
        image = np.transpose(volume.replace(values)[::-1, :, ::-1], (1, 2, 0))
        for ax in drawn(image).axes:
            left, right, bottom, top = ax.images[0].get_extent()
            shown = np.asarray(ax.images[0].get_array())
            rows, columns = shown.shape
            across = left + (np.arange(columns) + 0.5) * (right - left) / columns
            down = top + (np.arange(rows) + 0.5) * (bottom - top) / rows
            if ax.get_xlabel() == f"{name} (mm)":
                np.testing.assert_allclose(shown, np.broadcast_to(across, shown.shape))
            if ax.get_ylabel() == f"{name} (mm)":
                np.testing.assert_allclose(shown, np.broadcast_to(down[:, None], shown.shape))


def test_letters_and_scale_bars(volume: sd.SpatialArray) -> None:
    axial, coronal, sagittal = drawn(volume).axes
    assert texts(axial)[:4] == ["R", "L", "A", "P"]
    assert texts(coronal)[:4] == ["R", "L", "S", "I"]
    assert texts(sagittal)[:4] == ["A", "P", "S", "I"]
    assert {texts(ax)[-1] for ax in (axial, coronal, sagittal)} == {"2 mm"}
    (bar,) = axial.lines
    width = np.ptp(bar.get_xdata()) * 7  # the axes are 7 mm wide
    assert math.isclose(width, 2)


@pytest.mark.parametrize("axis", range(3))
def test_thin_planes_have_room_for_their_titles(axis: int) -> None:
    thin = sd.SpatialArray(
        np.zeros((3, 100, 100)), spacing=(1, 2, 2), origin=(5, 6, 7), frame="LPS", unit="mm"
    )
    order = np.roll(range(3), axis)
    turned = np.eye(3)[:, order]
    figure = thin.replace(direction=turned).plot()
    figure.canvas.draw()
    for ax in figure.axes:
        sides = [abs(np.ptp(ends)) for ends in (ax.get_xlim(), ax.get_ylim())]
        assert min(sides) >= 0.3 * 200
        title = ax.title.get_window_extent()
        assert title.x0 >= 0
        assert title.x1 <= figure.bbox.width
    bars = {text.get_text() for ax in figure.axes for text in ax.texts if "mm" in text.get_text()}
    assert bars == {"50 mm" if axis == 0 else "20 mm"}


def test_no_letters_without_a_frame(volume: sd.SpatialArray) -> None:
    bare = sd.SpatialArray(volume.data, spacing=(4, 2, 1))
    assert [texts(ax) for ax in drawn(bare).axes] == [["2"]] * 3


def test_oblique_axes_are_drawn_as_they_are() -> None:
    turned = [[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]]
    image = sd.SpatialArray(np.ones((4, 4, 4)), direction=turned, frame="LPS", unit="mm", spacing=2)
    axial, _, sagittal = drawn(image).axes
    assert axial.get_xlabel() == "x, oblique (mm)"
    assert sagittal.get_title() == "sagittal, x = 2 of 4"
    assert sagittal.get_xlabel() == "y, oblique (mm)"
    assert tuple(sagittal.images[0].get_extent()) == (-4, 4, -1, 7)  # y from the centre, z true


@pytest.mark.parametrize(
    "shape, dims, panels",
    [
        ((4, 5), None, 1),
        ((3, 4, 5), ("t", "y", "x"), 1),
        ((4, 5, 3), ("y", "x", "c"), 1),
        ((2, 3, 4, 5), ("t", "z", "y", "x"), 3),
        ((3, 4, 5, 2), ("x", "y", "z", "t"), 3),
        ((2, 2, 3, 4, 5), ("t", "c", "z", "y", "x"), 3),
        ((1, 1, 1), None, 3),
    ],
)
def test_other_axes_are_left_at_one_index(shape: Any, dims: Any, panels: int) -> None:
    image = sd.SpatialArray(np.random.default_rng(0).random(shape), dims=dims, frame="RAS")
    assert len(drawn(image).axes) == panels


@pytest.mark.parametrize("dtype", ["?", "u1", ">i2", "f4", "c8", "u8"])
def test_types(dtype: str) -> None:
    drawn(sd.SpatialArray(np.arange(12).reshape(3, 4).astype(dtype)))


@pytest.mark.parametrize("value", [np.nan, np.inf, 3.0])
def test_values_without_contrast(value: float) -> None:
    drawn(sd.SpatialArray(np.full((3, 4), value)))


@pytest.mark.parametrize(
    "image, reason",
    [
        (lambda: sd.SpatialArray(np.ones(3)), "two or three axes of space"),
        (lambda: sd.SpatialArray(np.ones((0, 3))), "a voxel or more"),
        (lambda: sd.SpatialArray(np.ones((3, 4))).reshape(4, 3), "lost their positions"),
        (lambda: sd.SpatialArray(np.ones((3, 4)), dims=("a", "b")), "two or three axes of space"),
    ],
    ids=["1-D", "empty", "lost", "plain"],
)
def test_what_cannot_be_drawn_is_refused(image: Any, reason: str) -> None:
    with pytest.raises(GeometryError, match=reason):
        plotting.plot(image(), figure=figures.Figure())


def test_an_overlay_from_another_space_is_refused(volume: sd.SpatialArray) -> None:
    """Before anything is drawn, with both spaces."""
    flat = sd.SpatialArray(np.ones((5, 6)))
    for image, overlay in ((flat, volume), (volume, flat)):
        figure = figures.Figure()
        with pytest.raises(GeometryError, match=r"overlay must lie in the space of .*'y', 'x'"):
            plotting.plot(image, overlay, figure=figure)
        assert not figure.axes


def test_a_slice_in_a_volume(volume: sd.SpatialArray) -> None:
    (ax,) = drawn(volume[:, 2]).axes
    assert ax.get_title() == "coronal"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x (mm)", "z (mm)")


@pytest.mark.parametrize("backend", ["dask", "zarr3"], indirect=True)
def test_lazy_data_give_the_same_picture(backend: BackendCase, volume: sd.SpatialArray) -> None:
    lazy = volume.replace(backend.make(volume.data))
    for one, two in zip(drawn(volume).axes, drawn(lazy).axes, strict=True):
        np.testing.assert_array_equal(one.images[0].get_array(), two.images[0].get_array())


def test_only_the_chunks_of_the_planes_are_read() -> None:
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    from spatial_duck.testing._stores import RecordingStore

    store = RecordingStore(zarr.storage.MemoryStore())
    array = zarr.create_array(store, shape=(9, 9, 9), chunks=(3, 3, 3), dtype="u1")
    array[...] = 1
    image = sd.SpatialArray(array)
    with assert_lazy(store):
        plotting.figure_size(image)
    store.chunks_read.clear()
    drawn(image)
    assert set(store.chunks_read) == {
        f"c/{i}/{j}/{k}" for i in range(3) for j in range(3) for k in range(3) if 1 in (i, j, k)
    }


def test_large_planes_are_thinned_in_place(volume: sd.SpatialArray) -> None:
    x = np.broadcast_to(np.arange(5000.0), (3, 5000))
    (ax,) = drawn(sd.SpatialArray(x, spacing=(100, 1))).axes
    left, right, *_ = ax.images[0].get_extent()
    values = np.asarray(ax.images[0].get_array())[0]
    assert len(values) <= planes._MAX_SIDE
    centres = left + (np.arange(len(values)) + 0.5) * (right - left) / len(values)
    np.testing.assert_allclose(centres, values)


def test_an_overlay_on_its_own_grid_lies_where_it_is(volume: sd.SpatialArray) -> None:
    """Labels on a coarser grid in another frame, order and unit cover the right pixels."""
    inside = volume.index_to_physical([2, 3, 3])
    box = sd.Geometry(
        (1, 1, 1), (0.002, 0.002, 0.002), inside / 1000, dims=("z", "y", "x"), frame="LPS", unit="m"
    )
    box = box.to_frame("RAS").to_world(("x", "y", "z"))
    overlay = sd.SpatialArray(np.ones((1, 1, 1), np.uint8), box)
    axial, *_ = drawn(volume, overlay).axes
    cover = axial.images[1].get_array()
    centre = np.zeros((6, 7), bool)
    centre[3, 2:5] = True  # 2 mm wide: the voxel itself and, at its very edge, one neighbour
    assert not cover.mask[3, 3]
    assert cover.mask[~centre].all()


def test_an_overlay_of_numbers_is_transparent_outside(volume: sd.SpatialArray) -> None:
    overlay = sd.SpatialArray(volume.data[:, :3], volume.geometry[:, :3])
    axial, *_ = drawn(volume, overlay).axes
    cover = axial.images[1].get_array()
    np.testing.assert_array_equal(cover.mask[:, 0], [False] * 3 + [True] * 3)
    np.testing.assert_allclose(cover[:3], volume.data[2, :3])


def test_an_overlay_with_time_on_an_image_without(volume: sd.SpatialArray) -> None:
    overlay = sd.SpatialArray(
        np.ones((2, 5, 6, 7)), dims=("t", "z", "y", "x"), spacing=(1, 4, 2, 1),
        origin=(0, -10, 20, 30), frame="LPS", unit="mm",
    )  # fmt: skip
    axial, *_ = drawn(volume, overlay).axes
    assert not axial.images[1].get_array().mask.any()


def test_image_plot_makes_a_figure(volume: sd.SpatialArray) -> None:
    from matplotlib import pyplot as plt

    figure = volume.plot(title="a volume")
    assert figure.get_suptitle() == "a volume"
    plt.close(figure)


def test_a_missing_matplotlib_is_named(volume: sd.SpatialArray, monkeypatch: Any) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"spatial-duck\[plot\]"):
        volume.plot()


def test_colour_limits(volume: sd.SpatialArray) -> None:
    (ax, *_) = drawn(volume, limits=(0.25, 0.5)).axes
    assert ax.images[0].get_clim() == (0.25, 0.5)


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", ">i4", "i8"])
def test_labels_have_a_colour_each_whatever_their_type(volume: sd.SpatialArray, dtype: str) -> None:
    blobs = np.zeros((5, 6, 7), dtype)
    blobs[1:4, 1:3, 1:6], blobs[1:4, 3:5, 1:6] = 1, 2
    axial, *_ = drawn(volume, volume.replace(blobs)).axes
    over = axial.images[1]
    assert over.get_array().mask[0, 0]
    one, two = (over.cmap(over.norm(n))[:3] for n in (1, 2))
    assert max(abs(a - b) for a, b in zip(one, two, strict=True)) > 0.3


@pytest.mark.parametrize("dtype", ["u1", "i2"])
def test_a_picture_over_a_picture_is_not_taken_for_labels(dtype: str) -> None:
    noise = np.random.default_rng(0).integers(0, 100, (16, 16, 16)).astype(dtype)
    image = sd.SpatialArray(noise)
    for ax in drawn(image, image).axes:
        assert ax.images[1].cmap.name == "autumn"
    for ax in drawn(image, image, labels=True).axes:
        assert ax.images[1].cmap.name != "autumn"


@pytest.mark.parametrize("where", [0, 1, 2])
def test_red_green_and_blue_are_drawn_as_colours(where: int) -> None:
    rgb = np.zeros((4, 5, 3), np.uint8)
    rgb[..., 0], rgb[1, 2] = 255, (0, 128, 255)
    dims = ["y", "x"]
    dims.insert(where, "c")
    (ax,) = drawn(sd.SpatialArray(np.moveaxis(rgb, 2, where), dims=dims)).axes
    np.testing.assert_allclose(ax.images[0].get_array(), rgb / 255)


def test_planes_go_through_a_point(volume: sd.SpatialArray) -> None:
    for options in ({"z": 2.9}, {"at": (2, 26, 33)}, {"at": {"z": 1.5}}):
        axial, *_ = drawn(volume, **options).axes
        assert axial.get_title() == "axial, z = 2 mm"
        np.testing.assert_array_equal(axial.images[0].get_array(), volume.data[3])
    with pytest.raises(GeometryError, match=r"outside the image, which spans z -12 … 8"):
        drawn(volume, z=99)


def test_a_time_and_a_channel_are_chosen_and_said() -> None:
    data = np.random.default_rng(0).random((2, 3, 4, 5))
    image = sd.SpatialArray(
        data, dims=("c", "t", "y", "x"), spacing={"t": 2.0}, coords={"channel": ("c", ["A", "B"])}
    )
    for channel in (1, "B"):
        figure = drawn(image, t=4, c=channel)
        np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), data[1, 2])
        assert figure.get_suptitle() == "t = 4, c = B"
    with pytest.raises(GeometryError, match="no channel is called 'C'"):
        drawn(image, c="C")


def test_planes_without_contrast_say_what_they_are() -> None:
    for values, words in ((np.nan, "all NaN"), (7.0, "all 7")):
        assert words in texts(drawn(sd.SpatialArray(np.full((3, 4), values))).axes[0])


def test_micrometres_are_written_as_people_write_them() -> None:
    image = sd.SpatialArray(np.eye(20), unit="um")
    (ax,) = drawn(image).axes
    assert ax.get_xlabel() == "x (µm)"
    assert any(text.endswith(" µm") for text in texts(ax))
    assert "spacing  y 1, x 1 µm" in repr(image)


def test_what_is_left_out_is_said() -> None:
    """Without being asked for: the time, with its unit, and the channel that are drawn."""
    image = sd.SpatialArray(
        np.random.default_rng(0).random((3, 5, 8, 9)), dims=("c", "t", "y", "x"),
        spacing={"t": 1 / 3, "y": 1, "x": 1}, unit={"t": "s", "y": "um", "x": "um"},
        coords={"channel": ("c", ["DAPI", "GFP", "Cy5"])},
    )  # fmt: skip
    assert drawn(image).get_suptitle() == "c = DAPI, t = 0.67 s"
    assert drawn(image, t=0.4, c=-1).get_suptitle() == "t = 0.33 s, c = Cy5"
    irregular = image.isel(c=0).replace(coords={"t": ("t", [0, 1, 5, 7, 9.0], {"unit": "ms"})})
    assert drawn(irregular, t=6.5).get_suptitle() == "t = 7 ms"
    bare = sd.SpatialArray(np.ones((4, 8, 9)), dims=("batch", "y", "x"))
    assert drawn(bare).get_suptitle() == "batch = 0 of 4"
    assert drawn(image * 1j).get_suptitle().endswith("magnitude of complex values")


def labelled(volume: sd.SpatialArray) -> sd.SpatialArray:
    blobs = np.zeros(volume.shape, np.int32)
    blobs[1:4, 1:3, 1:6], blobs[1:4, 3:5, 1:6] = 1, 700
    table = [
        {"label": 1, "name": "liver", "color": "dd8265"},
        {"label": 700, "name": "tumour"},
        {"label": 3, "name": "not seen"},
    ]
    return volume.replace(blobs, attrs={"segments": table})


def names_and_colors(figure: Any) -> dict[str, Any]:
    return {
        text.get_text(): patch.get_facecolor()[:3]
        for legend in figure.legends
        for text, patch in zip(legend.get_texts(), legend.get_patches(), strict=True)
    }


def as_image_label(labels: sd.SpatialArray) -> sd.SpatialArray:
    ome = {"image-label": {
        "colors": [{"label-value": 1, "rgba": [0xDD, 0x82, 0x65, 255]}, {"label-value": "x"}],
        "properties": [
            {"label-value": 1, "name": "liver"}, {"label-value": 700, "class": "tumour"},
        ],
    }}  # fmt: skip
    return labels.replace(attrs={"ome": ome})


def as_segments(labels: sd.SpatialArray) -> sd.SpatialArray:
    data = np.stack([labels.data == n for n in (1, 700, 3)]).astype(np.uint8)
    coords = {
        "segment_number": ("c", [1, 700, 3]),
        "segment_label": ("c", ["liver", "tumour", "not seen"]),
        "color": ("c", ["dd8265", "", ""]),
    }
    g = labels.geometry
    return sd.SpatialArray(
        data, dims=("c", *g.dims), spacing=g.spacing, origin=g.origin, world=g.world, coords=coords
    )


@pytest.mark.parametrize("made", [lambda im: im, as_image_label, as_segments],
                         ids=["segments", "image-label", "stack of segments"])  # fmt: skip
def test_labels_have_the_names_and_colours_that_they_say(
    volume: sd.SpatialArray, made: Any
) -> None:
    labels = made(labelled(volume))
    for figure in (drawn(volume, labels), drawn(volume, labels, contours=True)):
        said = names_and_colors(figure)
        assert set(said) == {"liver", "tumour"}
        np.testing.assert_allclose(said["liver"], np.array([0xDD, 0x82, 0x65]) / 255)
    assert not drawn(volume, labels, legend=False).legends


def test_contours_run_along_the_edges_of_labels(volume: sd.SpatialArray) -> None:
    axial, *_ = drawn(volume, labelled(volume), contours=True).axes
    assert len(axial.images) == 1
    (lines,) = axial.collections
    segments = np.array(lines.get_segments())
    # Two boxes of 2 × 5 voxels that share a side: x 30.5 … 35.5, y 21 … 25 and 25 … 29.
    assert len(segments) == 5 * 3 + 2 * 4
    np.testing.assert_allclose(segments.min(axis=(0, 1)), [30.5, 21])
    np.testing.assert_allclose(segments.max(axis=(0, 1)), [35.5, 29])


def test_several_overlays_have_their_own_opacity_and_colours(volume: sd.SpatialArray) -> None:
    figure = drawn(
        volume, [volume, labelled(volume)], alpha=[0.25, 0.75], overlay_cmap=["hot", "autumn"],
        colorbar=True,
    )  # fmt: skip
    axial = figure.axes[0]
    assert [image.get_alpha() for image in axial.images] == [None, 0.25, 0.75]
    assert axial.images[1].cmap.name == "hot"
    assert len(figure.axes) == 3 + 2  # one scale for the image, one for the overlay of numbers
    with pytest.raises(ValueError, match="one for each of 2 overlays"):
        drawn(volume, [volume, volume], alpha=[0.1])


def test_vectors_are_arrows_along_the_world(volume: sd.SpatialArray) -> None:
    """In whatever frame, order and unit the field has them, and however the image lies."""
    vectors = np.zeros((3, 5, 6, 7))
    vectors[:] = np.array([0.003, -0.002, 0.001])[:, None, None, None]  # x, y, z in metres of RAS
    g = volume.geometry.to_frame("RAS").to_unit("m").to_world(("x", "y", "z"))
    field = sd.DisplacementField(sd.SpatialArray(vectors, sd.Geometry(
        (3, *g.shape), g.spacing, g.origin, g.direction, ("c", *g.dims), sampled=g.dims,
        world=g.world,
    )))  # fmt: skip
    for image in (volume, volume[::-1, :, ::-1], volume.transpose("x", "z", "y")):
        for ax in drawn(image, field).axes:
            (arrows,) = ax.collections
            moved = {"x (mm)": -3, "y (mm)": 2, "z (mm)": 1}
            np.testing.assert_allclose(arrows.U, moved[ax.get_xlabel()], rtol=1e-6)
            np.testing.assert_allclose(arrows.V, moved[ax.get_ylabel()], rtol=1e-6)
    alone = figures.Figure()
    plotting.plot(field, figure=alone)
    assert len(alone.axes[0].collections) == 1
    np.testing.assert_allclose(alone.axes[0].images[0].get_array(), np.sqrt(14) / 1000)


def test_positions_are_rounded_to_the_voxels(volume: sd.SpatialArray) -> None:
    far = volume.replace(origin=(4e6 + 1 / 3, 500_000, 0))
    axial, *_ = drawn(far).axes
    assert axial.get_title() == "axial, z = 4000008.3 mm"
    assert "e" not in "".join(t.get_text() for t in axial.get_yticklabels())


def test_a_notebook_shows_a_figure_once(volume: sd.SpatialArray) -> None:
    pytest.importorskip("matplotlib_inline", reason="needs the backend of notebooks")
    from matplotlib import pyplot as plt

    before = plt.get_backend()
    try:
        plt.switch_backend("module://matplotlib_inline.backend_inline")
        volume.plot()
        assert plt.get_fignums() == []
    finally:
        plt.switch_backend(before)


def test_completion_shows_what_plot_takes(volume: sd.SpatialArray) -> None:
    import inspect

    names = list(inspect.signature(volume.plot).parameters)
    assert names[:2] == ["overlay", "at"]
    assert {"x", "y", "z", "t", "c", "labels", "contours", "colorbar", "alpha"} <= set(names)
