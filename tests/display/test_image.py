"""What images show of themselves: true, escaped, for every type, and without touching lazy data."""

from __future__ import annotations

import base64
import re
import zlib
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck._display import _image as display
from spatial_duck._display import _pictures as drawing
from spatial_duck.testing import assert_lazy

if TYPE_CHECKING:
    from tests.conftest import BackendCase

C, S = 0.8, 0.6
OBLIQUE = [[1, 0, 0], [0, C, -S], [0, S, C]]

#: Arrays of every kind that an image may hold, with the dims where they must be given.
ARRAYS: dict[str, tuple[Any, tuple[str | None, ...] | None]] = {
    "1-D": (np.arange(5.0), None),
    "2-D": (np.arange(12.0).reshape(3, 4), None),
    "3-D": (np.arange(60, dtype=np.uint8).reshape(3, 4, 5), None),
    "4-D": (np.arange(120, dtype=np.int16).reshape(2, 3, 4, 5), ("t", "z", "y", "x")),
    "5-D": (np.ones((2, 2, 3, 4, 5), np.float32), ("t", "c", "z", "y", "x")),
    "channels last": (np.ones((6, 7, 3), np.uint8), ("y", "x", "c")),
    "plain": (np.ones((6, 7)), ("c", None)),
    "empty": (np.zeros((0, 3)), None),
    "size 1": (np.zeros((1, 1, 1)), None),
    "NaN": (np.full((3, 4), np.nan), None),
    "infinite": (np.array([[1, np.inf], [-np.inf, 0]]), None),
    "huge": (np.array([[-1.7e308, 1.7e308]]), None),
    "constant": (np.full((3, 4), 7), None),
    "bool": (np.eye(4, dtype=bool), None),
    "complex": (np.full((3, 4), 1 + 2j), None),
    "complex NaN": (np.full((3, 4), complex(np.nan, 1)), None),
    "uint64": (np.full((3, 4), 2**64 - 1, np.uint64), None),
    "big-endian": (np.arange(12, dtype=">i4").reshape(3, 4), None),
    "half": (np.ones((3, 4), np.float16), None),
    "object": (np.full((2, 2), None, object), None),
    "datetime": (np.zeros((2, 2), "M8[s]"), None),
    "string": (np.full((2, 2), "<b>&"), None),
    "structured": (np.zeros((2, 2), [("a", "i4"), ("b", "f8")]), None),
}

PICTURES = {"2-D", "3-D", "4-D", "5-D", "channels last", "size 1", "NaN", "infinite", "huge"}
PICTURES |= {"constant", "bool", "complex", "complex NaN", "uint64", "big-endian", "half"}


def decoded(picture: bytes) -> np.ndarray:
    """Decode a PNG as the standard says: an independent reader of what `png` writes."""
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    at, parts = 8, {}
    while at < len(picture):
        size = int.from_bytes(picture[at : at + 4], "big")
        kind, body = picture[at + 4 : at + 8], picture[at + 8 : at + 8 + size]
        crc = int.from_bytes(picture[at + 8 + size : at + 12 + size], "big")
        assert crc == zlib.crc32(kind + body)
        parts[kind], at = body, at + 12 + size
    assert list(parts) == [b"IHDR", b"IDAT", b"IEND"]
    head = parts[b"IHDR"]
    columns, rows = int.from_bytes(head[:4], "big"), int.from_bytes(head[4:8], "big")
    depth = {0: 1, 2: 3}[head[9]]
    assert head[8] == 8
    lines = np.frombuffer(zlib.decompress(parts[b"IDAT"]), np.uint8).reshape(rows, -1)
    assert not lines[:, 0].any()
    pixels = lines[:, 1:].reshape(rows, columns, depth)
    return pixels[..., 0] if depth == 1 else pixels


def pictures(html: str) -> list[np.ndarray]:
    found = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", html)
    return [decoded(base64.b64decode(code)) for code in found]


class Balanced(HTMLParser):
    """Fails on tags that are not closed in order, and on scripts and outside references."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        tags = {"div", "b", "table", "tr", "th", "td", "figure", "img", "figcaption"}
        if "svg" in self.open:
            assert tag in {"polygon", "polyline", "circle", "text"}
            assert not any(name.startswith("on") or name.endswith("href") for name, _ in attrs)
        elif tag != "svg":
            assert tag in tags | {"span"}
            assert all(name in {"style", "alt", "width", "height", "src"} for name, _ in attrs)
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def check_html(html: str) -> None:
    parser = Balanced()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    assert re.findall(r'src="(?!data:image/png;base64,)', html) == []


@pytest.mark.parametrize("name", ARRAYS)
def test_every_kind_of_array_is_shown(name: str) -> None:
    array, dims = ARRAYS[name]
    image = sd.SpatialArray(array, dims=dims)
    shape = " × ".join(map(str, array.shape))
    assert repr(image).startswith(f"<SpatialArray {shape}, {array.dtype}, numpy")
    html = image._repr_html_()
    check_html(html)
    assert bool(pictures(html)) == (name in PICTURES)


@pytest.mark.parametrize("backend", ["dask", "zarr2", "zarr3"], indirect=True)
def test_nothing_lazy_is_touched(backend: BackendCase) -> None:
    image = sd.SpatialArray(backend.make(np.arange(60.0).reshape(3, 4, 5)), spacing=(3, 2, 1))
    with assert_lazy():
        text, html = repr(image), image._repr_html_()
    assert "spacing  z 3, y 2, x 1" in text
    assert "chunks 2 × 3 × 3" in text
    assert "[" not in text  # no values
    assert pictures(html) == []


def test_no_chunk_of_a_store_is_read() -> None:
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    from spatial_duck.testing._stores import RecordingStore

    store = RecordingStore(zarr.storage.MemoryStore())
    array = zarr.create_array(store, shape=(4, 4), chunks=(2, 2), dtype="i2")
    image = sd.SpatialArray(array)
    with assert_lazy(store):
        assert "zarr" in repr(image[::-1])
        image._repr_html_()


def test_a_dask_length_that_nobody_knows_is_shown() -> None:
    da = pytest.importorskip("dask.array", reason="needs dask")
    data = da.from_array(np.arange(10.0), chunks=5)
    unknown = data[data > 3]
    image = sd.SpatialArray(unknown)
    with assert_lazy():
        assert "nan" in repr(image)
        check_html(image._repr_html_())


def test_data_of_a_device_stay_there() -> None:
    strict = pytest.importorskip("array_api_strict", reason="needs array_api_strict")
    image = sd.SpatialArray(strict.ones((3, 4)))
    assert "array_api_strict" in repr(image)
    assert pictures(image._repr_html_()) == []


def test_a_mapped_file_is_not_read(tmp_path: Any) -> None:
    mapped = np.memmap(tmp_path / "raw", np.uint8, "w+", shape=(4, 4))
    image = sd.SpatialArray(mapped)
    assert "[" not in repr(image)
    assert pictures(image._repr_html_()) == []


def test_the_text_says_where_the_image_is() -> None:
    image = sd.SpatialArray(
        np.zeros((2, 30, 40, 50), np.int16),
        dims=("t", "z", "y", "x"),
        spacing=(2.5, 2.2, 2, 0.3),
        origin=(0, -7.25, 10, 117.8551025),
        direction=np.block([[np.eye(1), np.zeros((1, 3))], [np.zeros((3, 1)), np.array(OBLIQUE)]]),
        unit={"t": "s", "z": "mm", "y": "mm", "x": "mm"},
        frame="RAS",
    )
    assert repr(image) == (
        "<SpatialArray 2 × 30 × 40 × 50, int16, numpy, 240 kB>\n"
        "  dims       t, z, y, x\n"
        "  spacing    t 2.5 s, z 2.2 mm, y 2 mm, x 0.3 mm\n"
        "  origin     t 0 s, z -7.25 mm, y 10 mm, x 117.8551025 mm\n"
        "  direction  t: 1, 0, 0, 0\n"
        "             z: 0, 1, 0, 0\n"
        "             y: 0, 0, 0.8, -0.6\n"
        "             x: 0, 0, 0.6, 0.8\n"
        "  frame      RAS, axes run to SAR"
    )


def test_the_text_says_what_was_lost() -> None:
    image = sd.SpatialArray(np.zeros((4, 6)))
    geometry = image.geometry.lose((1,), "reshape")
    shown = repr(image.replace(geometry=geometry))
    assert "lost     axis 1 by 'reshape'" in shown


def test_small_data_are_shown_as_numpy_shows_them() -> None:
    array = np.arange(6.0).reshape(2, 3)
    assert repr(sd.SpatialArray(array)).endswith("\n" + str(array))


def test_many_values_are_left_out() -> None:
    assert len(repr(sd.SpatialArray(np.zeros((9, 9, 9)))).split("\n")) == 4


def test_attrs_are_escaped_and_cut_short() -> None:
    class Bad:
        def __repr__(self) -> str:
            raise RuntimeError

    attrs = {"<script>alert(1)</script>": '"><img src=x onerror=1>', "long": "x" * 10000}
    attrs |= {"bad": Bad(), "array": np.zeros(10**5)} | {f"k{n}": n for n in range(40)}
    html = sd.SpatialArray(np.zeros((2, 2)), attrs=attrs)._repr_html_()
    check_html(html)
    assert "<script" not in html
    assert "x" * 200 not in html
    assert "more" in html


def test_names_are_escaped() -> None:
    image = sd.SpatialArray(np.zeros((2, 3, 4)), dims=("<i>", "y", "x"), unit="<b>&")
    check_html(image._repr_html_())


def test_thumbnails_are_in_proportion_and_upright() -> None:
    """A block at the patient's upper, front, right is drawn where a radiologist has it."""
    data = np.zeros((20, 40, 80), np.uint8)
    image = sd.SpatialArray(data, spacing=(4, 2, 1), frame="RAS", unit="mm")
    data[15:, 20:, 40:] = 200
    axial, coronal, sagittal = pictures(image._repr_html_())
    assert axial.shape == coronal.shape == sagittal.shape  # 80 mm each way
    assert not np.ptp(axial)  # it passes below the block
    assert (coronal[5, 5], coronal[-5, 5], coronal[5, -5]) == (255, 0, 0)
    assert (sagittal[5, 5], sagittal[-5, 5], sagittal[5, -5]) == (255, 0, 0)  # anterior is left


@given(frame=st.sampled_from(["LPS", "RAS", "LAS", "SPL", "IAR"]), data=st.data())
def test_planes_show_the_same_body_however_the_array_lies(frame: str, data: Any) -> None:
    """Flipped, transposed and in another frame, a volume is drawn as the same picture."""
    rng = np.random.default_rng(3)
    image = sd.SpatialArray(rng.random((4, 6, 8)), spacing=(3, 2, 1), frame="LPS")
    order = data.draw(st.permutations(range(3)))
    flips = data.draw(st.sets(st.sampled_from(range(3))))
    geometry, array = image.geometry.to_frame(frame), image.data
    for axis in flips:
        geometry, array = geometry.flip(axis), np.flip(array, axis)
    moved = sd.SpatialArray(array.transpose(order), geometry.transpose(order))
    first = [
        (p.name, p.edges, p.spacing, p.cut(image.data)) for p in display.planes(image.geometry)
    ]
    second = [
        (p.name, p.edges, p.spacing, p.cut(moved.data)) for p in display.planes(moved.geometry)
    ]
    for one, two in zip(first, second, strict=True):
        assert one[:3] == two[:3]
        assert one[3].shape == two[3].shape
    # The middle index of an even length is another voxel once flipped: compare without flips.
    if not flips:
        for one, two in zip(first, second, strict=True):
            np.testing.assert_array_equal(one[3], two[3])


def test_planes_of_a_slice_that_lives_in_a_volume() -> None:
    image = sd.SpatialArray(np.zeros((4, 6, 8)), frame="LPS")[:, 2]
    (plane,) = display.planes(image.geometry)
    assert (plane.name, plane.edges) == ("coronal", ("R", "L", "S", "I"))


def test_planes_of_a_window_view_are_those_of_the_image() -> None:
    windows = sd.Geometry((8, 9, 10)).window(3, 0)
    assert len(display.planes(windows)) == 3


@given(
    st.lists(st.integers(0, 6), min_size=2, max_size=2).flatmap(
        lambda n: st.binary(min_size=n[0] * n[1], max_size=n[0] * n[1]).map(
            lambda b: np.frombuffer(b, np.uint8).reshape(n)
        )
    )
)
def test_png_holds_the_pixels(pixels: np.ndarray) -> None:
    if pixels.size:
        np.testing.assert_array_equal(decoded(drawing.png(pixels)), pixels)
        color = np.stack([pixels, pixels // 2, 255 - pixels], axis=-1)
        np.testing.assert_array_equal(decoded(drawing.png(color)), color)


def test_png_is_read_by_others(tmp_path: Any) -> None:
    matplotlib = pytest.importorskip("matplotlib.image", reason="needs matplotlib")
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7), dtype=np.uint8)
    (tmp_path / "a.png").write_bytes(drawing.png(pixels))
    found = matplotlib.imread(tmp_path / "a.png")
    np.testing.assert_allclose(found, pixels / 255, atol=1e-6)


def test_gray_keeps_order_and_hides_what_is_not_finite() -> None:
    values = np.array([np.nan, -np.inf, 0.0, 1.0, 2.0, np.inf])
    levels = drawing.gray(values, (0, 2)).tolist()
    assert levels == [0, 0, 0, 128, 255, 0]


def test_coordinates_are_shown() -> None:
    coords = {
        "channel": ("c", ["DAPI", "<GFP>"]),
        "time": ("c", [0.5, 1.5], {"unit": "s"}),
        "way": ("c", np.eye(2)),
        "name": "M01",
    }
    image = sd.SpatialArray(np.zeros((2, 30)), dims=("c", "x"), coords=coords)
    text = repr(image)
    assert "coords   channel (c) 'DAPI', '<GFP>'" in text
    assert "time (c) 0.5, 1.5 s" in text
    assert "way (c) 2 numbers" in text
    assert "name 'M01'" in text
    assert "&lt;GFP&gt;" in image._repr_html_()
    assert "<GFP>" not in image._repr_html_()
    many = sd.SpatialArray(np.zeros(1000), coords={"b": ("x", np.arange(1000))})
    assert "b (x) 0, 1, ..., 998, 999" in repr(many)


def test_colours_and_labels_are_shown_in_colour() -> None:
    rgb = np.zeros((6, 7, 3), np.uint8)
    rgb[..., 2] = 200
    (picture,) = pictures(sd.SpatialArray(rgb, dims=("y", "x", "c"))._repr_html_())
    assert picture.reshape(-1, 3).max(0).tolist() == [0, 0, 200]
    blobs = np.kron([[0, 1], [2, 3]], np.ones((4, 4), int))
    for dtype in ("u1", "i4", ">u2"):
        (picture,) = pictures(sd.SpatialArray(blobs.astype(dtype))._repr_html_())
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) == 4


def test_control_characters_reach_no_terminal_and_no_page() -> None:
    image = sd.SpatialArray(
        np.ones((2, 2)), coords={"name": "a\x1b[31mb"}, attrs={"k\x07": "v\x1b]0;t\x07"}
    )
    for text in (repr(image), image._repr_html_()):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)
    assert r"a\x1b[31mb" in repr(image)
