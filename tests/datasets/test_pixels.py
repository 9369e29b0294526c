"""Pixels of every kind of file become the 8-bit sRGB values that the file says, derived by hand."""

import numpy as np
import pytest
from PIL import Image, ImageCms

import datasets.colours as colours
from datasets.image_files import describe_pixels, read_header
from datasets.pictures import PictureFile, read_masks, read_picture
from settings.errors import InputError
from tests.datasets.written_pictures import grey_profile, png, tiff

WIDE = {0: 0, 128: 0, 129: 1, 257: 1, 385: 1, 386: 2, 40000: 156, 65535: 255}  # 16 bits, and v / 257 rounded
V = np.array(list(WIDE), np.uint16)
NARROW = np.array(list(WIDE.values()))
TO_SRGB = {  # linear values to linear sRGB, as published for these primaries with white D65
    "Display P3": np.array([[1.2249, -0.2247, 0], [-0.0420, 1.0419, 0], [-0.0197, -0.0786, 1.0979]]),
    "Adobe RGB": np.array([[1.39836, -0.39836, 0], [0, 1, 0], [0, -0.04293, 1.04293]]),
}
SAMPLES = np.uint8([[[128, 128, 128], [200, 100, 50], [60, 180, 90], [255, 255, 255], [30, 20, 200]]])


def read(path, mode="RGB"):
    header = read_header(path)
    return read_picture(PictureFile(path, *header.size()), mode)[0]


def encoded(linear):
    """sRGB's value, 0 to 255, of linear light."""
    linear = np.clip(linear, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def decoded(values):
    values = values / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


# 16 bits


def test_grey_of_16_bits(tmp_path):
    for path in (
        png(tmp_path / "a.png", V[None, :, None]),
        tiff(tmp_path / "l.tif", V[None, :, None], photometric=1),
        tiff(tmp_path / "b.tif", V[None, :, None], ">", photometric=1),
        tiff(tmp_path / "d.tif", V[None, :, None], deflated=True, photometric=1),
    ):
        assert read(path)[0].tolist() == [[v] * 3 for v in NARROW], path
    assert read(tiff(tmp_path / "w.tif", V[None, :, None], photometric=0))[0, :, 0].tolist() == (255 - NARROW).tolist()


@pytest.mark.parametrize("channels", [3, 4])
def test_colours_of_16_bits(tmp_path, channels):
    values = np.stack([np.roll(V, k) for k in range(channels)], -1)[None]
    expected = np.stack([np.roll(NARROW, k) for k in range(channels)], -1)
    mode = "RGBA" if channels == 4 else "RGB"
    extra = 2 if channels == 4 else None
    paths = [
        png(tmp_path / "a.png", values),
        *(
            tiff(tmp_path / f"{order == '<'}{deflated}.tif", values, order, deflated, extra)
            for order in "<>"
            for deflated in (False, True)
        ),
    ]
    for path in paths:
        read_values, _ = read_picture(PictureFile(path, len(V), 1), mode)
        shown = expected[:, 3] > 0 if channels == 4 else slice(None)
        assert read_values[0][shown].tolist() == expected[shown].tolist(), path


def test_grey_and_alpha_of_16_bits(tmp_path):
    values = np.stack([V, np.full_like(V, 65535)], -1)[None]
    assert read(png(tmp_path / "a.png", values), "RGBA")[0].tolist() == [[v, v, v, 255] for v in NARROW]


def test_a_transparent_colour_of_16_bits_is_that_colour_alone(tmp_path):
    values = np.uint16([[[256, 0, 0], [257, 0, 0]]])
    path = png(tmp_path / "a.png", values, {b"tRNS": np.array([257, 0, 0], ">u2").tobytes()})
    assert read_header(path).alpha
    assert read(path, "RGBA")[0].tolist() == [[1, 0, 0, 255], [1, 0, 0, 0]]


def test_colours_multiplied_by_alpha_are_divided(tmp_path):
    for dtype, top in ((np.uint8, 255), (np.uint16, 65535)):
        alpha = top // 3
        values = np.array([[[alpha // 5, alpha, 0, alpha], [0, 0, 0, 0]]], dtype)
        for order in "<>":
            path = tiff(tmp_path / "a.tif", values, order, extra=1)
            assert read(path, "RGBA")[0].tolist() == [[51, 255, 0, 85], [0, 0, 0, 0]]


def test_masks_of_16_bits(tmp_path):
    """Labels count, although they would round to 0; grey values count from a quarter on."""
    for values, expected in (([0, 1, 2, 3], [0, 255, 255, 255]), ([0, 65535, 20000, 3000], [0, 255, 255, 0])):
        path = png(tmp_path / "m.png", np.uint16(values)[None, :, None])
        assert read_masks([PictureFile(path, 4, 1)])[0][0].tolist() == expected


# Other kinds of pixels


def test_inks_without_a_profile(tmp_path):
    inks = (40, 100, 200, 30)
    expected = [(255 - ink) * (255 - inks[3]) / 255 for ink in inks[:3]]
    Image.new("CMYK", (16, 16), inks).save(tmp_path / "a.jpg", quality=100)
    Image.new("CMYK", (16, 16), inks).save(tmp_path / "a.tif")
    for name in ("a.jpg", "a.tif"):
        np.testing.assert_allclose(read(tmp_path / name)[3, 3], expected, atol=2, err_msg=name)


def test_lab(tmp_path):
    """L* 100 is white, 50 is 18.4 % of its light, which sRGB writes as 119."""
    for lightness, value in ((255, 255), (128, 119), (0, 0)):
        Image.new("LAB", (4, 4), (lightness, 128, 128)).save(tmp_path / "a.tif")
        np.testing.assert_allclose(read(tmp_path / "a.tif")[1, 1], [value] * 3, atol=1)


def test_palettes_bits_and_greys_with_alpha(tmp_path):
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 200, 150, 100])
    palette.putdata([0, 1])
    palette.save(tmp_path / "p.png", transparency=bytes([255, 80]))
    assert read(tmp_path / "p.png", "RGBA")[0].tolist() == [[10, 20, 30, 255], [200, 150, 100, 80]]
    palette.save(tmp_path / "one.png", transparency=0)
    assert read(tmp_path / "one.png", "RGBA")[0].tolist() == [[0, 0, 0, 0], [200, 150, 100, 255]]
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "b.png")
    assert read(tmp_path / "b.png")[0].tolist() == [[255] * 3, [0] * 3]
    Image.fromarray(np.uint8([[[90, 255], [40, 128]]])).save(tmp_path / "la.png")
    assert read(tmp_path / "la.png", "RGBA")[0].tolist() == [[90, 90, 90, 255], [40, 40, 40, 128]]


def test_floats_and_whole_numbers_of_32_bits_are_refused(tmp_path):
    for dtype in (np.float32, np.int32):
        Image.fromarray(np.zeros((4, 4), dtype)).save(tmp_path / "a.tif")
        with pytest.raises(InputError, match=r"has pixels of type [FI]: save it as 8-bit RGBA"):
            read_header(tmp_path / "a.tif")


def test_the_first_picture_of_several(tmp_path):
    first, second = (Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 0, 255)))
    for name in ("a.png", "a.webp", "a.tif"):
        first.save(tmp_path / name, save_all=True, append_images=[second], **({"lossless": True} if "webp" in name else {}))
        assert read(tmp_path / name)[3, 3].tolist() == [255, 0, 0]
    said = describe_pixels([read_header(tmp_path / name) for name in ("a.png", "a.webp", "a.tif")], "here")
    assert said == "here: 3 of 3 picture files are animated or hold several pictures: the first one is read"


def test_the_content_tells_the_format_whatever_the_name_ends_with(tmp_path):
    Image.new("RGB", (16, 16), (50, 60, 70)).save(tmp_path / "a.png", "JPEG", quality=100)
    np.testing.assert_allclose(read(tmp_path / "a.png")[5, 5], [50, 60, 70], atol=2)
    Image.new("RGB", (16, 16)).save(tmp_path / "b.png", "GIF")
    with pytest.raises(InputError, match=r"b\.png cannot be decoded as an image: it is not a PNG, JPEG, WEBP, TIFF or BMP file"):
        read_header(tmp_path / "b.png")


# Colour profiles


@pytest.mark.parametrize(
    ("name", "primaries", "curve", "linear"),
    [
        ("Display P3", colours.DISPLAY_P3, colours.SRGB_CURVE, decoded),
        ("Adobe RGB", colours.ADOBE_RGB, (563 / 256,), lambda values: (values / 255) ** 2.19921875),
    ],
)
@pytest.mark.parametrize("ending", ["png", "webp", "tif", "alpha.png"])
def test_colours_of_wider_gamuts(tmp_path, name, primaries, curve, linear, ending):
    profile = colours.matrix_profile(primaries, colours.D65, curve)
    image, path = Image.fromarray(SAMPLES), tmp_path / f"a.{ending}"
    if ending == "alpha.png":
        image.putalpha(77)
    image.save(path, icc_profile=profile, **({"lossless": True} if ending == "webp" else {}))
    found = read(path, "RGBA" if ending == "alpha.png" else "RGB")
    np.testing.assert_allclose(found[..., :3], encoded(linear(SAMPLES) @ TO_SRGB[name].T), atol=1.01)
    assert ending != "alpha.png" or (found[..., 3] == 77).all()


def test_srgb_and_what_says_nothing_stay_as_they_are(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    ours = colours.matrix_profile(colours.SRGB, colours.D65, colours.SRGB_CURVE)
    gamma = np.array([45455], ">u4").tobytes()
    files = [
        png(tmp_path / "plain.png", values),
        png(tmp_path / "chunk.png", values, {b"sRGB": b"\0", b"gAMA": b"\0\1\x86\xa0"}),
        png(tmp_path / "gamma.png", values, {b"gAMA": gamma}),
        png(tmp_path / "cicp.png", values, {b"cICP": b"\1\x0d\0\1"}),
    ]
    for name, profile in (("icc.png", srgb), ("ours.png", ours)):
        Image.fromarray(values).save(tmp_path / name, icc_profile=profile)
        files.append(tmp_path / name)
    for path in files:
        assert (read(path) == values).all(), path
    assert describe_pixels([read_header(path) for path in files], "here") == ""


def test_greys_by_their_gamma(tmp_path):
    values = np.uint8([[0, 40, 128, 255]])
    expected = encoded((values / 255) ** 1.8)
    for mode, image in (("RGB", Image.fromarray(values)), ("RGBA", Image.merge("LA", [Image.fromarray(values)] * 2))):
        image.save(tmp_path / "a.png", icc_profile=grey_profile(1.8))
        found = read(tmp_path / "a.png", mode)
        shown = values[0] > 0
        np.testing.assert_allclose(found[0, shown, :3], np.repeat(expected[0, shown, None], 3, 1), atol=1.01)
        assert mode == "RGB" or (found[..., 3] == values).all()


def test_chunks_of_png(tmp_path):
    """gAMA 1: values are linear light. cHRM and cICP: Display P3."""
    linear = png(tmp_path / "g.png", SAMPLES, {b"gAMA": np.array([100000], ">u4").tobytes()})
    np.testing.assert_allclose(read(linear), encoded(SAMPLES / 255), atol=1.01)
    expected = encoded(decoded(SAMPLES) @ TO_SRGB["Display P3"].T)
    gamma, xy = np.array([45455], ">u4"), np.array([31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000], ">u4")
    wide = png(tmp_path / "c.png", SAMPLES, {b"gAMA": gamma.tobytes(), b"cHRM": xy.tobytes()})
    np.testing.assert_allclose(read(wide), expected, atol=1.01)
    np.testing.assert_allclose(read(png(tmp_path / "p.png", SAMPLES, {b"cICP": b"\x0c\x0d\0\1"})), expected, atol=1.01)
    with pytest.raises(InputError, match="cICP chunk"):
        read_header(png(tmp_path / "h.png", SAMPLES, {b"cICP": b"\x09\x10\0\1"}))


def test_cameras_that_say_adobe_rgb_in_exif_alone(tmp_path):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA005] = {1: "R03"}
    Image.fromarray(np.repeat(np.repeat(SAMPLES, 16, 0), 16, 1)).save(tmp_path / "a.jpg", exif=exif, quality=100, subsampling=0)
    assert read_header(tmp_path / "a.jpg").colours == "Adobe RGB by EXIF"
    expected = encoded((SAMPLES / 255) ** 2.19921875 @ TO_SRGB["Adobe RGB"].T)
    np.testing.assert_allclose(read(tmp_path / "a.jpg")[8, 8::16], expected[0], atol=3)


def test_what_is_converted_is_said_once_and_a_damaged_profile_is_told(tmp_path):
    profile = colours.matrix_profile(colours.DISPLAY_P3, colours.D65, colours.SRGB_CURVE)
    for name, data in (("a.png", profile), ("b.png", None), ("c.png", profile[:200])):
        Image.fromarray(SAMPLES).save(tmp_path / name, icc_profile=data)
    said = describe_pixels([read_header(tmp_path / name) for name in ("a.png", "b.png", "a.png")], "here")
    assert said == "here: the colours of 2 of 3 pictures are converted to sRGB from their colour profile (RGB)"
    with pytest.raises(InputError, match=r"c\.png: its colour profile is damaged"):
        read_header(tmp_path / "c.png")
