"""How pretrained encoders are fine-tuned, stage by stage, as plain data. Loads no backend."""

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
    """`value`, with `default`'s for the sides that it leaves out, where it is a dict by side."""
    if not isinstance(value, Mapping) or default is None:
        return value
    missing = default if isinstance(default, Mapping) else dict.fromkeys(SIDES, default)
    return {**missing, **value}


@documented
@dataclass(frozen=True)
class Stage:
    """One stage of fine-tuning: which of the encoders' blocks learn, for how long, how fast.

    The trunk (projections, fusion, heads) learns in every stage. An encoder of which no block
    learns runs once over the rows, however many epochs the stage has.

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
        "Blocks of each encoder's network that learn, counted from its top (the layer next to the "
        'trunk). `"all"` includes the embeddings or the stem. Of a dict, `{"vision": 2, "text": '
        '"all"}`, a side that is left out is 0.',
    )
    epochs: int | None = knob(None, whole(1), "Most epochs; `None` is the run's.")
    learning_rate: float | None = knob(
        None, POSITIVE, "Peak rate of the trunk; `None` is the run's."
    )
    encoder_learning_rate: float | Mapping[str, float] | None = knob(
        None,
        RATE_BY_SIDE,
        "Peak rate of the encoders; `None`, and a side that is left out, is the run's.",
    )

    def __post_init__(self):
        problems = stage_problems(vars(self), "")
        if problems:
            raise InvalidValueError(" ".join(problems))

    def depth(self, side: str) -> int | str:
        """What `blocks` says of a side, `"vision"` or `"text"`."""
        return self.blocks.get(side, 0) if isinstance(self.blocks, Mapping) else self.blocks


def stage_problems(stage: Any, prefix: str) -> list[str]:
    """Every rule that a mapping of a stage's fields breaks, a sentence each."""
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
    """Everything that is wrong with `stages`, and with each that trains no more than the last."""
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
    found = as_stages(stages)
    for place in range(1, len(found)):
        if all(_is_no_deeper(found[place].depth(s), found[place - 1].depth(s)) for s in SIDES):
            problems.append(
                f"`training.stages[{place}]` unfreezes nothing: its blocks are "
                f"{found[place].blocks!r}, those of the stage before {found[place - 1].blocks!r}. "
                "Give it more blocks, or leave it out."
            )
    return problems


def as_stages(stages: Sequence[Stage | Mapping] | None) -> tuple[Stage, ...]:
    """Stages from themselves, mappings of their fields, or `None`."""
    return tuple(s if isinstance(s, Stage) else Stage(**s) for s in stages or ())


def _is_no_deeper(depth: int | str, before: int | str) -> bool:
    if isinstance(before, str) or isinstance(depth, str):
        return isinstance(before, str)
    return depth <= before
