"""Parameters of parameters, by the names that scikit-learn gives them."""

import pytest
from sklearn.base import clone

from keras_mm import Augmentation, MultimodalClassifier, SlidingWindow, Training

pytestmark = pytest.mark.backend_free


def test_fields_are_set_from_nothing_and_one_after_the_other():
    model = MultimodalClassifier()
    assert model.set_params(training__clipnorm=0.5, augmentation__flip=True, epochs=3) is model
    model.set_params(training__patience=2, sliding_window__stride=7)
    assert model.training == Training(clipnorm=0.5, patience=2) and model.epochs == 3
    assert model.augmentation == Augmentation(flip=True)
    assert clone(model).sliding_window == SlidingWindow(stride=7)


def test_fields_of_a_dict_and_of_a_new_object():
    model = MultimodalClassifier(training={"decay": "linear"}, sliding_window=True)
    model.set_params(training__warmup=0.0, sliding_window__vote="majority")
    assert model.training == Training(decay="linear", warmup=0.0)
    assert model.sliding_window == SlidingWindow(vote="majority")
    model.set_params(training=Training(gamma=1.0), training__beta=0.5)
    assert model.training == Training(gamma=1.0, beta=0.5)


def test_unknown_names_are_refused():
    model = MultimodalClassifier()
    with pytest.raises(TypeError, match="'patienc'. Did you mean 'patience'"):
        model.set_params(epochs=9, training__patienc=2)
    with pytest.raises(ValueError, match="Invalid parameter 'trainin'"):
        model.set_params(trainin__patience=2)
    assert model.training is None and model.epochs is None
