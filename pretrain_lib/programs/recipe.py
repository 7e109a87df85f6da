"""A recipe: everything that a pre-training run is made of, in one file that can be read aloud.

A recipe is a TOML file with the tables `[data]`, `[model]`, `[objective]` and `[train]`. In each of
the first three `kind` names a class, and all else is a field of the class's `config_class`, a frozen
dataclass beside it; what is left out has the default value. In place of all this `[model]` may say
`start`, a saved model to go on with.
"""

from __future__ import annotations

import sys
import tomllib
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import get_type_hints

from torch import nn

from ..data.source import Data
from ..data.text.text_data import TextConfig
from ..objectives.base import Objective
from ..training.config import TrainConfig
from ..validation import nearest, require, require_kind, require_kinds, unknown_field
from .old_recipes import TABLES_THEN, in_todays_form, is_old, kinds_for
from .start import HEADS, started

PARTS = {"data": Data, "model": nn.Module, "objective": Objective}  # what each is a class of


@dataclass(frozen=True)
class Part:
    """One of the three things that a run is made of.

    Attributes:
        kind: its class.
        config: what it is built from, of the class's `config_class`.

    Raises:
        ValueError: if the two do not belong together.
    """

    kind: type
    config: object

    def __post_init__(self):
        expected = self.kind.config_class
        require(isinstance(self.config, expected), f"config of {self.kind.__name__}", self.config,
                f"a {expected.__name__}")
        require(not hasattr(self.config, "kind"), f"a field of {expected.__name__}", "kind",
                "called otherwise: in a recipe that names the class")

    def table(self) -> dict:
        """The table that a recipe has for it."""
        return {"kind": name_of(self.kind), **asdict(self.config)}


@dataclass(frozen=True)
class Recipe:
    """What is trained on what, to do what, and how.

    Attributes:
        data: what is read.
        model: what is trained; fields that the data decide, such as the vocabulary's size, are
            theirs, whatever stands here.
        objective: what the model has to do.
        train: how it is trained.
        start_at_unigram: whether the output starts at the frequencies of the tokens, if there are
            any.
        start_at_neighbours: whether the first layers start by looking at the neighbours, see
            `models.bert.start_at_neighbours`.
        start: the saved model that training goes on with, as `load_pretrained` takes it; `model` is
            then what that is, and its tokenizer makes ids of the data. Left empty, one is drawn
            anew.
        keep_an_eye_on: another text, as `[data] corpus` has it, on which the loss is measured
            before and after, to see what the saved model forgets; left empty, none.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    data: Part
    model: Part
    objective: Part
    train: TrainConfig = field(default_factory=TrainConfig)
    start_at_unigram: bool = True
    start_at_neighbours: bool = False
    start: str = ""
    keep_an_eye_on: str = ""

    def __post_init__(self):
        require_kinds(self)
        for part, base in PARTS.items():
            kind = getattr(self, part).kind
            require(can_be(part, kind), f"kind of {part}", kind.__name__, described_base(base))
        require_that_they_fit(self)

    def table(self) -> dict:
        """The recipe as a TOML file has it."""
        parts = {part: getattr(self, part).table() for part in PARTS}
        if self.start:
            parts["model"] = {"start": self.start}
        watched = {"keep_an_eye_on": self.keep_an_eye_on} if self.keep_an_eye_on else {}
        return {"start_at_unigram": self.start_at_unigram,
                "start_at_neighbours": self.start_at_neighbours, **watched, **parts,
                "train": asdict(self.train)}


def require_that_they_fit(recipe: Recipe) -> None:
    """Raises where a model cannot read these data, or cannot start as it is told to."""
    data, model, kind = recipe.data.config, recipe.model.config, recipe.model.kind
    length, most = getattr(data, "length", 0), getattr(model, "max_position_embeddings", None)
    require(most is None or length <= most, "data.length", length,
            f"at most model.max_position_embeddings={most}")
    pairs = getattr(data, "pairs", "none")
    if pairs != "none" and not hasattr(model, "type_vocab_size"):
        raise ValueError(f"pairs={pairs!r} needs a BERT, which tells two segments apart, and "
                         f"{kind.__name__} does not: choose another, or pairs = \"none\"")
    require(not recipe.start_at_neighbours or hasattr(kind, "start_at_neighbours"),
            "start_at_neighbours", True, f"False, which is all that {kind.__name__} can")
    if recipe.start:
        require_a_start_alone(recipe)
    if recipe.keep_an_eye_on:
        require_something_to_forget(recipe)


def require_a_start_alone(recipe: Recipe) -> None:
    """Raises where what comes with a saved model is said once more."""
    start, data = recipe.start, recipe.data.config
    own = getattr(data, "tokenizer", "auto")
    require(own in ("auto", getattr(type(data), "tokenizer", "auto")), "data.tokenizer", own,
            f"left out, as {start} comes with its own")
    require(not recipe.start_at_neighbours, "start_at_neighbours", True,
            f"False, as {start} has its weights")
    require(recipe.train.base_width is None, "train.base_width", recipe.train.base_width,
            f"None, as {start} has its weights")


def require_something_to_forget(recipe: Recipe) -> None:
    """Raises where no loss can be measured on another text, or none that says anything."""
    other, data, objective = recipe.keep_an_eye_on, recipe.data.config, recipe.objective.kind
    require(bool(recipe.start), "keep_an_eye_on", other,
            "empty without a start: a model that is drawn anew has nothing to forget")
    require(isinstance(data, TextConfig) and issubclass(objective, tuple(HEADS)), "keep_an_eye_on",
            other, "empty where no blanks are filled in texts")
    require(other != data.corpus, "keep_an_eye_on", other, "another text than data.corpus")


# ------------------------------------------------------------------------------------- reading


def read_recipe(path: str | Path) -> Recipe:
    """The recipe that a TOML file describes.

    Files with a line `architecture`, which have the tables `[text]` and `[masking]`, are read too.
    A `kind` is a name that `pretrain_lib` exports, or `package.module:Class`, which is imported.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no TOML, or a field or a kind is unknown or has a value that is not
            allowed, naming it, and the nearest that exists.
    """
    path = Path(path)
    if not path.is_file():
        near = sorted(file.name for file in path.parent.glob("*.toml"))
        there = f"; {path.parent} has {', '.join(near)}" if near else ""
        raise FileNotFoundError(f"there is no recipe {path}{there}")
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not TOML: {error}") from None
    return recipe_from(table, str(path))


def recipe_from(table: dict, where: str) -> Recipe:
    """The recipe that a table of either form describes.

    Args:
        where: what errors call the table.
    """
    called = TABLES_THEN if is_old(table) else {}
    if called:
        table = in_todays_form(table, where)
    known = [f.name for f in fields(Recipe) if f.name != "start"]
    for name in table:
        require(name != "start", f"{where}: start", table[name], "a line of the table [model]")
        if name not in known:
            raise unknown_field(name, [*known, "architecture"], where)
    start = start_in(table.get("model"), where, bool(called))
    values = {**table, "train": config_from(TrainConfig, table.get("train", {}), "train", where)}
    for part in PARTS:
        if part != "model" or not start:
            values[part] = part_from(table.get(part, {}), part, called.get(part, part), where)
    if start:
        values |= {"start": start, "model": part_of_start(start, values["objective"].kind)}
    try:
        return Recipe(**values)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def start_in(model, where: str, old: bool) -> str:
    """The saved model that a table `[model]` says to go on with; empty for none.

    Raises:
        ValueError: if it says anything besides.
    """
    if not isinstance(model, dict) or "start" not in model:
        return ""
    if old:
        raise ValueError(f"{where}: a recipe with start must have the tables [data] and "
                         "[objective], and no line architecture")
    more = [name for name in model if name != "start"]
    if more:
        raise ValueError(f"{where}, [model]: with start, kind and shape are those of the saved "
                         f"model: leave out {', '.join(more)}")
    require(isinstance(model["start"], str) and model["start"], f"{where}, [model]: start",
            model["start"], "a saved model: a folder, a name of the zoo, or \"hub:owner/name\"")
    return model["start"]


def part_of_start(start: str, objective: type[Objective]) -> Part:
    """What a saved model is, as an objective trains it.

    Raises:
        ValueError: if it is of no class that a recipe can name.
    """
    model = started(start, objective).model
    if not can_be("model", type(model)):
        raise ValueError(f"{start} holds a {type(model).__name__}, which no recipe can train: it "
                         f"must be {described_base(nn.Module)}")
    return Part(type(model), model.config)


def with_start(recipe: Recipe, start: str) -> Recipe:
    """A recipe that goes on with a saved model, in place of the one that it draws anew."""
    return replace(recipe, start=start, model=part_of_start(start, recipe.objective.kind),
                   start_at_neighbours=False, train=replace(recipe.train, base_width=None))


def part_from(table: dict, part: str, called: str, where: str) -> Part:
    """A part from its table: the class, and its configuration."""
    require_table(table, called, where)
    kind = kind_named(table.get("kind"), part, f"{where}, [{called}]")
    rest = {name: value for name, value in table.items() if name != "kind"}
    return Part(kind, config_from(kind.config_class, rest, called, where))


def config_from(kind: type, table: dict, called: str, where: str):
    """A configuration from its table."""
    require_table(table, called, where)
    file, where = where, f"{where}, [{called}]"
    known, hints, values = [f.name for f in fields(kind)], get_type_hints(kind), {}
    for name, value in table.items():
        if name not in known:
            raise unknown_field(name, known, where)
        if is_dataclass(hints[name]) and isinstance(value, dict):
            value = config_from(hints[name], value, f"{called}.{name}", file)
        values[name] = tuple(value) if isinstance(value, list) else value
    missing = [f.name for f in fields(kind) if f.default is f.default_factory is MISSING
               and f.name not in values]
    if missing:
        raise ValueError(f"{where}: {', '.join(missing)} must be given")
    try:
        for name, value in values.items():
            require_kind(name, value, hints[name])
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from None


def require_table(table, called: str, where: str) -> None:
    if not isinstance(table, dict):
        raise ValueError(f"{where}: {called} must be a table, [{called}], got {table!r}")


def with_pairs(recipe: Recipe, pairs: str) -> Recipe:
    """A recipe for a BERT with other pairs, and the model and objective that these need.

    Raises:
        ValueError: if it is for another model.
    """
    if pairs == getattr(recipe.data.config, "pairs", "none"):
        return recipe
    table = recipe.table()
    architecture = "bert" if hasattr(recipe.model.config, "type_vocab_size") else "modernbert"
    model, objective = kinds_for(architecture, pairs, "masking")
    named = {} if recipe.start else {"kind": model}
    return recipe_from(table | {"data": table["data"] | {"pairs": pairs},
                                "model": table["model"] | named,
                                "objective": table["objective"] | {"kind": objective}}, "the recipe")


# --------------------------------------------------------------------------------------- kinds


def kind_named(name: str | None, part: str, where: str) -> type:
    """The class that a recipe names: one of the library's, or a `package.module:Class`."""
    known = {name: kind for name, kind in exported_classes().items() if can_be(part, kind)}
    if isinstance(name, str) and ":" in name:
        kind = imported(name, where)
        if not can_be(part, kind):
            raise ValueError(f"{where}: {name} must be {described_base(PARTS[part])}")
        return kind
    if name is None:
        raise ValueError(f"{where} has no line kind: known are {', '.join(known)}, and "
                         "package.module:Class")
    if name not in known:
        raise ValueError(f"{where}: unknown kind {name!r}; {nearest(name, known)}")
    return known[name]


def imported(name: str, where: str):
    """What `package.module:Class` names; a recipe is the user's own, so its module may run."""
    module, _, attribute = name.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ModuleNotFoundError, AttributeError) as error:
        raise ValueError(f"{where}: {name} cannot be imported, {error}: a module is looked for in "
                         "the folder that the program is started in, and on PYTHONPATH") from None


def can_be(part: str, kind) -> bool:
    """Whether a class can be that part of a recipe: built from its `config_class`, and no more."""
    return (isinstance(kind, type) and issubclass(kind, PARTS[part])
            and is_dataclass(getattr(kind, "config_class", None))
            and (part != "model" or not issubclass(kind, Objective))
            and not getattr(kind, "takes_labels", False))


def described_base(base: type) -> str:
    return f"a subclass of {base.__name__} that is built from its config_class alone"


def exported_classes() -> dict[str, type]:
    """The classes that `pretrain_lib` exports, by name."""
    library = sys.modules[__name__.partition(".")[0]]
    exports = {name: getattr(library, name) for name in library.__all__}
    return {name: thing for name, thing in exports.items() if isinstance(thing, type)}


def name_of(kind: type) -> str:
    """What a recipe calls a class."""
    exported = exported_classes().get(kind.__name__) is kind
    return kind.__name__ if exported else f"{kind.__module__}:{kind.__qualname__}"
