"""The settings of fine-tuning in stages, as plain data. Loads no backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keras_mm.checks import unknown_name
from keras_mm.errors import InvalidValueError
from keras_mm.settings.documentation import documented
from keras_mm.settings.knobs import broken_rules, knob, rules
from keras_mm.settings.rules import DEPTH_BY_SIDE, POSITIVE, RATE_BY_SIDE, SIDES, whole


def fill_sides(value: Any, default: Any) -> Any:
    """Completes a dict by side with defaults.

    Args:
        value: One value for both sides, or a dict by `"vision"` and `"text"`.
        default: The same; its values are used for sides that a dict leaves out. `None` for none.

    Returns:
        A dict with the missing sides filled in; any other `value` unchanged.
    """
    if not isinstance(value, Mapping) or default is None:
        return value
    missing = default if isinstance(default, Mapping) else dict.fromkeys(SIDES, default)
    return {**missing, **value}


@documented
@dataclass(frozen=True)
class Stage:
    """One stage of fine-tuning: the encoder blocks that are trained, the epochs and the rates.

    The trunk (projections, fusion, heads) is trained in every stage. An encoder without trained
    blocks runs only once over the rows, whatever the number of epochs.

    Raises:
        ValueError: for a value outside its range.

    Reference:
        Howard and Ruder 2018, "Universal Language Model Fine-tuning for Text Classification",
        arXiv:1801.06146, section 3.3 (gradual unfreezing).

    Example:
        >>> Stage(blocks={"text": 2}, epochs=3).depth("text"), Stage().depth("vision")
        (2, 0)
    """

    blocks: int | str | Mapping[str, int | str] = knob(
        0,
        DEPTH_BY_SIDE,
        "Number of blocks of each encoder that are trained, counted from the top (the layers next "
        'to the trunk). `"all"` includes the embeddings or the stem. A dict by side, such as '
        '`{"text": 2}`, freezes the side that it leaves out.',
    )
    epochs: int | None = knob(
        None, whole(1), "Largest number of epochs; `None` takes the run's setting."
    )
    learning_rate: float | None = knob(
        None, POSITIVE, "Peak learning rate of the trunk; `None` takes the run's setting."
    )
    encoder_learning_rate: float | Mapping[str, float] | None = knob(
        None,
        RATE_BY_SIDE,
        "Peak learning rate of the encoders; `None`, or a side that is missing in a dict, takes "
        "the run's setting.",
    )

    def __post_init__(self):
        problems = stage_problems(vars(self), "")
        if problems:
            raise InvalidValueError(" ".join(problems))

    def depth(self, side: str) -> int | str:
        """The trained blocks of a side.

        Args:
            side: `"vision"` or `"text"`.

        Returns:
            Number of blocks, >= 0, or `"all"`.
        """
        return self.blocks.get(side, 0) if isinstance(self.blocks, Mapping) else self.blocks


def stage_problems(stage: Any, prefix: str) -> list[str]:
    """Checks a stage.

    Args:
        stage: A `Stage`, or a mapping of its fields.
        prefix: Text before the names in the messages, such as `"training.stages[0]."`.

    Returns:
        A sentence for each problem.
    """
    if isinstance(stage, Stage):
        return []
    if not isinstance(stage, Mapping):
        return [f"`{prefix.rstrip('.')}` must be a keras_mm.Stage or a dict. Received: {stage!r}"]
    known = list(rules(Stage))
    problems = []
    for name, value in stage.items():
        if name not in known:
            problems.append(unknown_name("setting", f"{prefix}{name}", [prefix + n for n in known]))
        else:
            problems += broken_rules({name: value}, Stage, prefix)
    return problems


def stages_problems(stages: Any) -> list[str]:
    """Checks the setting `stages`: each stage, and that each trains more than the one before.

    Args:
        stages: The value of the setting.

    Returns:
        A sentence for each problem.
    """
    if isinstance(stages, str | Mapping | Stage) or not isinstance(stages, Sequence):
        return [f"`training.stages` must be a list of stages. Received: {stages!r}"]
    prefixes = [f"training.stages[{place}]." for place in range(len(stages))]
    problems = [
        problem
        for stage, prefix in zip(stages, prefixes, strict=True)
        for problem in stage_problems(stage, prefix)
    ]
    if problems:
        return problems
    checked = as_stages(stages)
    for place in range(1, len(checked)):
        if all(_is_no_deeper(checked[place].depth(s), checked[place - 1].depth(s)) for s in SIDES):
            problems.append(
                f"`training.stages[{place}]` unfreezes nothing: its blocks are "
                f"{checked[place].blocks!r}, those of the previous stage "
                f"{checked[place - 1].blocks!r}. Give it more blocks, or leave it out."
            )
    return problems


def as_stages(stages: Sequence[Stage | Mapping] | None) -> tuple[Stage, ...]:
    """Converts the forms that users may pass as `stages`.

    Args:
        stages: Stages, or mappings of their fields; `None` for none.

    Returns:
        The stages.
    """
    return tuple(s if isinstance(s, Stage) else Stage(**s) for s in stages or ())


def _is_no_deeper(depth: int | str, before: int | str) -> bool:
    # The only string is "all", which is deeper than any number.
    if isinstance(before, str) or isinstance(depth, str):
        return isinstance(before, str)
    return depth <= before
