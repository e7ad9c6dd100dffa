"""The members that a search tries: first what often helps, then others drawn from a space.

The draws are those of Optuna's TPE sampler if Optuna is installed, else uniform. Loads no backend.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from keras_mm.settings.heads import Head
from keras_mm.settings.members import Member, as_members, modalities_of
from keras_mm.settings.problems import all_problems
from keras_mm.settings.settings import Settings

# The values of each setting that members are drawn from.
SPACE: dict[str, tuple[Any, ...]] = {
    "learning_rate": (3e-4, 1e-3, 3e-3),
    "weight_decay": (4e-4, 0.004, 0.04, 0.4),
    "dropout_rate": (0.0, 0.1, 0.3, 0.5),
    "projection_dims": (64, 128, 256, 512),
    "num_projection_layers": (0, 1, 2),
    "modality_dropout": (0.0, 0.15, 0.3, 0.5),
    "fusion": ("concat", "gated", "bilinear"),
    "compare": (False, True),
}
_OF_CLASSES = {
    "loss": ("cross_entropy", "focal", "logit_adjusted"),
    "label_smoothing": (0.0, 0.1),
}
_TRIES = 50  # draws until one is new and allowed


class Candidates:
    """Proposes members, one after the other.

    Args:
        settings: Resolved settings, with names of columns.
        heads: The heads, with their classes.
        seed: Seed of the draws.
        linear: Whether linear models are proposed.

    Attributes:
        sampler: `"optuna"` or `"random"`.
    """

    def __init__(
        self,
        settings: Settings,
        heads: Mapping[str, Head],
        *,
        seed: int,
        linear: bool = True,
    ):
        self._settings, self._linear = settings, linear
        self._modalities = modalities_of(vars(settings))
        self._of_classes = all(head.kind in ("multiclass", "binary") for head in heads.values())
        self._space = self._own_space()
        self._rng = np.random.default_rng([seed, 2])
        self._proposed: set[Member] = set()
        self._first = iter(self._known())
        self._study: Any = None
        self._asked: dict[Member, Any] = {}
        if importlib.util.find_spec("optuna") is not None:
            self._study = _create_study(seed)
        self.sampler = "random" if self._study is None else "optuna"

    def next(self) -> Member | None:
        """Proposes a member that was not proposed before.

        Returns:
            The member; `None` if none is left.
        """
        for member in self._first:
            if member not in self._proposed and self._is_allowed(member):
                self._proposed.add(member)
                return member
        for _ in range(_TRIES):
            values, trial = self._draw()
            member = self._member(values)
            if member in self._proposed or not self._is_allowed(member):
                continue
            self._proposed.add(member)
            self._asked[member] = trial
            return member
        return None

    def tell(self, member: Member, score: float) -> None:
        """Tells how good a proposed member is, so that better ones can be proposed.

        Args:
            member: The member.
            score: Its score; higher is better.
        """
        if self._study is None or not np.isfinite(score):
            return
        trial = self._asked.pop(member, None)
        if trial is not None:
            self._study.tell(trial, score)
        elif member.kind != "linear":
            import optuna

            values, choices = self._values(member), self._choices()
            if any(values[name] not in options for name, options in choices.items()):
                return
            distributions: dict[str, Any] = {
                name: optuna.distributions.CategoricalDistribution(tuple(range(len(options))))
                for name, options in choices.items()
            }
            places = {name: options.index(values[name]) for name, options in choices.items()}
            self._study.add_trial(
                optuna.trial.create_trial(params=places, distributions=distributions, value=score)
            )

    def _known(self) -> Iterator[Member]:
        """What often helps: the members of `"auto"`, the fast ones first; then other settings."""
        yield from sorted(
            as_members("auto", self._modalities), key=lambda member: member.kind != "linear"
        )
        everything = self._modalities
        own: list[dict[str, Any]] = []
        if self._of_classes:
            own += [{"loss": "logit_adjusted"}]
        own += [{"compare": False}, {"fusion": "gated"}, {"fusion": "bilinear"}]
        own += [{"dropout_rate": 0.5, "weight_decay": 0.04}, {"projection_dims": 64}]
        yield Member("linear_skip", everything)
        for each in own:
            yield self._own("trunk", everything, each)
        if len(everything) > 1:
            yield Member("trunk", ("image",))
            yield Member("linear_skip", ("text",))

    def _own_space(self) -> dict[str, tuple[Any, ...]]:
        space = {**SPACE, **(_OF_CLASSES if self._of_classes else {})}
        if len(self._modalities) < 2:
            space = {n: v for n, v in space.items() if n not in ("fusion", "modality_dropout")}
        if not self._settings.compare:
            del space["compare"]
        return space

    def _choices(self) -> dict[str, tuple[Any, ...]]:
        """All that is drawn: kind and modalities of a member, and its settings."""
        alone = tuple((one,) for one in self._modalities) if len(self._modalities) > 1 else ()
        return {
            "kind": ("trunk", "linear_skip"),
            "modalities": (self._modalities, *alone),
            **self._space,
        }

    def _draw(self) -> tuple[dict[str, Any], Any]:
        """Draws a value of each choice; also returns the trial of Optuna, if it drew them."""
        choices = self._choices()
        if self._study is None:
            places = {n: int(self._rng.integers(len(o))) for n, o in choices.items()}
            return {n: o[places[n]] for n, o in choices.items()}, None
        trial = self._study.ask()
        drawn = {n: trial.suggest_categorical(n, tuple(range(len(o)))) for n, o in choices.items()}
        return {n: o[drawn[n]] for n, o in choices.items()}, trial

    def _member(self, values: Mapping[str, Any]) -> Member:
        own = {name: values[name] for name in self._space}
        if len(values["modalities"]) < 2:  # settings of several modalities have no effect
            own = {n: v for n, v in own.items() if n not in ("fusion", "modality_dropout")}
        return self._own(values["kind"], values["modalities"], own)

    def _own(self, kind: str, modalities: tuple[str, ...], own: Mapping[str, Any]) -> Member:
        """A member with settings of its own, without those that the model has anyway."""
        base = {**vars(self._settings), **vars(self._settings.training)}
        changed = {n: v for n, v in own.items() if n in self._space and v != base[n]}
        return Member(kind, modalities, tuple(sorted(changed.items())))

    def _values(self, member: Member) -> dict[str, Any]:
        base = {**vars(self._settings), **vars(self._settings.training)}
        own = {name: dict(member.own).get(name, base[name]) for name in self._space}
        return {"kind": member.kind, "modalities": member.modalities, **own}

    def _is_allowed(self, member: Member) -> bool:
        if member.kind == "linear":
            return self._linear
        if not member.own:
            return True
        values = {**vars(self._settings), "members": [member.setting]}
        return not all_problems(values, Settings)


def _create_study(seed: int) -> Any:
    """A study of Optuna that draws by TPE, without its log."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=5, constant_liar=False)
    return optuna.create_study(direction="maximize", sampler=sampler)
