"""Checks settings: ranges, unknown names, and rules across fields.

Settings are passed as mappings of values by name. Each rule across fields is a function that
returns its problems as sentences, so that all of them are reported at once. Loads no backend.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from keras_mm.checks import is_whole, unknown_name
from keras_mm.presets.presets import get_preset, list_presets
from keras_mm.settings.augmentation import Augmentation, as_augmentation
from keras_mm.settings.engines import engine_problem
from keras_mm.settings.heads import HEAD_KINDS, HEAD_LOSSES, Head, as_labels
from keras_mm.settings.knobs import broken_rules
from keras_mm.settings.members import MEMBERS_RULE, own_settings, split_own
from keras_mm.settings.rules import SIDES, is_different, quoted
from keras_mm.settings.sliding_window import SlidingWindow
from keras_mm.settings.stages import as_stages, stages_problems
from keras_mm.settings.training import CLASS_WEIGHTS, LOSSES, Training, as_training

# Settings that have fields of their own; each is a `[table]` in TOML.
TABLES: dict[str, type] = {
    "training": Training,
    "augmentation": Augmentation,
    "sliding_window": SlidingWindow,
}

COLUMNS_OF = {"vision": "images", "text": "texts"}


def all_problems(values: Mapping[str, Any], kind: type) -> list[str]:
    """Checks settings against all rules.

    Args:
        values: Values of all fields by name.
        kind: The dataclass of the settings.

    Returns:
        A sentence for each problem.
    """
    problems = broken_rules({k: v for k, v in values.items() if k not in TABLES}, kind)
    for name in TABLES:
        problems += _table_problems(name, values[name], kind)
    problems += _two_splits(values)
    problems += _head_problems(values)
    problems += [problem] if (problem := engine_problem(values["engine"])) else []
    # Which encoders are trained is unknown while the stages are invalid.
    if not any("training.stages" in problem for problem in problems):
        problems += _frozen_augmentation(values) + _frozen_lora(values) + _frozen_tokens(values)
        problems += _late_stopping(values)
    problems += _continued_folds(values) + _blended_members(values)
    return problems + _own_problems(values, kind, problems)


def unknown_keys(values: Mapping[str, Any], kind: type, prefix: str = "") -> list[str]:
    """Finds names that are not settings.

    Args:
        values: Values by name.
        kind: The dataclass of the settings.
        prefix: Text before the names in the messages, such as `"training."`.

    Returns:
        A sentence for each unknown name, which suggests the nearest known one.
    """
    names = [f.name for f in fields(kind)]
    known = [prefix + name for name in names]
    if not prefix:
        known += [f"{table}.{f.name}" for table, kind in TABLES.items() for f in fields(kind)]
    return [
        unknown_name("setting", f"{prefix}{name}", known) for name in values if name not in names
    ]


def is_trained(side: str, training: Any, trainable: bool | None) -> bool | None:
    """Whether any part of a side's encoder is trained at some time.

    Args:
        side: `"vision"` or `"text"`.
        training: A `Training`, a mapping of its fields, or `None`; its stages must be valid.
        trainable: The result if there are no stages; `None` if it is unknown.

    Returns:
        Whether it is trained; `None` if that is unknown.
    """
    stages = as_stages(_field(training, "stages"))
    if stages:
        return any(stage.depth(side) != 0 for stage in stages)
    return trainable


def _table_problems(name: str, table: Any, outer: type) -> list[str]:
    """What is wrong with a table of settings; `outer` is the dataclass that has the table."""
    kind, prefix = TABLES[name], f"{name}."
    if kind is SlidingWindow and isinstance(table, bool):
        return []
    if isinstance(table, kind):
        table = vars(table)
    if isinstance(table, Mapping):
        stages = table.get("stages") if kind is Training else None
        inside = {f.name for f in fields(kind)}
        misplaced = [f.name for f in fields(outer) if f.name in table and f.name not in inside]
        return [
            *(f"`{key}` is not in the table `{name}`: set `{key}` itself" for key in misplaced),
            *unknown_keys({k: v for k, v in table.items() if k not in misplaced}, kind, prefix),
            *broken_rules(table, kind, prefix),
            *([] if stages is None else stages_problems(stages)),
        ]
    if table is None:
        return []
    return [f"`{name}` must be a keras_mm.{kind.__name__} or a dict. Received: {table!r}"]


def _head_problems(values: Mapping[str, Any]) -> list[str]:
    """Problems of the heads, and of settings that do not fit them."""
    try:
        labels, kind = as_labels(values["labels"]), values["head"]
    except ValueError as error:
        return str(error).splitlines()
    except TypeError:  # the rule of `labels` has reported it
        return []
    if kind not in HEAD_KINDS:  # the rule of `head` has reported it
        return []
    if isinstance(labels, dict):
        kinds, several = [head.kind for head in labels.values()], len(labels) > 1
        problems = _problems_beside_heads(values)
    else:
        kinds = [kind]
        several = kind in ("multiclass", "binary") and not isinstance(labels, str)
        several = several and len(labels) > 1
        problems = _column_problems(values, labels, several)
    return [*problems, *_loss_problems(values, kinds, several)]


def _problems_beside_heads(values: Mapping[str, Any]) -> list[str]:
    """Problems of settings for a label column that are given beside a dict of heads."""
    problems = []
    for name, default in (("head", "multiclass"), ("classes", None)):
        if values[name] != default:
            problems.append(
                f"`{name}` applies to a label column, but `labels` is a dict of heads; set it for "
                f"each head: Head({'kind' if name == 'head' else name}=...)"
            )
    return problems


def _column_problems(
    values: Mapping[str, Any], labels: str | tuple[str, ...], several: bool
) -> list[str]:
    """Problems of the classes of label columns."""
    problems, kind, classes = [], values["head"], values["classes"]
    if classes is not None and several:
        problems.append(
            "`classes` applies to one head, but several columns make several heads; set it for "
            "each head: labels={name: Head(classes=...)}"
        )
    if classes is None or is_different(classes):
        # Several columns are one head each for classes, and one head in all for other kinds.
        one_by_one = isinstance(labels, tuple) and kind in ("multiclass", "binary")
        try:
            Head(kind, classes=classes, column=None if one_by_one else labels)
        except ValueError as error:
            problems += str(error).splitlines()
    return problems


def _loss_problems(values: Mapping[str, Any], kinds: list[str], several: bool) -> list[str]:
    """Problems of a loss, or of class weights, that do not fit the heads."""
    problems, loss, class_weight = [], values["loss"], values["class_weight"]
    allowed = {name for one in kinds for name in HEAD_LOSSES[one]}
    # The default fits each kind of head: each takes its own default loss instead.
    if loss in LOSSES and loss not in allowed | {LOSSES[0]}:
        problems.append(
            f"`loss` of a {kinds[0]} head must be one of {quoted(HEAD_LOSSES[kinds[0]])}. "
            f"Received: {loss!r}"
        )
    if class_weight is not None and set(kinds) == {"regression"}:
        problems.append("`class_weight`: a regression head has no classes to weigh")
    if several and not isinstance(class_weight, str | None):
        problems.append(
            f"`class_weight` of several heads must be one of {quoted(CLASS_WEIGHTS)}, or be set "
            "for each head: labels={name: Head(class_weight=...)}"
        )
    return problems


def _two_splits(values: Mapping[str, Any]) -> list[str]:
    """Refuses `split_column` together with separate tables."""
    tables = values.get("validation_data") or values.get("test_data")
    if not (values.get("split_column") and tables):
        return []
    return [
        "`split_column` already assigns rows to validation and test; remove it, or remove "
        "`validation_data` and `test_data`"
    ]


def _late_stopping(values: Mapping[str, Any]) -> list[str]:
    """The problem with early stopping that begins after the last epoch."""
    training, epochs = values["training"], values["epochs"]
    least = _field(training, "min_epochs")
    if epochs is None and _is_preset(values["preset"]):
        epochs = get_preset(values["preset"]).epochs
    if not (values["early_stopping"] is True and is_whole(least, 1) and is_whole(epochs, 1)):
        return []
    stages = as_stages(_field(training, "stages"))
    most = max((stage.epochs or epochs for stage in stages), default=epochs)
    if least <= most:
        return []
    return [
        f"`training.min_epochs` must be at most the number of epochs, {most}: early stopping would "
        f"never begin. Received: {least}. Lower it, raise `epochs`, or set early_stopping=False"
    ]


def _continued_folds(values: Mapping[str, Any]) -> list[str]:
    """Refuses to continue the training of several members, as their folds are not kept."""
    if not (values["warm_start"] is True and is_whole(values["folds"], 2)):
        return []
    return [
        "`warm_start` continues the training of a single model, and `folds` trains several. Set "
        f"folds=1, or warm_start=False. Received: folds={values['folds']}"
    ]


def _blended_members(values: Mapping[str, Any]) -> list[str]:
    """Refuses members without the folds that weigh them, or with encoders of their own."""
    members, problems = values["members"], []
    if not MEMBERS_RULE.test(members) or members in ("trunk", ["trunk"], ("trunk",)):
        return []
    folds = values["folds"]
    if folds is None and _is_preset(values["preset"]):
        folds = 1 if values["warm_start"] else get_preset(values["preset"]).folds
    if folds == 1:
        problems.append(
            "`members` are weighted by out-of-fold predictions, which a single model does not "
            "have. Set folds=5, or remove `members`"
        )
    read = [side for side, name in COLUMNS_OF.items() if values[name]] or SIDES
    if any(_trains(values, side) for side in read) or values["fusion"] == "mmbt":
        problems.append(
            "`members` share frozen encoders, and these settings train an encoder. Remove "
            "`members`, or set vision_trainable=False and text_trainable=False"
        )
    return problems


def _own_problems(values: Mapping[str, Any], kind: type, known: list[str]) -> list[str]:
    """What is wrong with the settings of single members, beside the known problems."""
    training, problems = values["training"], []
    if not MEMBERS_RULE.test(values["members"]) or not (
        training is None or isinstance(training, Training | Mapping)
    ):
        return []
    inside = dict(training if isinstance(training, Mapping) else vars(as_training(training)))
    for name, own in own_settings(values["members"]):
        outer, inner = split_own(own)
        applied = {**values, **outer, "training": {**inside, **inner}, "members": None}
        found = [each for each in all_problems(applied, kind) if each not in known]
        problems += [f"`members`: {name}: {problem}" for problem in found]
    return problems


def _frozen_augmentation(values: Mapping[str, Any]) -> list[str]:
    """Refuses an augmentation if the vision encoder is frozen, since it runs only once."""
    augmentation = values["augmentation"]
    if _is_preset(values["preset"]) and augmentation is None:
        augmentation = get_preset(values["preset"]).augmentation
    try:
        is_on = as_augmentation(augmentation).is_on
    except ValueError:  # the rules of its fields have reported it
        return []
    if not is_on or _trains(values, "vision") is not False:
        return []
    return [
        "`augmentation` needs a trained vision encoder: vision_trainable=True, or stages. A frozen "
        "encoder encodes each image only once, unchanged."
    ]


def _frozen_lora(values: Mapping[str, Any]) -> list[str]:
    """Refuses LoRA adapters if no encoder is trained."""
    if _field(values["training"], "lora_rank") is None or any(
        _trains(values, side) is not False for side in SIDES
    ):
        return []
    return [
        "`training.lora_rank` needs a trained encoder: text_trainable=True, "
        "vision_trainable=True, or stages."
    ]


def _frozen_tokens(values: Mapping[str, Any]) -> list[str]:
    """Refuses special tokens if the text encoder is frozen, since their embeddings are random."""
    if not values["special_tokens"] or _trains(values, "text") is not False:
        return []
    return [
        "`special_tokens` get new, random embeddings, which need a trained text encoder: "
        "text_trainable=True, or stages."
    ]


def _trains(values: Mapping[str, Any], side: str) -> bool | None:
    """Whether a side is trained, by the settings or else the preset; `None` if that is unknown."""
    name = f"{side}_trainable"
    trainable = values[name]
    if trainable is None:
        if not _is_preset(values["preset"]):
            return None
        trainable = getattr(get_preset(values["preset"]), name)
    return is_trained(side, values["training"], bool(trainable))


def _is_preset(value: Any) -> bool:
    return isinstance(value, str) and value in list_presets()


def _field(training: Any, name: str) -> Any:
    """A field of a `Training` or of a mapping of its fields; `None` if there is neither."""
    return training.get(name) if isinstance(training, Mapping) else getattr(training, name, None)
