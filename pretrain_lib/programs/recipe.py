"""A recipe: everything that a pre-training run is made of, in one file that can be read aloud.

The two forms of the encoder are kept apart: `BertRecipe` is 2018's, `ModernBertRecipe` today's. A
recipe is a TOML file with one table for each part; what it leaves out has the default value.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, get_type_hints

from ..models.bert import BertConfig
from ..models.modern import ModernBertConfig
from ..training.config import TrainConfig
from ..validation import require, require_at_least, require_kind, require_kinds

Unit = Literal["token", "word", "span"]
TokenizerKind = Literal["wordpiece", "bpe"]
Pairs = Literal["none", "next_sentence", "order"]
ROUNDING = 1e-9


@dataclass(frozen=True)
class TextConfig:
    """What is read, and how it is cut.

    Attributes:
        corpus: what `load_text` takes: "sotu", "docstrings", "books/*.txt", "hub:owner/name".
        column: where the rows of files and of the Hub hold their text.
        config: the Hub's configuration of a data set, where it has several.
        split: the Hub's split.
        revision: the Hub's commit or tag; left empty, the newest when the text is first prepared.
        tokenizer: a folder or a name of the zoo; left empty, one is trained on the corpus.
        vocab_size: number of tokens of a tokenizer that is trained.
        kind: kind of a tokenizer that is trained.
        hold_out: whose held-out documents are not trained on: a name of the zoo, or a folder with
            `held_out.json`; left empty, every twentieth document is held out, and at least two.
        folder: where the tokenised text is kept; left empty, under `prepared` beside the run.
        length: tokens in a block or pair, T.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    corpus: str = "sotu"
    column: str = "text"
    config: str = ""
    split: str = "train"
    revision: str = ""
    tokenizer: str = "sotu-8192"
    vocab_size: int = 8192
    kind: TokenizerKind = "wordpiece"
    hold_out: str = "sotu-8192"
    folder: str = ""
    length: int = 128

    def __post_init__(self):
        require_kinds(self)
        require_at_least(self, 8, "length")
        require_at_least(self, 1, "vocab_size")


@dataclass(frozen=True)
class MaskingConfig:
    """What is hidden of a text.

    Attributes:
        rate: share of the tokens that is hidden, between 0 and 1.
        unit: what is hidden as a whole: a token, a word, or a span of words.
        masked: share of the hidden tokens that become [MASK].
        random: share of them that become a random token; the rest stay as they are.
        pairs: what is predicted of two segments besides: nothing, whether the second follows the
            first (BERT), or whether they stand in order (ALBERT). Needs a BERT.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    rate: float = 0.15
    unit: Unit = "token"
    masked: float = 0.8
    random: float = 0.1
    pairs: Pairs = "none"

    def __post_init__(self):
        require_kinds(self)
        require(0 < self.rate < 1, "rate", self.rate, "above 0 and below 1")
        require(0 <= self.masked <= 1, "masked", self.masked, "between 0 and 1")
        most = max(1 - self.masked, 0.0)
        require(0 <= self.random <= most + ROUNDING, "random", self.random,
                f"between 0 and {most:g}, what masked={self.masked} leaves")

    @property
    def replace(self) -> tuple[float, float, float]:
        """Shares of the hidden tokens that become [MASK], become random, and stay."""
        return self.masked, self.random, max(1 - self.masked - self.random, 0.0)


@dataclass(frozen=True)
class BertRecipe:
    """Pre-training as in 2018.

    Attributes:
        text: what is read.
        model: the encoder's shape; its vocabulary is the tokenizer's, whatever stands here.
        masking: what is hidden.
        train: how it is trained.
        start_at_unigram: whether the output starts at the frequencies of the tokens.
        start_at_neighbours: whether the first layers start by looking at the neighbours, see
            `models.bert.start_at_neighbours`.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    text: TextConfig = field(default_factory=TextConfig)
    model: BertConfig = field(default_factory=BertConfig)
    masking: MaskingConfig = field(default_factory=MaskingConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    start_at_unigram: bool = True
    start_at_neighbours: bool = False

    def __post_init__(self):
        require_kinds(self)
        require_positions(self)


@dataclass(frozen=True)
class ModernBertRecipe:
    """Pre-training as of today.

    Attributes:
        text: what is read.
        model: the encoder's shape; its vocabulary is the tokenizer's, whatever stands here.
        masking: what is hidden.
        train: how it is trained.
        start_at_unigram: whether the output starts at the frequencies of the tokens.

    Raises:
        ValueError: naming the field, its value and what is allowed.
    """

    text: TextConfig = field(default_factory=TextConfig)
    model: ModernBertConfig = field(default_factory=ModernBertConfig)
    masking: MaskingConfig = field(default_factory=MaskingConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    start_at_unigram: bool = True

    def __post_init__(self):
        require_kinds(self)
        require_positions(self)
        if self.masking.pairs != "none":
            raise ValueError(f"pairs={self.masking.pairs!r} needs a BERT, which tells two segments "
                             "apart: set architecture = \"bert\", or pairs = \"none\"")


def require_positions(recipe) -> None:
    """The model has a position for each token of a block."""
    most = recipe.model.max_position_embeddings
    require(recipe.text.length <= most, "text.length", recipe.text.length,
            f"at most model.max_position_embeddings={most}")


Recipe = BertRecipe | ModernBertRecipe
ARCHITECTURES = {"bert": BertRecipe, "modernbert": ModernBertRecipe}


def architecture_of(recipe: Recipe) -> str:
    """What the line `architecture` of a recipe says."""
    return next(name for name, kind in ARCHITECTURES.items() if type(recipe) is kind)


def read_recipe(path: str | Path) -> Recipe:
    """The recipe that a TOML file describes; its line `architecture` says which form.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no TOML, or a field is unknown or has a value that is not allowed,
            naming the field, and the nearest that exists.
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
    if "architecture" not in table and (near := get_close_matches("architecture", table, n=1)):
        raise unknown_field(near[0], ["architecture"], str(path))
    architecture = table.pop("architecture", None)
    if architecture not in ARCHITECTURES:
        raise ValueError(f"{path}: architecture must be one of {', '.join(ARCHITECTURES)}, "
                         f"got {architecture!r}")
    return build(ARCHITECTURES[architecture], table, str(path))


def build(kind: type, table: dict, where: str):
    """A dataclass from a table, its parts from the tables within."""
    known = [f.name for f in fields(kind)]
    hints = get_type_hints(kind)
    values = {}
    for name, value in table.items():
        if name not in known:
            raise unknown_field(name, known, where)
        if is_dataclass(hints[name]):
            if not isinstance(value, dict):
                raise ValueError(f"{where}: {name} must be a table, [{name}], got {value!r}")
            value = build(hints[name], value, f"{where}, [{name}]")
        values[name] = tuple(value) if isinstance(value, list) else value
    try:
        for name, value in values.items():
            require_kind(name, value, hints[name])
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from None


def unknown_field(name: str, known: list[str], where: str) -> ValueError:
    """The error for a field that does not exist, with the nearest that does."""
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    guess = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
    return ValueError(f"{where}: unknown field {name!r}; {guess}")
