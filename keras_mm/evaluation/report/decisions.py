"""Describes measured decisions: sets, abstention, temperature, and thresholds or costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_mm.evaluation.report.formats import Table, percent
from keras_mm.evaluation.results import HeadEvaluation

DECISIONS_NOTE = (
    "Decisions were fitted on {rows} held-out rows{kind}. Sets are conformal: they promise to have "
    "all labels of a row in {asked} of new rows like these. A row is answered if the model is as "
    "sure as it was on held-out rows of which {asked} were right."
)
_KINDS = {"out_of_fold": " (out of fold)", "validation": " (validation)", "rows": ""}


def decision_table(result: HeadEvaluation) -> Table:
    """Lists how the decisions of a head do on the test rows.

    Args:
        result: The results of a head.

    Returns:
        A table with a name and a value in each row; without rows if no decisions were fitted.
    """
    found = result.metrics.get("decisions")
    if not found:
        return Table(("Decision", "Test rows"), ())
    rows = _of_intervals(found) if result.head.kind == "regression" else _of_labels(found)
    return Table(("Decision", "Test rows"), rows)


def decision_note(result: HeadEvaluation) -> str:
    """Says what the decisions of a head were fitted on, and what they promise.

    Args:
        result: The results of a head.

    Returns:
        Sentences; empty if no decisions were fitted.
    """
    found = result.metrics.get("decisions")
    if not found:
        return ""
    if result.head.kind == "regression":
        return (
            f"Intervals were fitted on {found['held_out_rows']} held-out rows"
            f"{_KINDS[found['source']]}, to have the target of {percent(1 - found['error'])} of "
            "new rows like these."
        )
    return DECISIONS_NOTE.format(
        rows=found["held_out_rows"],
        kind=_KINDS[found["source"]],
        asked=percent(1 - found["error"]),
    )


def decision_line(result: HeadEvaluation) -> str:
    """Sums up the decisions of a head for a terminal.

    Args:
        result: The results of a head.

    Returns:
        One line; empty if no decisions were fitted.
    """
    found = result.metrics.get("decisions")
    if not found:
        return ""
    coverage = f"decisions: {percent(found['coverage'])}"
    asked = f"(asked: {percent(1 - found['error'])})"
    if result.head.kind == "regression":
        return f"{coverage} of the intervals have the target {asked}"
    line = (
        f"{coverage} of the sets have all labels {asked}, with {found['mean_set_size']:.2f} labels "
        f"on average; {percent(found['abstention_rate'])} of the rows without an answer"
    )
    if "answered_accuracy" in found:
        line += f", accuracy {percent(found['answered_accuracy'])} of the others"
    before, after = found["log_loss_before"], found["log_loss_after"]
    return f"{line}; temperature {found['temperature']:.2f}, log loss {before:.4f} → {after:.4f}"


def _of_labels(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    asked = percent(1 - found["error"])
    rows = [
        (f"Sets with all labels (asked: {asked})", _share(found, "coverage")),
        ("Labels in a set, mean", f"{found['mean_set_size']:.2f}"),
        ("Empty sets", percent(found["empty_sets"])),
        ("Rows without an answer", percent(found["abstention_rate"])),
    ]
    if "answered_accuracy" in found:
        rows.append(
            (f"Accuracy of the answers (asked: {asked})", _share(found, "answered_accuracy"))
        )
    before, after = found["log_loss_before"], found["log_loss_after"]
    rows += [
        ("Log loss (nats)", f"{before:.3f}"),
        (f"Log loss at temperature {found['temperature']:.2f}", f"{after:.3f}"),
    ]
    if "threshold_accuracy" in found:
        rows += [
            ("Accuracy of the chosen classes", percent(found["threshold_accuracy"])),
            ("Macro-F1 of the chosen classes", f"{found['threshold_macro_f1']:.3f}"),
        ]
    if "mean_cost" in found:
        rows += [
            ("Mean cost of the chosen classes", f"{found['mean_cost']:.4g}"),
            ("Mean cost of the most probable classes", f"{found['mean_cost_before']:.4g}"),
        ]
    return rows


def _of_intervals(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = []
    for name, scores in found["per_target"].items():
        start = f"“{name}”: intervals" if len(found["per_target"]) > 1 else "Intervals"
        width = "unlimited" if scores["width"] is None else f"{scores['width']:.4g}"
        asked = percent(1 - found["error"])
        rows.append((f"{start} with the target (asked: {asked})", _share(scores, "coverage")))
        rows.append((f"{start}, width", width))
    return rows


def _share(scores: Mapping[str, Any], name: str) -> str:
    low, high = scores[f"{name}_interval"]
    return f"{percent(scores[name])} [{100 * low:.1f}, {100 * high:.1f}]"
