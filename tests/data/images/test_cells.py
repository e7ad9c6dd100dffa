import io
import os
import resource
import struct
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageFile

from keras_mm.checks import quote
from keras_mm.data.images.cells import (
    MAX_PIXELS,
    ImageError,
    check_image,
    image_key,
    load_image,
    open_image,
)
from keras_mm.data.images.files import draft_ratio, image_format

pytestmark = pytest.mark.backend_free


def at_full_size(cell):
    return np.array(open_image(cell))


def mix(color, alpha):
    """A colour on white, rounded to the nearest level."""
    return np.round((color * alpha + 255.0 * (255.0 - alpha)) / 255).astype(np.uint8)


# Every kind of cell gives the same pixels.


def test_every_kind_of_cell_is_the_same_image(make, tmp_path):
    scene = make.scene(13, 17)
    png = make.encode(scene, "PNG")
    path = tmp_path / "scene.png"
    path.write_bytes(png)
    cells = [str(path), path, png, bytearray(png), memoryview(png), scene, Image.open(path),
             {"bytes": png, "path": "elsewhere.png"}, {"bytes": None, "path": str(path)},
             {"path": str(path)}]  # fmt: skip
    for cell in cells:
        check_image(cell)
        np.testing.assert_array_equal(at_full_size(cell), scene)
        np.testing.assert_array_equal(load_image(cell, (13, 17)), scene)
        np.testing.assert_array_equal(load_image(cell, (5, 7)), load_image(scene, (5, 7)))


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([[0, 200]], np.uint8), [0, 200]),
        (np.array([[[0], [200]]], np.uint8), [0, 200]),
        (np.array([[0.0, 0.8]]), [0, 204]),
        (np.array([[0.0, 1.0]], np.float32), [0, 255]),
        (np.array([[0, 65535]], np.uint16), [0, 255]),
        (np.array([[255, 256]], np.uint16), [0, 1]),
        (np.array([[False, True]]), [0, 255]),
    ],
)
def test_arrays_follow_scikit_images_convention(array, expected):
    pixels = load_image(array, array.shape[:2])
    assert pixels.dtype == np.uint8
    assert pixels.shape == (1, 2, 3)
    assert [set(pixel) for pixel in pixels[0]] == [{value} for value in expected]


def test_arrays_with_alpha_lie_on_white(make):
    array = make.scene(7, 5, 4)
    color, alpha = array[..., :3].astype(float), array[..., 3:].astype(float)
    np.testing.assert_array_equal(load_image(array, (7, 5)), mix(color, alpha))


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.zeros((2, 3, 2), np.uint8), "shape (2, 3, 2)"),
        (np.zeros((3, 4, 5), np.uint8), "shape (3, 4, 5)"),
        (np.zeros(7, np.uint8), "shape (7,)"),
        (np.zeros((0, 4), np.uint8), "4 x 0"),
        (np.zeros((2, 2), np.int64), "int64"),
        (np.array([["a"]], object), "object"),
        (np.full((2, 2), 1.5), "1.5"),
        (np.full((2, 2), -0.1, np.float32), "-0.1"),
        (np.array([[0.5, np.nan]]), "nan"),
        (np.array([[0.5, np.inf]]), "inf"),
    ],
)
def test_other_arrays_are_refused(array, told):
    for function in (check_image, open_image, lambda cell: load_image(cell, (2, 2))):
        with pytest.raises(ImageError) as caught:
            function(array)
        assert told in str(caught.value)


@pytest.mark.parametrize("cell", [None, 3, [1, 2], {"bytes": None, "path": None}, {}])
def test_what_is_no_image_cell_is_refused(cell):
    with pytest.raises(ImageError, match="must be a path, bytes, a dict"):
        check_image(cell)


# Colour modes.


def test_modes_become_rgb(make):
    gray, color = make.scene(11, 13, 1)[..., 0], make.scene(11, 13)
    layered = make.scene(11, 13, 4)
    rgb = lambda levels: np.repeat(levels[..., None], 3, -1)
    wide = gray.astype(np.uint16) * 256 + 255
    light = 255 - layered.astype(int)
    expected = {
        "1": (Image.fromarray(gray > 127), rgb((gray > 127) * 255)),
        "L": (Image.fromarray(gray), rgb(gray)),
        "LA": (Image.merge("LA", [Image.fromarray(gray)] * 2), rgb(mix(gray * 1.0, gray * 1.0))),
        "RGB": (Image.fromarray(color), color),
        "RGBA": (Image.fromarray(layered), mix(layered[..., :3] * 1.0, layered[..., 3:] * 1.0)),
        "I;16": (Image.fromarray(wide), rgb(gray)),
        "I": (Image.fromarray(wide.astype(np.int32)), rgb(gray)),
        "F": (Image.fromarray((gray / 255).astype(np.float32)), rgb(gray)),
        "CMYK": (
            Image.frombytes("CMYK", (13, 11), layered.tobytes()),
            light[..., :3] * light[..., 3:] // 255,
        ),
    }
    for mode, (image, pixels) in expected.items():
        assert image.mode == mode
        np.testing.assert_array_equal(at_full_size(image), pixels, err_msg=mode)


def test_palettes_and_their_transparency(make):
    image = make.palette()
    opaque = np.asarray(image.convert("RGB")).astype(float)
    indices = np.asarray(image)[..., None]
    np.testing.assert_array_equal(at_full_size(image), opaque)
    one = make.encode(image, "PNG", transparency=3)
    np.testing.assert_array_equal(at_full_size(one), np.where(indices == 3, 255, opaque))
    alphas = np.arange(0, 200, 5)
    many = make.encode(image, "PNG", transparency=bytes(alphas.tolist()))
    np.testing.assert_array_equal(at_full_size(many), mix(opaque, alphas[indices] * 1.0))


@pytest.mark.parametrize(("depth", "key"), [(1, 1), (2, 2), (4, 9), (8, 77), (16, 770)])
def test_the_transparent_gray_of_a_png_has_the_depth_of_its_pixels(make, depth, key):
    samples = np.arange(min(2**depth, 1024)).reshape(-1, 2, 1)
    png = make.png(samples, depth, 0, [(b"tRNS", struct.pack(">H", key))])
    levels = samples >> 8 if depth == 16 else samples * 255 // (2**depth - 1)
    expected = np.where(samples == key, 255, levels)
    np.testing.assert_array_equal(at_full_size(png)[..., :1], expected)


def test_lab_and_ycbcr_come_near_their_colours(make):
    scene = make.scene(31, 37)
    lab = Image.fromarray(np.tile(np.uint8([[[200, 0, 0], [60, 0, 0]]]), (8, 8, 1)))
    lab = Image.frombytes("LAB", lab.size, lab.tobytes())
    grays = at_full_size(make.encode(lab, "TIFF"))[0, :2].astype(int)
    assert np.ptp(grays, axis=-1).max() <= 2
    assert grays[0, 0] > grays[1, 0] + 100
    ycbcr = make.encode(Image.fromarray(scene).convert("YCbCr"), "TIFF", compression="tiff_lzw")
    assert np.abs(at_full_size(ycbcr).astype(int) - scene).max() <= 3


@pytest.mark.parametrize(
    ("levels", "told"),
    [(np.array([[0, 70000]], np.int32), "70000"), (np.array([[0, -1]], np.int32), "-1"),
     (np.array([[0, 255.0]], np.float32), "255.0")],
)  # fmt: skip
def test_levels_out_of_range_are_refused(levels, told):
    with pytest.raises(ImageError, match=told):
        check_image(Image.fromarray(levels))


# Geometry.

TURNS = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: np.rot90(p, 2).transpose(1, 0, 2),
    8: lambda p: np.rot90(p),
}


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("orientation", range(10))
def test_exif_orientation_is_applied(make, orientation, order):
    scene = make.scene(16, 24)
    exif = make.exif(orientation, order)
    turn = TURNS.get(orientation, TURNS[1])
    jpeg = make.encode(scene, "JPEG")
    pixels = turn(at_full_size(jpeg))
    np.testing.assert_array_equal(at_full_size(make.with_exif(jpeg, exif)), pixels)
    lazy = Image.open(io.BytesIO(make.with_exif(jpeg, exif)))
    np.testing.assert_array_equal(at_full_size(lazy), pixels)
    png = make.png(scene, 8, 2, [(b"eXIf", exif)])
    np.testing.assert_array_equal(at_full_size(png), turn(scene))
    webp = make.encode(scene, "WEBP", lossless=True, exif=b"Exif\0\0" + exif)
    np.testing.assert_array_equal(at_full_size(webp), turn(scene))
    if orientation in TURNS:
        tiff = make.encode(scene, "TIFF", tiffinfo={0x0112: orientation})
        np.testing.assert_array_equal(at_full_size(tiff), turn(scene))


def test_resizing_squashes_with_antialiasing():
    stripes = np.tile(np.uint8([0, 255]), (24, 30))
    assert np.ptp(load_image(stripes, (6, 10))[:, 1:-1].astype(int)) <= 2
    halves = np.repeat(np.uint8([[10, 250]]), 30, axis=1)
    # A triangle cut off at the border: a seventh of its weight lies in the other half.
    assert load_image(halves, (1, 2))[0, :, 0].tolist() == [10 + 240 // 7, 250 - 240 // 7]
    assert load_image(np.full((3, 997), 77, np.uint8), (31, 7)).tolist() == [[[77] * 3] * 7] * 31


def test_a_jpeg_is_reduced_while_it_is_decoded_but_not_too_far(make):
    for side, ratio in {16: 1, 47: 1, 48: 2, 95: 2, 96: 4, 191: 4, 192: 8, 999: 8}.items():
        assert draft_ratio(side, 1000, (16, 16)) == ratio
    assert draft_ratio(1000, 1000, (16, 125)) == 4
    assert draft_ratio(1000, 47, (16, 16)) == 1
    jpeg = make.encode(make.scene(512, 768), "JPEG", quality=95)
    reduced = load_image(jpeg, (64, 64)).astype(int)
    whole = load_image(at_full_size(jpeg), (64, 64)).astype(int)
    assert np.abs(reduced - whole).mean() < 2
    assert (reduced != whole).any()


def test_the_first_frame_counts(make):
    frames = [Image.fromarray(make.scene(9, 12, seed=seed)) for seed in range(3)]
    options = {"save_all": True, "append_images": frames[1:]}
    for kind in ("PNG", "TIFF", "WEBP"):
        lossless = {"lossless": True} if kind == "WEBP" else {}
        movie = make.encode(frames[0], kind, **options, **lossless)
        np.testing.assert_array_equal(at_full_size(movie), np.asarray(frames[0]), err_msg=kind)


def test_a_gif_frame_stands_on_its_canvas(encoded_images):
    frame = at_full_size(encoded_images["gif"])
    canvas = at_full_size(encoded_images["gif off its corner"])
    assert canvas.shape == (47, 60, 3)
    np.testing.assert_array_equal(canvas[3:40, 5:58], frame)
    canvas[3:40, 5:58] = 255
    assert (canvas == 255).all()


# What cannot be used.


def test_bad_paths_are_told_apart(tmp_path):
    empty = tmp_path / "empty.png"
    empty.touch()
    for path, told in {
        tmp_path: "is a folder",
        tmp_path / "none.png": "does not exist",
        empty: "is empty (0 bytes)",
        "a\0b.png": "cannot be read",
        "/dev/null": "is not a regular file",
    }.items():
        with pytest.raises(ImageError) as caught:
            check_image(path)
        assert told in str(caught.value)
        assert quote(str(path)) in str(caught.value)


@pytest.mark.parametrize(
    "data", [b"", b"text", b"<svg/>", b"%PDF-1.4", b"%!PS-Adobe", b"RIFF1234WAVE"]
)
def test_other_files_are_refused(data, tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    for cell in (data, str(path), {"bytes": data}):
        with pytest.raises(ImageError, match="is empty|not an image of a known format"):
            check_image(cell)


@pytest.fixture(params=[False, True], ids=["strict Pillow", "lenient Pillow"])
def lenient(request, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", request.param)


@pytest.mark.usefixtures("lenient")
@pytest.mark.parametrize("part", [0.02, 0.3, 0.5, 0.9, 0.999])
def test_cut_off_files_are_refused(make, part):
    scene = make.scene(211, 307)
    noise = np.random.default_rng(0).integers(0, 256, (211, 307), np.uint8)
    files = {
        "JPEG": make.encode(scene, "JPEG", quality=95),
        "progressive": make.encode(scene, "JPEG", quality=95, progressive=True),
        "PNG": make.encode(scene, "PNG"),
        "interlaced": make.png(scene, 8, 2, interlaced=True),
        "GIF": make.encode(noise, "GIF"),
        "BMP": make.encode(scene, "BMP"),
        "WebP": make.encode(scene, "WEBP", lossless=True),
        "TIFF": make.encode(scene, "TIFF"),
        "packed TIFF": make.encode(scene, "TIFF", compression="tiff_lzw"),
    }
    for kind, data in files.items():
        check_image(data)
        for cell in (data[: int(len(data) * part)], data[:-2] if kind in ("JPEG", "PNG") else b""):
            with pytest.raises(ImageError) as caught:
                check_image(cell)
            with pytest.raises(ImageError):
                load_image(cell, (7, 5))
            assert "truncated" in str(caught.value) or not cell, (kind, caught.value)


@pytest.mark.usefixtures("lenient")
def test_a_png_with_a_wrong_checksum_is_refused(make):
    png = bytearray(make.encode(make.scene(31, 41), "PNG"))
    png[png.index(b"IDAT") + 30] ^= 0xFF
    with pytest.raises(ImageError, match="IDAT"):
        check_image(bytes(png))


def peak_memory():
    """The most memory this process ever held, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def bombs(make):
    side = 40_000
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = make.chunk(b"IHDR", header) + make.chunk(b"IDAT", b"") + make.chunk(b"IEND", b"")
    yield "PNG", b"\x89PNG\r\n\x1a\n" + chunks
    jpeg = make.encode(make.scene(8, 8), "JPEG")
    at = jpeg.index(b"\xff\xc0") + 5
    yield "JPEG", jpeg[:at] + struct.pack(">HH", side, side) + jpeg[at + 4 :]
    gif = make.encode(make.palette(), "GIF")
    yield "GIF", gif[:6] + struct.pack("<HH", side, side) + gif[10:]
    bmp = make.encode(make.scene(8, 8), "BMP")
    yield "BMP", bmp[:18] + struct.pack("<II", side, side) + bmp[26:]
    webp = make.encode(make.scene(8, 8, 4), "WEBP", lossless=True, exif=b"II*\0")
    at = webp.index(b"VP8X") + 12
    yield "WebP", webp[:at] + struct.pack("<I", 16382)[:3] * 2 + webp[at + 6 :]
    tiff = make.encode(make.scene(8, 8), "TIFF")
    for tag in (0x0100, 0x0101):
        at = tiff.index(struct.pack("<HHI", tag, 4, 1)) + 8
        tiff = tiff[:at] + struct.pack("<I", side) + tiff[at + 4 :]
    yield "TIFF", tiff


@pytest.mark.parametrize("limit", [None, 10, 10**12])
def test_huge_images_are_refused_by_their_header(make, monkeypatch, limit):
    """Whatever Pillow's own limit says, which stays as it was."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    for kind, data in bombs(make):
        before = peak_memory()
        for function in (check_image, open_image, lambda cell: load_image(cell, (8, 8))):
            with pytest.raises(ImageError) as caught:
                function(data)
            if kind != "WebP":  # its decoder finds the sizes of canvas and frame at odds
                assert f"{MAX_PIXELS:,}" in str(caught.value), kind
        assert peak_memory() - before < 50, kind
    assert limit == Image.MAX_IMAGE_PIXELS


def test_huge_pillow_images_are_refused_before_they_load(make, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(ImageError, match="Pillow image has 40000 x 40000 pixels"):
        check_image(Image.open(io.BytesIO(dict(bombs(make))["PNG"])))


def test_a_damaged_pillow_image_is_refused(make):
    jpeg = make.encode(make.scene(64, 64), "JPEG")
    with pytest.raises(ImageError, match="cannot be loaded"):
        check_image(Image.open(io.BytesIO(jpeg[: len(jpeg) // 2])))


# The rest of the contract.


def test_nothing_warns(encoded_images):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for data in encoded_images.values():
            check_image(data)
            load_image(data, (5, 7))


def test_checking_foresees_loading(encoded_images):
    """Whatever is altered: what passes the check also loads."""
    rng = np.random.default_rng(0)
    refused = 0
    for data in encoded_images.values():
        damaged = bytearray(data)
        for at in rng.integers(8, len(data), 3):
            damaged[at] = rng.integers(0, 256)
        try:
            check_image(bytes(damaged))
        except ImageError:
            refused += 1
        else:
            assert load_image(bytes(damaged), (5, 7)).shape == (5, 7, 3)
    assert refused > len(encoded_images) // 4


def test_keys_are_equal_for_equal_images(make, tmp_path):
    scene = make.scene(7, 5)
    png, path = make.encode(scene, "PNG"), str(tmp_path / "a.png")
    pairs = [(path, str(path)), (png, bytes(bytearray(png))), (png, {"bytes": png, "path": path}),
             (path, {"bytes": None, "path": path}), (scene, scene.copy()),
             (Image.fromarray(scene), Image.open(io.BytesIO(png)))]  # fmt: skip
    keys = [[image_key(cell) for cell in pair] for pair in pairs]
    assert all(hash(first) == hash(second) and first == second for first, second in keys)
    turned = scene.reshape(5, 7, 3)
    others = [path + "x", png + b"x", scene + 1, turned, Image.fromarray(turned)]
    assert len({image_key(cell) for cell in others} | {key for key, _ in keys}) == 9


def test_keys_tell_pillow_images_of_equal_bytes_apart(make):
    image = make.palette()
    other, clear = image.copy(), image.copy()
    other.putpalette(bytes(range(256)) * 3)
    clear.info["transparency"] = 3
    assert len({image_key(one) for one in (image, other, clear, image.copy())}) == 3


def test_keys_never_raise(make):
    jpeg = make.encode(make.scene(64, 64), "JPEG")
    cells = [None, 3, {}, "none.png", b"", np.array([["a"]], object),
             Image.open(io.BytesIO(jpeg[: len(jpeg) // 2]))]  # fmt: skip
    assert len({image_key(cell) for cell in cells}) == 7


def test_threads_may_share_a_lazily_opened_image(make):
    png = make.encode(make.scene(301, 307), "PNG")
    expected = load_image(png, (11, 13))
    for _ in range(5):
        lazy = Image.open(io.BytesIO(png))
        with ThreadPoolExecutor(8) as pool:
            loaded = list(pool.map(lambda cell: load_image(cell, (11, 13)), [lazy] * 16))
        assert all((pixels == expected).all() for pixels in loaded)


def test_a_users_pillow_image_stays_as_it_is(make):
    image = make.palette(transparency=bytes(range(40)))
    before = image.copy()
    load_image(image, (5, 7))
    image_key(image)
    assert image.mode == "P"
    assert image.info == before.info
    assert image.getpalette("RGBA") == before.getpalette("RGBA")


def test_results_are_writable_and_their_own(make):
    scene = make.scene(7, 5)
    pixels = load_image(scene, (7, 5))
    pixels[:] = 0
    assert scene.any()


def test_formats_are_told_by_their_first_bytes(make):
    scene = make.scene(7, 5)
    for kind in ("JPEG", "PNG", "GIF", "BMP", "WebP", "TIFF"):
        assert image_format(make.encode(scene, kind)) == kind
    assert image_format(make.encode(scene, "AVIF")) == "AVIF"
    boxes = {b"mif1\0\0\0\0mif1heic": "HEIC", b"mif1\0\0\0\0mif1avif": "AVIF", b"heix": "HEIC",
             b"isom\0\0\0\0mp42": None}  # fmt: skip
    for brands, kind in boxes.items():
        assert image_format(struct.pack(">I4s", 8 + len(brands), b"ftyp") + brands) == kind
    assert image_format(b"") is None


def heic(image, **options):
    pytest.importorskip("pillow_heif").register_heif_opener()
    file = io.BytesIO()
    Image.fromarray(image).save(file, "HEIF", quality=95, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["AVIF", "HEIC"])
def test_avif_and_heic_are_upright_on_white_and_whole(kind, make):
    def save(image, **options):
        return heic(image, **options) if kind == "HEIC" else make.encode(image, "AVIF", **options)

    scene = make.scene(48, 64)
    np.testing.assert_allclose(at_full_size(save(scene)).mean(), scene.mean(), atol=2)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = at_full_size(save(scene, exif=exif.tobytes()))
    assert turned.shape == (64, 48, 3)
    upright = at_full_size(save(np.rot90(scene, -1).copy()))
    assert np.abs(turned.astype(int) - upright).mean() < 8
    assert at_full_size(save(np.zeros((16, 16, 4), np.uint8))).min() == 255
    data = save(scene)
    assert load_image(data, (5, 7)).shape == (5, 7, 3)
    for size in (12, 40, len(data) // 2, len(data) - 1):
        with pytest.raises(
            ImageError, match=f"damaged or truncated {kind}|not an image of a known"
        ):
            check_image(data[:size])


def test_heic_without_its_plug_in_says_what_to_install(make, monkeypatch):
    data = heic(make.scene(16, 16))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r"pip install 'keras_mm\[heif\]'"):
        check_image(data)


def test_no_backend_is_imported():
    modules = "keras_mm.data.images.cells, keras_mm.data.images.tf_graph.decoding"
    code = f"import sys, {modules}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                         env={**os.environ})  # fmt: skip
    loaded = set(run.stdout.split())
    assert "keras_mm.data.images.cells" in loaded
    assert not loaded & {"tensorflow", "jax", "torch", "keras", "skimage"}
