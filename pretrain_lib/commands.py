"""What the command line does: each command is a function of the words that follow its name."""

from __future__ import annotations

import os
import re
import shlex
import sys
from dataclasses import dataclass, make_dataclass, replace
from pathlib import Path

from .data.tables.dialect import Dialect
from .programs.embed import embed
from .programs.embedder import Comparing
from .programs.fill import fill
from .programs.finetune import finetune
from .programs.predict import predict
from .programs.recipe import Recipe, read_recipe, with_pairs, with_start
from .programs.search import search
from .programs.start import for_continuing, warmed_up
from .training.checkpoint import NotWrittenError
from .training.distributed import PeerError, launched, rank

CHECKPOINTS = "checkpoints"


def prepare(words: list[str]) -> None:
    """Tokenises a text once, into files that training maps into memory."""
    import tyro

    from .data.text.text_data import TextConfig, prepared, prepared_folder
    from .data.text.tokenizer import special_ids
    from .data.text.unknown import about_unknown, unknown_share

    words = [re.sub(r"^--kind\b", "--tokenizer-kind", word) for word in words]  # as it once was
    text = tyro.cli(TextConfig, args=words, prog="python -m pretrain_lib prepare",
                    description="Tokenises a text once, into files that training maps into memory. "
                                "Interrupted, it goes on where it stopped.")
    beside = Path("runs/run")  # where runs look for it
    tokenizer, dataset = prepared(text, beside)
    print(f"{dataset.num_documents} documents, {dataset.tokens} tokens of a vocabulary of "
          f"{tokenizer.get_vocab_size()} in {prepared_folder(text, beside)}")
    print(about_unknown(unknown_share(dataset.counts, special_ids(tokenizer))))


def pretrain(words: list[str]) -> None:
    """Trains a model from a recipe."""
    from .hf import family_of
    from .programs.pretrain import MODEL
    from .programs.pretrain import pretrain as carry_out

    path, rest = first_word(words, "pretrain", "RECIPE.toml", known_recipes())
    recipe, folder, resume, minutes = recipe_and_options(path, rest)
    if (folder / CHECKPOINTS).is_dir() and not resume:
        raise ValueError(f"{folder} holds a run already: add --resume to go on with it, or choose "
                         "another --folder")
    try:
        model = carry_out(recipe, folder, minutes=minutes)
    except (KeyboardInterrupt, NotWrittenError, PeerError) as end:
        if rank() == 0 and (folder / CHECKPOINTS).is_dir():
            end.add_note(f"to go on: {resuming(words)}")
        raise
    if rank() == 0 and (folder / MODEL).is_dir():
        readers = "transformers reads it, and so does load_pretrained"
        print(f"the model is in {folder / MODEL}; "
              f"{readers if family_of(model) else 'load_pretrained reads it'}")


def evaluate(words: list[str]) -> None:
    """Scores a model on what its run held out, any text, blanks, retrieval, or pairs of texts."""
    import tyro

    name, rest = first_word(words, "evaluate", "MODEL", "a folder, a run's folder, or a zoo name")

    @dataclass
    class Options:
        """Options of `evaluate`.

        Attributes:
            on: a text, as "my.txt", or a folder or name of the zoo with blanks and the tokenizer
                they were made with; left empty, what a run held out, and for a model the blanks of
                "sotu-8192".
            column: where the rows of that text hold it.
            retrieval: a table with the columns query and document: does the model find each query's
                own document among all of them, and better than BM25 and TF-IDF do?
            pairs: a table with the columns first, second and score: do cosines rise with the
                scores?
            comparing: how texts are compared, for these two, and for the pairs that a run held out.
            table: how a table is written, where it cannot be guessed.
        """

        on: str = ""
        column: str = "text"
        retrieval: str = ""
        pairs: str = ""
        comparing: Comparing = Comparing()
        table: Dialect = Dialect()

    options = tyro.cli(Options, args=rest, prog="python -m pretrain_lib evaluate MODEL",
                       config=(tyro.conf.OmitArgPrefixes,))
    asked = [f"--{word}" for word in ("on", "retrieval", "pairs") if getattr(options, word)]
    if len(asked) > 1:
        raise ValueError(f"{' and '.join(asked)} are asked one at a time: leave one out")
    print(scores_by_vectors(name, options) or scores_by_tokens(name, options))


def scores_by_vectors(name: str, options):
    """How well vectors of texts find or tell alike what belongs together; None if not asked."""
    from .data.text.neighbour_data import NeighbourConfig
    from .programs.evaluate import is_run, recipe_of
    from .programs.evaluate_pairs import evaluate_pairs
    from .programs.evaluate_retrieval import evaluate_held_out_pairs, evaluate_retrieval

    if options.retrieval:
        return evaluate_retrieval(name, options.retrieval, options.comparing, options.table)
    if options.pairs:
        return evaluate_pairs(name, options.pairs, options.comparing, options.table)
    run = not options.on and is_run(name)
    if run and isinstance(recipe_of(name).data.config, NeighbourConfig):
        return evaluate_held_out_pairs(name, options.comparing)
    if options.comparing != Comparing():
        raise ValueError("--pooling, --length and --terms are for --retrieval and --pairs: leave "
                         "them out")
    return None


def scores_by_tokens(name: str, options):
    """How well a model tells the tokens of what its run held out, of any text, or of blanks."""
    from .programs.evaluate import evaluate_blanks, evaluate_held_out, evaluate_text, is_run
    from .zoo import ZOO

    if not options.on and is_run(name):
        return evaluate_held_out(name)
    on = options.on or "sotu-8192"
    for place in (Path(on), ZOO / on):
        if place.is_dir():
            return evaluate_blanks(name, place)
    return evaluate_text(name, on, options.column, options.table)


def generate(words: list[str]) -> None:
    """Writes texts with a model: goes on with a prompt, or fills the [MASK]s in it."""
    import tyro

    from .programs.generate import Writing
    from .programs.generate import generate as carry_out

    name, rest = first_word(words, "generate", "MODEL", "a folder, a run's folder, or a zoo name")
    writing = tyro.cli(Writing, args=rest, prog="python -m pretrain_lib generate MODEL")
    print(*carry_out(name, writing), sep="\n\n")


BENCHES = ("steps", "ladder", "ranks", "paper", "int8", "images")


def bench(words: list[str]) -> None:
    """Times steps, the speed ladder, a step shared among processes or on paper, int8, images."""
    import tyro

    from .bench import tables

    what, rest = (words[0], words[1:]) if words and words[0][0] != "-" else (BENCHES[0], words)
    if what not in BENCHES:
        raise ValueError(f"what to time must be one of {', '.join(BENCHES)}, got {what!r}")

    @dataclass
    class Options:
        """How fast this machine trains, and where the time goes.

        "bench steps", or no word, times a step, its matrix products alone, the trainer and a bare
        loop, in turns. "bench ladder" trains with one change after the other. "bench ranks" shares
        a step among processes. "bench paper" does so on machines that are not here. "bench int8"
        sets the zoo's models in int8 beside fp32, with the instructions of older processors too.
        "bench images" counts the scenes drawn in a second, alone and in two views.

        Attributes:
            rounds: how often each is timed; medians are printed. Of the ladder: how many seeds.
            large: for "steps": whether to time 12 × 768 too, which takes minutes on a CPU.
            recipe: for "ladder": what is trained, by masked language modelling alone.
            updates: for "ladder": how long each rung trains.
            ranks: for "ranks": the most processes; 1, 2, 4, … up to it are timed.
        """

        rounds: int = 3 if what == "ladder" else 7
        large: bool = False
        recipe: str = "recipes/modernbert-mini-laptop.toml"
        updates: int = 60
        ranks: int = 2

    options = tyro.cli(Options, args=rest, prog=f"python -m pretrain_lib bench {what}")
    for field in ("rounds", "updates", "ranks"):
        if getattr(options, field) < 1:
            raise ValueError(f"{field} must be at least 1, got {getattr(options, field)}")
    {"steps": lambda: tables.print_steps(options.rounds, options.large),
     "ladder": lambda: tables.print_ladder(read_recipe(options.recipe), options.updates,
                                           options.rounds),
     "ranks": lambda: tables.print_ranks([2**k for k in range(options.ranks.bit_length())]),
     "paper": tables.print_paper, "int8": lambda: tables.print_int8(options.rounds),
     "images": lambda: tables.print_images(options.rounds)}[what]()  # fmt: skip


COMMANDS = {"prepare": prepare, "pretrain": pretrain, "evaluate": evaluate, "finetune": finetune,
            "predict": predict, "embed": embed, "search": search, "fill": fill,
            "generate": generate, "bench": bench}


# ------------------------------------------------------------------------------------- reading


def recipe_and_options(path: str, words: list[str]) -> tuple[Recipe, Path, bool, float | None]:
    """The recipe with what the words change of it, the run's folder, whether to resume, minutes."""
    import tyro

    words, pairs = in_todays_words(words)
    recipe = read_recipe(path)
    if pairs is not None:
        recipe = with_pairs(recipe, pairs)
    begins, start = not recipe.start, value_of("--start", words)
    if start:
        recipe = with_start(recipe, start)
        if begins:
            recipe = replace(recipe, train=for_continuing(recipe.train))
    parts = {name: getattr(recipe, name).config for name in ("data", "model", "objective")}
    if recipe.start:
        del parts["model"]
        refuse_words_for_the_model(words, recipe.start)
    settings = {name: getattr(recipe, name)
                for name in ("train", "start_at_unigram", "start_at_neighbours", "start",
                             "keep_an_eye_on")}
    fields = {**parts, **settings, "folder": Path("runs") / Path(path).stem, "resume": False}
    options = make_dataclass("Options", [
        *((name, type(value), value) for name, value in fields.items()),
        ("minutes", float | None, None)])
    kinds = {name: getattr(recipe, name).kind.__name__ for name in ("data", "model", "objective")}
    options.__doc__ = f"""Trains a model from a recipe; every field of it can be set here.

    Attributes:
        data: {kinds["data"]}, what is read.
        model: {kinds["model"]}, what is trained.
        objective: {kinds["objective"]}, what the model has to do.
        train: how it is trained.
        start_at_unigram: whether the output starts at the frequencies of the tokens.
        start_at_neighbours: whether a BERT's first layers start by looking at the neighbours.
        start: a saved model to go on with: a folder, a run's folder, a zoo name, or
            "hub:owner/name@revision". Its shape and its tokenizer come with it.
        keep_an_eye_on: another text, on which the loss of what is held out is measured before and
            after as well, to see what the saved model forgets.
        folder: where config, log, checkpoints, curves and the model go.
        resume: go on with the run that is there.
        minutes: train for so long instead of train.steps: how many updates that makes is found out
            first, and kept for --resume.
    """
    chosen = tyro.cli(options, args=words, prog=f"python -m pretrain_lib pretrain {path}",
                      config=(tyro.conf.AvoidSubcommands,))
    if chosen.minutes is not None and not 0 < chosen.minutes < float("inf"):
        raise ValueError(f"minutes must be above 0, got {chosen.minutes}")
    recipe = replace(recipe, **{name: getattr(chosen, name) for name in settings},
                     **{name: replace(getattr(recipe, name), config=getattr(chosen, name))
                        for name in parts})
    if start and begins:
        if value_of("--train.warmup-steps", words) is None:
            recipe = replace(recipe, train=warmed_up(recipe.train))
        tell_how_it_goes_on(recipe)
    return recipe, chosen.folder, chosen.resume, chosen.minutes


def value_of(option: str, words: list[str]) -> str | None:
    """The value that words give an option, the last one; None where they do not."""
    found, rest = None, iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if name.replace("_", "-") == option:
            found = value if equals else next(rest, "")
    return found


def refuse_words_for_the_model(words: list[str], start: str) -> None:
    """Raises where words would change a saved model's shape."""
    for word in words:
        if word.startswith("--model."):
            raise ValueError(f"{word}: kind and shape are those of {start}, leave it out")


def tell_how_it_goes_on(recipe: Recipe) -> None:
    """Prints, once for all processes, what is set where a recipe is for training from nothing."""
    train = recipe.train
    if rank() == 0:
        print(f"goes on with {recipe.start}: optimizer {train.optimizer}, learning rate "
              f"{train.learning_rate:g}, warm-up over {train.warmup_steps} of {train.steps} "
              "updates; what the recipe says of these is for a model drawn anew, and --train.… "
              "sets others")


def in_todays_words(words: list[str]) -> tuple[list[str], str | None]:
    """Words for the tables `[text]` and `[masking]` as those for today's, and the value of `pairs`.

    What pairs are made decides the kind of model and of objective too, so it is a word of its own.
    """
    found, pairs, rest = [], None, iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if name == "--masking.pairs":
            pairs = value if equals else next(rest, "")
            continue
        name = re.sub(r"^--text\.kind$", "--data.tokenizer-kind", name)
        name = re.sub(r"^--text\.", "--data.", name)
        name = re.sub(r"^--masking\.", "--objective.", name)
        found.append(name + equals + value)
    return found, pairs


def resuming(words: list[str]) -> str:
    """The command that goes on with a run that was started with these words."""
    launcher = "python"
    if launched():
        each = os.environ.get("LOCAL_WORLD_SIZE", "1")
        launcher = f"torchrun --nproc-per-node={each}"
        if os.environ.get("WORLD_SIZE", each) != each:
            launcher += " …"  # several machines: the rest as it was
    words = [word for word in words if word not in ("--resume", "--no-resume")]
    return f"{launcher} -m pretrain_lib pretrain {shlex.join(words)} --resume"


def first_word(words: list[str], command: str, what: str, known: str) -> tuple[str, list[str]]:
    """The word that a command must begin with, and the rest."""
    if not words or words[0].startswith("-"):
        print(f"usage: python -m pretrain_lib {command} {what} [options]\n\n{what}: {known}\n\n"
              f"python -m pretrain_lib {command} {what} --help tells the options")
        sys.exit(0 if "--help" in words or "-h" in words else 2)
    return words[0], words[1:]


def known_recipes() -> str:
    there = sorted(Path("recipes").glob("*.toml"))
    return "one of " + ", ".join(map(str, there)) if there else "a recipe in TOML"


def explain(name: str) -> str:
    """What the program can do, and that `name` is not among it."""
    lines = [f"no such command: {name}\n"] if name and not name.startswith("-") else []
    lines += ["usage: python -m pretrain_lib COMMAND …\n"]
    lines += [f"  {command:10} {run.__doc__.splitlines()[0]}" for command, run in COMMANDS.items()]
    return "\n".join([*lines, "\nCOMMAND --help tells its options"])
