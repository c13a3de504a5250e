from __future__ import annotations

import itertools

import numpy as np
import pytest
from evaluation_data import scored_labels
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from monai_cxr.errors import InvalidTable
from monai_cxr.evaluation.statistics.discrimination import (
    any_finding,
    auroc,
    average_precision,
    cumulative_counts,
    partial_auroc_of,
    precision_recall_curve_of,
    roc_curve_of,
)
from monai_cxr.evaluation.statistics.rates import rates_at

EXACT = {"rel": 0, "abs": 1e-9}


class TestAgainstScikitLearn:
    @given(scored_labels())
    def test_auroc(self, data):
        scores, labels = data
        assert auroc(scores, labels) == pytest.approx(
            metrics.roc_auc_score(labels, scores), **EXACT
        )

    @given(scored_labels())
    def test_average_precision(self, data):
        scores, labels = data
        expected = metrics.average_precision_score(labels, scores)
        assert average_precision(scores, labels) == pytest.approx(expected, **EXACT)

    @given(scored_labels(), st.sampled_from([0.1, 0.3, 0.77]))
    def test_partial_auroc(self, data, max_fpr):
        scores, labels = data
        expected = metrics.roc_auc_score(labels, scores, max_fpr=max_fpr)
        actual = partial_auroc_of(cumulative_counts(scores, labels), max_fpr=max_fpr)
        assert actual == pytest.approx(expected, **EXACT)

    @given(scored_labels())
    def test_roc_curve(self, data):
        scores, labels = data
        fpr, tpr, thresholds = metrics.roc_curve(labels, scores, drop_intermediate=False)
        curve = roc_curve_of(cumulative_counts(scores, labels))
        for actual, expected in zip(curve, (fpr, tpr, thresholds), strict=True):
            np.testing.assert_allclose(actual, expected, atol=1e-12)

    @given(scored_labels())
    def test_precision_recall_curve(self, data):
        scores, labels = data
        precision, recall, thresholds = metrics.precision_recall_curve(labels, scores)
        actual = precision_recall_curve_of(cumulative_counts(scores, labels))
        np.testing.assert_allclose(actual[0], precision[:-1][::-1], atol=1e-12)
        np.testing.assert_allclose(actual[1], recall[:-1][::-1], atol=1e-12)
        np.testing.assert_allclose(actual[2], thresholds[::-1], atol=1e-12)

    @given(scored_labels(), st.data())
    def test_weights(self, data, more):
        scores, labels = data
        weights = np.array(
            more.draw(st.lists(st.integers(1, 5), min_size=len(labels), max_size=len(labels)))
        )
        expected = metrics.roc_auc_score(labels, scores, sample_weight=weights)
        assert auroc(scores, labels, weights) == pytest.approx(expected, **EXACT)
        expected = metrics.average_precision_score(labels, scores, sample_weight=weights)
        assert average_precision(scores, labels, weights) == pytest.approx(expected, **EXACT)

    def test_every_finding_of_the_published_predictions(self, published):
        for i in range(14):
            p, y = published.probabilities[:, i], published.labels[:, i]
            assert auroc(p, y) == pytest.approx(metrics.roc_auc_score(y, p), **EXACT)
            assert average_precision(p, y) == pytest.approx(
                metrics.average_precision_score(y, p), **EXACT
            )


class TestAgainstTheDefinition:
    @given(scored_labels())
    def test_auroc_counts_pairs(self, data):
        scores, labels = data
        pairs = list(itertools.product(scores[labels == 1], scores[labels == 0]))
        won = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs)
        assert auroc(scores, labels) == pytest.approx(won / len(pairs), **EXACT)


class TestInvariances:
    @given(scored_labels())
    def test_a_monotone_transform_changes_nothing(self, data):
        scores, labels = data
        assert auroc(np.exp(3.0 * scores) - 7.0, labels) == pytest.approx(
            auroc(scores, labels), **EXACT
        )

    @given(scored_labels(unknown=True), st.randoms(use_true_random=False))
    def test_the_order_of_images_changes_nothing(self, data, random):
        scores, labels = data
        order = list(range(len(scores)))
        random.shuffle(order)
        for statistic in (auroc, average_precision):
            assert statistic(scores[order], labels[order]) == pytest.approx(
                statistic(scores, labels), **EXACT
            )

    @given(scored_labels(), st.data())
    def test_a_weight_is_a_repetition(self, data, more):
        scores, labels = data
        n = len(scores)
        weights = np.array(more.draw(st.lists(st.integers(0, 4), min_size=n, max_size=n)))
        for statistic in (auroc, average_precision):
            assert statistic(scores, labels, weights) == pytest.approx(
                statistic(np.repeat(scores, weights), np.repeat(labels, weights)),
                nan_ok=True,
                **EXACT,
            )

    @given(scored_labels(unknown=True))
    def test_unknown_labels_are_left_out(self, data):
        scores, labels = data
        known = ~np.isnan(labels)
        assert auroc(scores, labels) == auroc(scores[known], labels[known])

    @given(scored_labels())
    def test_reversed_scores_mirror_the_area(self, data):
        scores, labels = data
        assert auroc(-scores, labels) == pytest.approx(1.0 - auroc(scores, labels), **EXACT)


class TestGaps:
    @pytest.mark.parametrize("label", [0.0, 1.0, np.nan])
    def test_one_class_has_no_auroc(self, label):
        assert np.isnan(auroc([0.1, 0.2, 0.3], [label] * 3))
        counts = cumulative_counts([0.1, 0.2, 0.3], [label] * 3)
        assert np.isnan(partial_auroc_of(counts, max_fpr=0.2))

    def test_no_positives_have_no_average_precision(self):
        assert np.isnan(average_precision([0.1, 0.2], [0, 0]))

    def test_no_images(self):
        assert np.isnan(auroc([], []))

    def test_equal_scores_rank_nothing(self):
        assert auroc([0.5] * 6, [0, 1, 0, 1, 1, 0]) == 0.5
        assert average_precision([0.5] * 6, [0, 1, 0, 1, 0, 0]) == pytest.approx(2 / 6)

    @pytest.mark.parametrize(
        ("scores", "labels"), [([np.nan, 1.0], [0, 1]), ([0.1, 0.2], [0, 2]), ([0.1], [0, 1])]
    )
    def test_impossible_values_are_refused(self, scores, labels):
        with pytest.raises(InvalidTable):
            auroc(scores, labels)

    def test_negative_weights_are_refused(self):
        with pytest.raises(InvalidTable, match="weights"):
            auroc([0.1, 0.2], [0, 1], [1, -1])

    def test_a_false_positive_rate_above_one_is_refused(self):
        with pytest.raises(InvalidTable, match="max_fpr"):
            partial_auroc_of(cumulative_counts([0.1, 0.2], [0, 1]), max_fpr=1.5)


class TestRates:
    @given(scored_labels(), st.sampled_from([0.1, 0.5, 0.9]))
    @settings(max_examples=50)
    def test_against_the_confusion_matrix(self, data, threshold):
        scores, labels = data
        tn, fp, fn, tp = metrics.confusion_matrix(
            labels, scores >= threshold, labels=[0, 1]
        ).ravel()
        rates = rates_at(scores, labels, threshold)
        assert rates.sensitivity == pytest.approx(tp / (tp + fn), **EXACT)
        assert rates.specificity == pytest.approx(tn / (tn + fp), **EXACT)
        assert rates.ppv == pytest.approx(tp / (tp + fp) if tp + fp else np.nan, nan_ok=True)
        assert rates.npv == pytest.approx(tn / (tn + fn) if tn + fn else np.nan, nan_ok=True)

    def test_likelihood_ratios_against_scikit_learn(self):
        rng = np.random.default_rng(0)
        labels, scores = rng.integers(0, 2, 200), rng.random(200)
        rates = rates_at(scores, labels, 0.4)
        positive, negative = metrics.class_likelihood_ratios(labels, scores >= 0.4)
        assert rates.likelihood_ratio_positive == pytest.approx(positive, **EXACT)
        assert rates.likelihood_ratio_negative == pytest.approx(negative, **EXACT)

    def test_predictive_values_at_the_prevalence_of_the_data_are_those_of_the_data(self):
        rng = np.random.default_rng(1)
        labels, scores = (rng.random(500) < 0.2).astype(float), rng.random(500)
        rates = rates_at(scores, labels, 0.5)
        assert rates.ppv_at(labels.mean()) == pytest.approx(rates.ppv, **EXACT)
        assert rates.npv_at(labels.mean()) == pytest.approx(rates.npv, **EXACT)


class TestAnyFinding:
    def test_noisy_or_and_unknown_labels(self):
        p = np.array([[0.5, 0.5], [0.1, 0.0], [0.0, 0.0]])
        y = np.array([[1.0, np.nan], [0.0, np.nan], [0.0, 0.0]])
        score, label = any_finding(p, y)
        np.testing.assert_allclose(score, [0.75, 0.1, 0.0])
        np.testing.assert_array_equal(label, [1.0, np.nan, 0.0])
