"""The exported decoder against Pillow's side: the same files, the same pixels."""

import numpy as np
import pytest

from keras_mm.data.images.cells import load_image
from keras_mm.data.images.files import MAX_PIXELS

tf = pytest.importorskip("tensorflow")
from keras_mm.data.images.tf_graph.decoding import decode_images  # noqa: E402

pytestmark = pytest.mark.backend_free

SIZES = [(23, 29), (112, 104)]


@pytest.fixture(scope="module", params=SIZES, ids=str)
def size(request):
    return request.param


@pytest.fixture(scope="module")
def decode(size, tmp_path_factory):
    """The decoder saved, and loaded again: what a server runs."""
    module = tf.Module()
    spec = [tf.TensorSpec([None], tf.string)]
    module.decode = tf.function(lambda encoded: decode_images(encoded, size), spec)
    folder = str(tmp_path_factory.mktemp("graph"))
    tf.saved_model.save(module, folder)
    loaded = tf.saved_model.load(folder)
    return lambda files: [part.numpy() for part in loaded.decode(tf.constant(files, tf.string))]


@pytest.mark.slow
def test_every_kind_of_file_equals_pillow(decode, size, encoded_images):
    images, present = decode(list(encoded_images.values()))
    assert images.dtype == np.float32
    assert present.all()
    wrong, differing = {}, 0
    for name, data, image in zip(encoded_images, encoded_images.values(), images, strict=True):
        gap = np.abs(image - load_image(data, size))
        differing += np.count_nonzero(gap)
        if gap.max() > 1:
            wrong[name] = gap.max()
    assert not wrong
    assert differing <= 1e-6 * images.size


def test_files_of_every_colour_type_and_orientation_are_among_them(encoded_images):
    """The test above proves as much as the files it gets."""
    for start, number in {"png": 60, "jpeg": 45, "gif": 12, "bmp": 8}.items():
        assert sum(name.startswith(start) for name in encoded_images) >= number
    levels = {load_image(data, (5, 7)).tobytes() for data in encoded_images.values()}
    assert len(levels) > 80


def test_missing_images_are_zero_and_masked(decode, size, encoded_images):
    files = [b"", encoded_images["gif"], b"", encoded_images["bmp"]]
    images, present = decode(files)
    assert present.tolist() == [False, True, False, True]
    assert images.shape == (4, *size, 3)
    assert not images[[0, 2]].any()
    np.testing.assert_array_equal(images[1], load_image(files[1], size))


def test_an_image_alone_equals_the_image_in_a_batch(decode, encoded_images):
    files = list(encoded_images.values())[::9]
    together = decode(files)[0]
    for file, image in zip(files, together, strict=True):
        np.testing.assert_array_equal(decode([file])[0][0], image)


def test_an_empty_batch(decode, size):
    images, present = decode([])
    assert images.shape == (0, *size, 3)
    assert present.shape == (0,)


def refusal(decode, *files):
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        decode(list(files))
    return str(caught.value)


def test_other_formats_are_named_and_refused(decode, make):
    scene = make.scene(8, 8)
    png = make.encode(scene, "PNG")
    for kind, told in {
        "WEBP": "a WebP file",
        "TIFF": "a TIFF file",
        "AVIF": "an AVIF or HEIC file",
    }.items():
        message = refusal(decode, png, b"", make.encode(scene, kind))
        assert f"image 2 of the batch must be JPEG, PNG, GIF or BMP, but is {told}" in message
    assert "image 0 of the batch" in refusal(decode, b"text")
    assert "of an unknown format" in refusal(decode, b"B")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP"])
def test_cut_off_files_are_refused(decode, make, kind):
    noise = np.random.default_rng(0).integers(0, 256, (61, 67), np.uint8)
    data = make.encode(noise, kind)
    decode([data])
    for part in (4, 9, 20, 31, len(data) // 2, len(data) - 7):
        if kind != "GIF" or part <= len(data) // 2:  # TensorFlow forgives a GIF its last bytes
            refusal(decode, data[:part])


def test_huge_images_are_refused_by_their_header(decode, make):
    png = bytearray(make.encode(make.scene(8, 8), "PNG"))
    png[16:24] = (40_000).to_bytes(4) * 2
    assert f"{MAX_PIXELS:,}" in refusal(decode, bytes(png))


def test_packed_bmp_files_are_refused(decode, make):
    four_bits = make.encode(make.scene(8, 8, 1)[..., 0] > 99, "BMP")
    assert "save it as PNG" in refusal(decode, four_bits)
    rgba = make.bmp(make.scene(8, 8, 4), masks=(0xFF, 0xFF00, 0xFF0000, 0xFF000000), header=108)
    assert "save it as PNG" in refusal(decode, rgba)


def test_alpha_is_laid_on_white_as_pillow_does(make):
    color, alpha = np.meshgrid(np.arange(256), np.arange(256))
    square = np.stack([color, 255 - color, color, alpha], -1).astype(np.uint8)
    image = decode_images(tf.constant([make.encode(square, "PNG")]), (256, 256))[0][0]
    np.testing.assert_array_equal(image, load_image(square, (256, 256)))


@pytest.mark.parametrize("pattern", ["emoji/*/*.png", "vqa_rad/images/*.jpg"])
def test_real_files_equal_pillow(decode, size, shared, pattern):
    paths = sorted((shared / "data").glob(pattern))
    paths = paths[:: max(1, len(paths) // 100)]
    images = decode([path.read_bytes() for path in paths])[0]
    gap = np.abs(images - np.stack([load_image(path, size) for path in paths]))
    assert gap.max() <= 1
    assert np.count_nonzero(gap) <= 1e-6 * gap.size


def test_large_png_files_are_resized_in_blocks(make, monkeypatch):
    from keras_mm.data.images.tf_graph import graph_pixels as image_graph_pixels

    png = make.encode(make.scene(67, 71), "PNG")
    whole = decode_images(tf.constant([png]), (13, 11))[0]
    monkeypatch.setattr(image_graph_pixels, "_BLOCK", 1)
    np.testing.assert_array_equal(decode_images(tf.constant([png]), (13, 11))[0], whole)
