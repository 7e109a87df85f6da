"""Recipes as they were written before there was `[data]`, in today's form.

They have a line `architecture`, "bert" or "modernbert", the tables `[text]` and `[masking]`, and
in the latter `pairs`, which is now said of the data. Old files, and the folders of runs that were
begun with them, are read through here.
"""

from __future__ import annotations

from ..validation import unknown_field

TABLES_THEN = {"data": "text", "objective": "masking"}  # what today's tables were called
KNOWN = ["text", "model", "masking", "train", "start_at_unigram", "start_at_neighbours"]
KINDS = {"bert": ("BertForMaskedLM", "MaskedLM"), "modernbert": ("ModernBertForMaskedLM", "MaskedLM")}
OF_PAIRS = ("BertForPreTraining", "BertPretraining")


def is_old(table: dict) -> bool:
    """Whether a recipe is of the old form."""
    return not table.keys().isdisjoint(("architecture", *TABLES_THEN.values()))


def in_todays_form(table: dict, where: str) -> dict:
    """A table of the old form as one of today's.

    Args:
        where: what errors call it.

    Raises:
        ValueError: if the architecture or a table is unknown, or a ModernBERT should read pairs.
    """
    table = dict(table)
    architecture = table.pop("architecture", None)
    if architecture not in KINDS:
        raise ValueError(f"{where}: architecture must be one of {', '.join(KINDS)}, "
                         f"got {architecture!r}")
    for name in table:
        if name not in KNOWN:
            raise unknown_field(name, KNOWN, where)
    text, model, masking = (table.pop(name, {}) for name in ("text", "model", "masking"))
    for name, part in (("text", text), ("model", model), ("masking", masking)):
        if not isinstance(part, dict):
            raise ValueError(f"{where}: {name} must be a table, [{name}], got {part!r}")
        if "kind" in part and name != "text":
            raise unknown_field("kind", ["architecture"], f"{where}, [{name}]")
    masking = dict(masking)
    pairs = masking.pop("pairs", "none")
    kind_of_model, kind_of_objective = kinds_for(architecture, pairs, where)
    return {**table, "data": {"kind": "TextData", **of_today(text), "pairs": pairs},
            "model": {"kind": kind_of_model, **model},
            "objective": {"kind": kind_of_objective, **masking}}


def kinds_for(architecture: str, pairs: str, where: str) -> tuple[str, str]:
    """The model and the objective that `architecture` and `pairs` stood for.

    Raises:
        ValueError: if a ModernBERT should read pairs.
    """
    if pairs == "none":
        return KINDS[architecture]
    if architecture != "bert":
        raise ValueError(f"{where}: pairs={pairs!r} needs a BERT, which tells two segments apart: "
                         "set architecture = \"bert\", or pairs = \"none\"")
    return OF_PAIRS


def of_today(text: dict) -> dict:
    """The fields of `[text]`, whose `kind` was the tokenizer's."""
    return {"tokenizer_kind" if name == "kind" else name: value for name, value in text.items()}
