"""Image columns as names, or with the most images of their cells; in every way to give them."""

import pytest

from keras_mm.cli.run_settings import image_names
from keras_mm.settings.image_columns import as_images, image_counts, image_slots
from keras_mm.settings.settings import ConfigError, RunSettings, Settings, settings_from
from keras_mm.settings.toml import read_toml, to_toml

pytestmark = pytest.mark.backend_free


@pytest.mark.parametrize(
    ("images", "counts", "slots"),
    [
        ("a", [("a", None)], ["a"]),
        (["a", "b"], [("a", None), ("b", None)], ["a", "b"]),
        ({"a": 2, "b": 1}, [("a", 2), ("b", 1)], ["a", "a", "b"]),
        ((), [], []),
    ],
)
def test_columns_and_slots(images, counts, slots):
    assert image_counts(images) == counts and image_slots(images) == slots
    assert image_counts(as_images(images)) == counts


@pytest.mark.parametrize("images", [{"a": 0}, {"a": "2"}, {"a": True}, {"a": 1.5}, {1: 2}, [1], 4])
def test_what_is_refused(images):
    with pytest.raises(ConfigError, match="`images` must be column names, or a dict"):
        settings_from({"images": images, "preset": "tiny"}, Settings)


def test_toml_and_back(tmp_path):
    settings = settings_from({"images": {"photos": 4, "cover": 1}, "preset": "tiny"}, RunSettings)
    (tmp_path / "a.toml").write_text(to_toml(settings))
    again = settings_from(read_toml(tmp_path / "a.toml"), RunSettings)
    assert again == settings and again.images == {"photos": 4, "cover": 1}


@pytest.mark.parametrize(
    ("text", "images"),
    [
        ("a, b", ["a", "b"]),
        ("photos:4", {"photos": 4}),
        ("cover,photos:4", {"cover": 1, "photos": 4}),
        ("a:b,:3", ["a:b", ":3"]),
    ],
)
def test_the_flag(text, images):
    assert image_names(text) == images
