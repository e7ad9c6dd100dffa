import pytest

from keras_mm.metrics import wilson_interval

pytestmark = pytest.mark.backend_free


def test_published_accuracy():
    low, high = wilson_interval(121, 140)
    assert (round(low, 3), round(high, 3)) == (0.798, 0.911)


@pytest.mark.parametrize("total", [1, 7, 101])
def test_holds_the_share_and_stays_within_bounds(total):
    for successes in range(total + 1):
        low, high = wilson_interval(successes, total)
        assert 0 <= low <= successes / total <= high <= 1
        assert low < high
        mirrored = wilson_interval(total - successes, total)
        assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-12)


def test_narrows_with_rows_and_widens_with_confidence():
    def width(*args):
        low, high = wilson_interval(*args)
        return high - low

    assert width(50, 100) > width(500, 1000)
    assert width(50, 100, 0.8) < width(50, 100, 0.95) < width(50, 100, 0.99)


@pytest.mark.parametrize(
    ("args", "match"),
    [
        ((0, 0), "`total`"),
        ((3, 2), "`successes`"),
        ((-1, 2), "`successes`"),
        ((1, 2, 95), "`confidence`"),
    ],
)
def test_mistakes(args, match):
    with pytest.raises(ValueError, match=match):
        wilson_interval(*args)
