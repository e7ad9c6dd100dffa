"""Encoded images of every kind, drawn here: names say what is special about each."""

import io
import struct
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

PASSES = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2),
          (1, 0, 2, 1)]  # fmt: skip


def draw_scene(height, width, bands=3, seed=0):
    """Smooth waves with noise and one hard edge."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width][..., None]
    band = np.arange(bands)
    waves = 127 + 110 * np.sin(x / (5 + 3 * band) + y / (9 - band))
    waves[height // 3 :, width // 2 :] = 255 - waves[height // 3 :, width // 2 :]
    return (waves + rng.normal(0, 12, waves.shape)).clip(0, 255).astype(np.uint8)


def encode(image, kind, **options):
    file = io.BytesIO()
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(file, kind, **options)
    return file.getvalue()


def build_exif(orientation, order="<", kind=3):
    """A TIFF block with another tag before the orientation and one behind."""
    head = {"<": b"II*\0", ">": b"MM\0*"}[order]
    tags = [(0x010F, 3, 1, 77), (0x0112, kind, 1, orientation), (0x0128, 3, 1, 2)]
    entries = b"".join(struct.pack(order + "HHIHxx", *tag) for tag in tags)
    return head + struct.pack(order + "IH", 8, len(tags)) + entries + bytes(4)


def with_exif(jpeg, tiff):
    """The JPEG file with an EXIF segment behind its first one."""
    at = 4 + int.from_bytes(jpeg[4:6])
    segment = b"Exif\0\0" + tiff
    return jpeg[:at] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[at:]


def build_chunk(name, content):
    check = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)


def build_png(samples, depth, color_type, chunks=(), interlaced=False):
    """A PNG file with the given samples `(H, W, C)` as they stand."""
    height, width = samples.shape[:2]
    passes = [samples[y::dy, x::dx] for y, x, dy, dx in PASSES] if interlaced else [samples]
    content = b"".join(_pack(part, depth) for part in passes if part.size)
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, int(interlaced))
    chunks = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(content)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(build_chunk(*chunk) for chunk in chunks)


def _pack(samples, depth):
    rows = samples.reshape(len(samples), -1)
    if depth == 16:
        rows = rows.astype(">u2").view(np.uint8)
    elif depth < 8:
        bits = (rows[..., None] >> np.arange(depth)[::-1]) & 1
        rows = np.packbits(bits.reshape(len(rows), -1).astype(np.uint8), axis=1)
    return b"".join(b"\0" + row.astype(np.uint8).tobytes() for row in rows)


def build_bmp(pixels, *, masks=(), header=40, downwards=False, tail=b""):
    """A BMP file of `(H, W, 3 or 4)` samples in file order."""
    height, width, bands = pixels.shape
    lines = pixels if downwards else pixels[::-1]
    lines = np.pad(lines.reshape(height, -1), [(0, 0), (0, -width * bands % 4)])
    size = -height if downwards else height
    packing = 3 if masks else 0
    info = struct.pack("<IiiHHIIiiII", header, width, size, 1, 8 * bands, packing, 0, 0, 0, 0, 0)
    info = (info + struct.pack(f"<{len(masks)}I", *masks)).ljust(header, b"\0")
    start = 14 + len(info)
    return (
        struct.pack("<2sIII", b"BM", start + lines.size, 0, start) + info + lines.tobytes() + tail
    )


def draw_palette(**options):
    indices = np.random.default_rng(1).integers(0, 40, (37, 53)).astype(np.uint8)
    image = Image.fromarray(indices)
    image.putpalette(np.random.default_rng(2).integers(0, 256, 768).astype(np.uint8).tobytes())
    for name, value in options.items():
        image.info[name] = value
    return image


def _pngs():
    rng = np.random.default_rng(3)
    bands = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
    for color_type, depths in {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16),
                               6: (8, 16)}.items():  # fmt: skip
        for depth in depths:
            samples = rng.integers(0, 2**depth, (29, 43, bands[color_type]))
            samples[5:20, 7:30] = samples[0, 0]
            keys = {0: np.array(samples[0, 0], ">u2"), 2: np.array(samples[0, 0], ">u2"),
                    3: rng.integers(0, 256, min(2**depth, 200), np.uint8)}  # fmt: skip
            palette = rng.integers(0, 256, (2**depth % 65536, 3), np.uint8).tobytes()
            chunks = [(b"PLTE", palette)] if color_type == 3 else []
            for key in (None, keys[color_type]) if color_type in keys else (None,):
                more = [] if key is None else [(b"tRNS", key.tobytes())]
                for interlaced in (False, True):
                    name = f"png type {color_type}, {depth} bits" + ", transparent" * bool(more)
                    png = build_png(samples, depth, color_type, chunks + more, interlaced)
                    yield name + ", interlaced" * interlaced, png
    frames = [Image.fromarray(draw_scene(31, 41, 4, seed)) for seed in range(3)]
    yield "png animated", encode(frames[0], "PNG", save_all=True, append_images=frames[1:])
    samples = np.tile(np.array([7, 8, 9]) << 8, (29, 43, 1))
    samples[3:20, 7:30] = [7, 8, 9]
    key = (b"tRNS", struct.pack(">HHH", 7, 8, 9))
    yield "png transparent in one byte of 16 bits", build_png(samples, 16, 2, [key])
    yield "png gamma", build_png(draw_scene(31, 41), 8, 2, [(b"gAMA", struct.pack(">I", 220000))])
    for orientation in range(1, 10):
        chunk = (b"eXIf", build_exif(orientation, "<>"[orientation % 2]))
        yield f"png orientation {orientation}", build_png(draw_scene(31, 41), 8, 2, [chunk])
    yield "png palette", encode(draw_palette(), "PNG")
    yield "png palette, one transparent", encode(draw_palette(), "PNG", transparency=3)
    yield "png palette, alphas", encode(draw_palette(), "PNG", transparency=bytes(range(0, 200, 5)))


def _jpegs():
    for sampling in (0, 1, 2):
        for progressive in (False, True):
            options = {"quality": 85, "subsampling": sampling, "progressive": progressive}
            name = f"jpeg sampling {sampling}" + ", progressive" * progressive
            yield name, encode(draw_scene(97, 131), "JPEG", **options)
            inks = Image.frombytes("CMYK", (131, 97), draw_scene(97, 131, 4).tobytes())
            cmyk = encode(inks, "JPEG", **options)
            yield name + ", CMYK", cmyk
            at = cmyk.index(b"Adobe") - 4
            yield name + ", CMYK not Adobe's", cmyk[:at] + cmyk[at + 16 :]
    yield "jpeg gray", encode(draw_scene(97, 131, 1)[..., 0], "JPEG")
    for order in "<>":
        for orientation in range(10):
            jpeg = encode(draw_scene(100, 261), "JPEG", subsampling=0)
            name = f"jpeg orientation {orientation} {order}"
            yield name, with_exif(jpeg, build_exif(orientation, order))
    jpeg = encode(draw_scene(37, 53), "JPEG")
    yield "jpeg orientation of another type", with_exif(jpeg, build_exif(6, kind=4))
    yield "jpeg exif cut off", with_exif(jpeg, build_exif(6)[:25])
    yield "jpeg exif far away", with_exif(jpeg, b"II*\0\xff\xff\xff\xff")
    yield "jpeg exif empty", with_exif(jpeg, b"")
    yield "jpeg with a tail", jpeg + b"tail" * 9
    turned = with_exif(jpeg, build_exif(6))
    yield "jpeg filled with 0xff", turned[:2] + b"\xff" * 3 + turned[2:]
    for height, width in ((16, 16), (64, 64), (112, 208), (111, 209), (224, 416), (448, 832),
                          (447, 833)):  # fmt: skip
        yield f"jpeg {height} x {width}", encode(draw_scene(height, width), "JPEG", quality=92)


def _gifs():
    yield "gif", encode(draw_palette(), "GIF")
    yield "gif interlaced", encode(draw_palette(), "GIF", interlace=1)
    clear = encode(draw_palette(), "GIF", transparency=3)
    yield "gif transparent", clear
    frames = [Image.fromarray(draw_scene(31, 41, seed=seed)) for seed in range(3)]
    options = {"save_all": True, "append_images": frames[1:], "duration": 40, "loop": 0}
    yield "gif animated", encode(frames[0], "GIF", **options, comment=b"c" * 300)
    layers = [frame.quantize(9) for frame in frames]
    options["append_images"] = layers[1:]
    yield (
        "gif animated, transparent",
        encode(layers[0], "GIF", **options, transparency=2, disposal=2),
    )
    plain = encode(draw_palette(), "GIF", interlace=0)
    for name, file in (("", plain), (", transparent", clear)):
        wide = file[:6] + struct.pack("<HH", 60, 47) + file[10:]
        yield "gif smaller than its canvas" + name, wide
        at = wide.index(b"\x2c", 13 + 3 * 2 ** (1 + wide[10] % 8))
        moved = wide[: at + 1] + struct.pack("<HH", 5, 3) + wide[at + 5 :]
        yield "gif off its corner" + name, moved
        local = file[:10] + bytes([file[10] & 0x7F]) + file[11:13]
        palette, rest = file[13 : at - len(wide)], b""
        size = 3 * 2 ** (1 + file[10] % 8)
        palette, rest = file[13 : 13 + size], file[13 + size :]
        at = len(rest) - (len(wide) - at)
        flags = bytes([0x80 | file[10] % 8 | rest[at + 9] & 0x40])
        rest = rest[: at + 9] + flags + palette + rest[at + 10 :]
        yield "gif local palette" + name, local + rest
    yield "gif larger than its canvas", plain[:6] + struct.pack("<HH", 20, 11) + plain[10:]


def _bmps():
    scene = draw_scene(31, 41)
    yield "bmp", encode(scene, "BMP")
    yield "bmp gray", encode(scene[..., 0], "BMP")
    yield "bmp palette", encode(draw_palette(), "BMP")
    alpha = draw_scene(31, 41, 4)
    bgr = (0xFF0000, 0xFF00, 0xFF)
    yield "bmp 32 bits", build_bmp(alpha)
    yield "bmp 32 bits, masks", build_bmp(alpha, masks=bgr, header=56)
    yield "bmp alpha", build_bmp(alpha, masks=(*bgr, 0xFF000000), header=108)
    yield "bmp alpha, v5", build_bmp(alpha, masks=(*bgr, 0xFF000000), header=124, tail=b"xx")
    yield "bmp downwards", build_bmp(scene, downwards=True)
    yield "bmp with a tail", build_bmp(scene, tail=b"\0\0\0")


def _shapes():
    for height, width in ((1, 1), (1, 61), (61, 1), (2, 3), (3, 997), (997, 3), (13, 26)):
        yield f"png {height} x {width}", encode(draw_scene(height, width), "PNG")
        yield f"jpeg of {height} x {width}", encode(draw_scene(height, width), "JPEG")


@pytest.fixture(scope="session")
def encoded_images() -> dict[str, bytes]:
    """Files that Pillow and the exported graph must decode alike."""
    images: dict[str, bytes] = {}
    for family in (_pngs, _jpegs, _gifs, _bmps, _shapes):
        for name, data in family():
            assert images.setdefault(name, data) is data, f"two images are named {name!r}"
    return images


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """The functions that draw and encode these images, for tests that need another one."""
    return SimpleNamespace(
        scene=draw_scene, encode=encode, exif=build_exif, with_exif=with_exif, png=build_png,
        chunk=build_chunk, bmp=build_bmp, palette=draw_palette,
    )  # fmt: skip
