"""What docstrings of the library send its users to is exported, or named with its module."""

import importlib
import inspect
import pkgutil
import re

import pretrain_lib as pl

INTERNAL = ("pretrain_lib.course", "pretrain_lib.programs", "pretrain_lib.bench", "pretrain_lib.__main__")


def defined() -> set[str]:
    """The classes and functions of the library, whatever module has them."""
    found = set()
    for module in pkgutil.walk_packages(pl.__path__, "pretrain_lib."):
        if not module.name.startswith(INTERNAL):
            members = vars(importlib.import_module(module.name)).items()
            found |= {name for name, thing in members if getattr(thing, "__module__", None) == module.name}
    return found


def docstrings(thing) -> str:
    """Those of a function, or of a class and its public methods."""
    methods = [f for name, f in vars(thing).items() if not name.startswith("_") and inspect.isfunction(f)] if isinstance(thing, type) else []
    return "\n".join(inspect.getdoc(each) or "" for each in [thing, *methods])


def own_words(thing) -> set[str]:
    """Arguments, attributes and methods, which a docstring may call by a word that a function has, too."""
    functions = [f for f in vars(thing).values() if inspect.isfunction(f)] if isinstance(thing, type) else [thing]
    arguments = {name for f in functions for name in inspect.signature(f).parameters}
    return arguments | set(dir(thing)) | set(re.findall(r"^ +(\w+): ", docstrings(thing), re.MULTILINE))


def test_what_a_docstring_sends_to_is_exported_or_has_its_module_before_it():
    everything, missing = defined() - set(pl.__all__), {}
    for name in pl.__all__:
        thing = getattr(pl, name)
        words = set(re.findall(r"`(\w+)(?:\([^`\n]*)?`", docstrings(thing))) - own_words(thing)
        if words & everything:
            missing[name] = sorted(words & everything)
    assert not missing


def test_the_exports_are_sorted_and_there():
    assert pl.__all__ == sorted(set(pl.__all__), key=lambda name: (name.lower(), name))
    assert all(hasattr(pl, name) for name in pl.__all__)


def test_what_a_public_name_needs_beside_it_is_public():
    needed = {"Augmented": ["RandomCrop", "RandomFlip", "RandomRotate", "RandomScale"], "Distillation": ["Tagging"],
              "PackedBlocks": ["special_ids"], "prune": ["importance"], "fine_tune_tagger": ["predicted_tags"],
              "fine_tune_pairs": ["pair_logits"], "fine_tune_regressor": ["predicted_scores"], "LinearProbe": ["features"],
              "fine_tune": ["logits"], "MaskedLM": ["MaskedSet", "masked_scores"], "Objective": ["token_loss"],
              "quantize": ["save_compressed", "load_compressed"], "merge_lora": ["unmerge_lora"],
              "Trainer": ["Source", "CheckpointError", "NonFiniteError"], "TokenDataset": ["ShardError"]}
    missing = [name for names in needed.values() for name in names if name not in pl.__all__]
    assert not missing and all(name in pl.__all__ for name in needed)
