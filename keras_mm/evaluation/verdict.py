"""One sentence: whether a model is better than the best baseline, and by how much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from keras_mm.evaluation.differences import COMPARED
from keras_mm.metrics.classification import lower_is_better
from keras_mm.settings.heads import Head

_NAMES = {
    "accuracy": "accuracy",
    "subset_accuracy": "share of rows with all labels right",
    "log_loss": "log loss",
    "mean_absolute_error": "mean absolute error",
    "r2": "R²",
}
_WITH_UNIT = ("mean_absolute_error",)
_PROBE = "_probe"


@dataclass(frozen=True)
class Verdict:
    """Whether a model is better than the best baseline.

    Attributes:
        better: Whether it is significantly better by the main score.
        headline: A short sentence.
        sentence: A sentence with scores, differences and their 95% intervals.
    """

    better: bool
    headline: str
    sentence: str


def find_verdict(
    head: Head,
    metrics: Mapping[str, Any],
    baselines: Mapping[str, Mapping[str, Any]],
    differences: Mapping[str, Mapping[str, Mapping[str, Any]]],
) -> Verdict:
    """Compares a model with its best baseline: the one with the best score on the same rows.

    Args:
        head: The head.
        metrics: Metrics of the model; empty if no row has a label.
        baselines: Metrics of each baseline by name, at least one.
        differences: What `keras_mm.evaluation.differences.score_differences` returned, by name of
            the baseline.

    Returns:
        The verdict, by the two scores of `keras_mm.evaluation.differences.COMPARED`. A baseline
        named `..._probe` uses encoders that were trained with the model. If it is the best one, and
        the model is not better, the sentence also names the best other baseline.
    """
    if not metrics:
        return Verdict(False, "Not evaluated.", "No row has a label of this head.")
    main, second = COMPARED[head.kind]
    lead = _Lead.over_best(main, baselines, differences)
    best = "the best baseline" if len(baselines) > 1 else "the baseline"
    clauses = [f"{_scored(main, metrics)}: {lead.phrase(best)}"]
    if lead.name.endswith(_PROBE) and lead.outcome != "better than":
        others = {name: m for name, m in baselines.items() if not name.endswith(_PROBE)}
        other = _Lead.over_best(main, others, differences)
        clauses.append(other.phrase("the best baseline without encoders of this model"))
    clauses.append(
        f"{_scored(second, metrics)}, {_Lead.over_best(second, baselines, differences).phrase()}"
    )
    sentence = "; ".join(clauses)
    return Verdict(
        lead.outcome == "better than",
        f"{lead.outcome} {best}.".capitalize(),
        f"{sentence[0].upper()}{sentence[1:]}.",
    )


@dataclass(frozen=True)
class _Lead:
    """A baseline, and by how much a model is better by one score; below 0 it is worse."""

    score: str
    name: str
    value: float
    ahead: float
    interval: list[float]
    significant: bool

    @classmethod
    def over_best(cls, score: str, baselines: Mapping, differences: Mapping) -> _Lead:
        """The lead over the baseline with the best score."""
        sign = -1 if lower_is_better(score) else 1
        best = max(baselines, key=lambda name: sign * baselines[name][score])
        found = differences[best][score]
        interval = sorted(sign * end for end in found["interval"])
        ahead = sign * found["difference"]
        return cls(score, best, baselines[best][score], ahead, interval, found["significant"])

    @property
    def outcome(self) -> str:
        if not self.significant:
            return "not distinguishable from"
        return "better than" if self.ahead > 0 else "worse than"

    def phrase(self, baseline: str = "") -> str:
        """The comparison, such as "better than lexical (.771) by .112 [.080, .145]"."""
        name, value = self.name.replace("_", " "), _number(self.score, self.value)
        named = f"{baseline} ({name}, {value})" if baseline else f"{name} ({value})"
        sign = -1 if self.significant and self.ahead < 0 else 1
        ends = sorted(sign * end for end in self.interval)
        amounts = [_number(self.score, number) for number in (sign * self.ahead, *ends)]
        difference = f"{amounts[0]} [{amounts[1]}, {amounts[2]}]"
        by = " by " if self.significant else ", ahead by "
        return f"{self.outcome} {named}{by}{difference}"


def _scored(score: str, metrics: Mapping[str, Any]) -> str:
    """A score of the model with its interval, such as "accuracy .883 [.856, .908]"."""
    text = f"{_NAMES[score]} {_number(score, metrics[score])}"
    if f"{score}_interval" not in metrics:
        return text
    return "{} [{}, {}]".format(text, *(_number(score, v) for v in metrics[f"{score}_interval"]))


def _number(score: str, value: float) -> str:
    """A number; scores without a unit have three decimals and no zero before the point."""
    if score in _WITH_UNIT:
        return f"{value:.4g}"
    text = f"{value:z.3f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 and not text.endswith("1.000") else text
