"""Micro-batches: what a film gets does not depend on its company, and nobody waits for ever."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_cxr.bundle.micro_batch import MicroBatches
from monai_cxr.bundle.predictor import BatchScores
from monai_cxr.errors import SettingsError


class Doubling:
    """A model whose logits are twice its film; it keeps how many films came together."""

    batch_size = 4

    def __init__(self, embeddings=False):
        self.sizes = []
        self.embeddings = embeddings
        self.gate = Event()
        self.gate.set()
        self.began = Event()

    def score(self, inputs):
        self.began.set()
        assert self.gate.wait(60)
        films = inputs[0]
        if (films < 0).any():
            raise ValueError("a negative film")
        self.sizes.append(len(films))
        values = films.reshape(len(films), -1)[:, :1].astype(np.float64)
        extra = values.astype(np.float32) if self.embeddings else None
        return BatchScores(2 * values, values / 2, extra, None)


def film(*values):
    return [np.array(values, dtype=np.float32).reshape(-1, 1, 1, 1)]


@given(
    askers=st.lists(st.integers(1, 3), min_size=1, max_size=12),
    max_films=st.integers(1, 8),
    max_wait_ms=st.sampled_from([0, 1, 5]),
)
def test_everyone_gets_what_they_would_have_got_alone(askers, max_films, max_wait_ms):
    model = Doubling(embeddings=True)
    starts = np.cumsum([0, *askers])
    wanted = [film(*range(start, start + n)) for start, n in zip(starts, askers, strict=False)]
    with (
        MicroBatches(model, max_films=max_films, max_wait_s=max_wait_ms / 1000) as stream,
        ThreadPoolExecutor(4) as callers,
    ):
        answers = list(callers.map(stream.score, wanted))
    alone = Doubling(embeddings=True)
    for inputs, answer in zip(wanted, answers, strict=True):
        expected = alone.score(inputs)
        assert np.array_equal(answer.logits, expected.logits)
        assert np.array_equal(answer.probabilities, expected.probabilities)
        assert np.array_equal(answer.embeddings, expected.embeddings)
        assert answer.cam is None
    assert sum(model.sizes) == sum(askers)
    assert max(model.sizes) < max_films + max(askers)


def test_films_that_wait_go_together_up_to_the_bound():
    model = Doubling()
    model.gate.clear()
    with MicroBatches(model, max_wait_s=0.0) as stream:
        first = stream.submit(film(0))
        assert model.began.wait(60)  # it is being scored, so the others gather behind it
        others = [stream.submit(film(i)) for i in range(1, 10)]
        model.gate.set()
        assert [float(one.result(60).logits[0, 0]) for one in (first, *others)] == [
            2.0 * i for i in range(10)
        ]
    assert model.sizes == [1, 4, 4, 1]


def test_a_film_alone_is_answered():
    with MicroBatches(Doubling(), max_films=1000, max_wait_s=0.01) as stream:
        assert stream.score(film(3)).logits.tolist() == [[6.0]]


def test_an_error_goes_to_those_who_asked_and_to_nobody_else():
    with MicroBatches(Doubling(), max_films=1) as stream:
        with pytest.raises(ValueError, match="negative"):
            stream.score(film(-1))
        assert stream.score(film(2)).logits.tolist() == [[4.0]]


def test_closing_answers_first_and_refuses_then():
    model = Doubling()
    model.gate.clear()
    stream = MicroBatches(model, max_wait_s=0.0)
    answers = [stream.submit(film(i)) for i in range(6)]
    answers[5].cancel()
    model.gate.set()
    stream.close()
    stream.close()
    assert [float(one.result(0).logits[0, 0]) for one in answers[:5]] == [0, 2, 4, 6, 8]
    assert answers[5].cancelled()
    with pytest.raises(SettingsError, match="closed"):
        stream.submit(film(1))


@pytest.mark.parametrize("options", [{"max_films": 0}, {"max_wait_s": -1}, {"max_wait_s": 61}])
def test_bounds(options):
    with pytest.raises(SettingsError, match="Expected max_films"):
        MicroBatches(Doubling(), **options)


def test_no_film():
    with MicroBatches(Doubling()) as stream, pytest.raises(SettingsError, match="at least one"):
        stream.submit([np.zeros((0, 1, 4, 4), dtype=np.float32)])


def test_an_exported_bundle_says_the_same_to_the_last_bit(exported_bundle, phantom_index):
    from monai_cxr import BundleModel, read_radiograph

    model = BundleModel.load(exported_bundle, device="cpu", runtime="onnx")
    films = [model.prepare(read_radiograph(path))[None] for path in phantom_index.table["path"][:7]]
    alone = [model.score([one]).probabilities for one in films]
    with MicroBatches(model, max_wait_s=0.01) as stream, ThreadPoolExecutor(4) as callers:
        together = list(callers.map(lambda one: stream.score([one]).probabilities, films))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))
