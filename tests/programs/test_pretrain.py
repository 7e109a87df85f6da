"""From a recipe to a model, by the command line: whole, killed and resumed, and with mistakes."""

import itertools
import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file

from pretrain_lib import ModernBertForCausalLM, commands
from pretrain_lib.__main__ import main
from pretrain_lib.commands import recipe_and_options
from pretrain_lib.data.text import text_data
from pretrain_lib.data.text.document import Corpus, Document
from pretrain_lib.data.keys import Keys
from pretrain_lib.data.text.packing import PackedBlocks
from pretrain_lib.data.text.pairs import SentencePairs
from pretrain_lib.data.text.load import load_text
from pretrain_lib.data.tables.dialect import Dialect
from pretrain_lib.data.text.text_data import TextConfig, TextData, blocks_or_pairs, digest, said_of, settled
from pretrain_lib.data.text.token_dataset import TokenDataset
from pretrain_lib.data.text.tokenizer import load_tokenizer, special_ids, train_tokenizer
from pretrain_lib.evaluation.masked import MaskedSet, masked_scores
from pretrain_lib.objectives.masked_lm import MaskedLM
from pretrain_lib.pretrained import load_pretrained
from pretrain_lib.programs import pretrain as pretrain_program
from pretrain_lib.programs.pretrain import pretrain
from pretrain_lib.programs.recipe import read_recipe
from pretrain_lib.training.trainer import Trainer

WORDS = ("the a of and to in it was that he she they house river stone light water road city "
         "old new green long went saw took gave under over after before").split()
RECIPE = """
architecture = "{architecture}"
[text]
corpus = "{corpus}"
tokenizer = ""
vocab_size = 120
hold_out = ""
length = 24
[model]
hidden_size = 16
num_hidden_layers = 2
num_attention_heads = 2
intermediate_size = 24
max_position_embeddings = 32
[masking]
rate = 0.3
pairs = "{pairs}"
[train]
steps = {steps}
batch_size = 8
optimizer = "muon"
device = "cpu"
log_every = 1
evaluate_every = 10
checkpoint_every = 4
workers = {workers}
"""


def sentence(generator):
    """Words of which most call for the next, so there is something to learn."""
    place, words = generator.randrange(len(WORDS)), []
    for _ in range(generator.randint(4, 12)):
        words.append(WORDS[place])
        likely = (7 * place + 3) % len(WORDS)
        place = likely if generator.random() < 0.9 else generator.randrange(len(WORDS))
    return " ".join(words).capitalize() + "."


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    generator = random.Random(0)
    folder = tmp_path_factory.mktemp("corpus")
    for number in range(30):
        text = " ".join(sentence(generator) for _ in range(generator.randint(3, 15)))
        (folder / f"{number:02}.txt").write_text(text, encoding="utf-8")
    return folder / "*.txt"


def recipe_file(folder, corpus, architecture="bert", pairs="next_sentence", steps=12, workers=0):
    path = folder / "r.toml"
    path.write_text(RECIPE.format(architecture=architecture, corpus=corpus, pairs=pairs,
                                  steps=steps, workers=workers), encoding="utf-8")
    return path


@pytest.mark.parametrize("architecture, pairs", [
    ("bert", "next_sentence"), ("bert", "order"), ("bert", "none"), ("modernbert", "none")])
def test_a_recipe_becomes_a_model_that_transformers_reads(architecture, pairs, corpus, tmp_path):
    recipe = read_recipe(recipe_file(tmp_path, corpus, architecture, pairs))
    pretrain(recipe, tmp_path / "runs" / "one")
    folder = tmp_path / "runs" / "one"
    assert {"config.json", "log.jsonl", "checkpoints", "curves.png", "model"} <= set(
        os.listdir(folder))
    fill = transformers.pipeline("fill-mask", model=str(folder / "model"), dtype=torch.float32)
    assert len(fill("the old [MASK] went over the river.")) == 5
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "model")
    batch = tokenizer(["the old river", "it was long after that she went"], padding=True,
                      return_tensors="pt")
    with torch.no_grad():
        theirs = fill.model(**batch).logits
        ours = load_pretrained(folder)(**{k: v for k, v in batch.items()})
    ours = getattr(ours, "masked_lm", ours)
    assert (ours - theirs)[batch["attention_mask"] == 1].abs().max() < 1e-5


def text_with_eras(label="era"):
    """Speeches of two eras, of even and of odd tokens, so that a token tells its era."""
    generator = random.Random(0)
    documents = [[[generator.randrange(10, 100, 2) + i % 2 for _ in range(5)] for _ in range(12)]
                 for i in range(8)]
    return TokenDataset.in_memory(documents, 120, labels=[{label: str(i % 2)} for i in range(8)])


@pytest.mark.parametrize("pairs, task", [("next_sentence", "nsp"), ("order", "order")])
def test_what_training_sees_are_pairs_of_the_task(pairs, task):
    config = TextConfig(corpus="mine.txt", length=24, pairs=pairs)
    seen = blocks_or_pairs(text_with_eras(), config, train_tokenizer([" ".join(WORDS)], 120))
    assert isinstance(seen, SentencePairs) and (seen.task, seen.length) == (task, 24)


def test_the_wrong_next_sentences_of_the_addresses_are_of_the_same_era():
    config = TextConfig(corpus="sotu", length=24, pairs="next_sentence")
    tokenizer = train_tokenizer([" ".join(WORDS)], 120)
    source = blocks_or_pairs(text_with_eras(), config, tokenizer)
    seen = source.take(Keys.of(0, [*range(len(source))] * 20))
    texts = seen["input_ids"] >= 10  # the tokens that are not special
    wrong = seen["next_sentence_label"] == 1
    assert wrong.sum() > 100
    odd = (seen["input_ids"] % 2 == 1) & texts
    assert ((odd == texts).all(1) | ~odd.any(1))[wrong].all()
    with pytest.raises(ValueError, match="no label 'era'"):
        blocks_or_pairs(text_with_eras("year"), config, tokenizer)


def test_other_texts_need_no_era():
    config = TextConfig(corpus="mine.txt", length=24, pairs="next_sentence")
    source = blocks_or_pairs(text_with_eras("year"), config, train_tokenizer([" ".join(WORDS)], 120))
    assert len(source)


def test_training_lowers_the_held_out_loss(corpus, tmp_path):
    recipe = read_recipe(recipe_file(tmp_path, corpus, "modernbert", "none", steps=60))
    pretrain(replace(recipe, train=replace(recipe.train, learning_rate=0.01)), tmp_path / "r")
    log = [json.loads(line) for line in (tmp_path / "r" / "log.jsonl").read_text().splitlines()]
    losses = [record["evaluation"]["loss"] for record in log if "evaluation" in record]
    assert losses[-1] < losses[0] - 0.05


def command(recipe, folder, *more):
    return [sys.executable, "-m", "pretrain_lib", "pretrain", str(recipe), "--folder", str(folder),
            *more]


def lines_of_log_when_killed(words, log, more, then, environment):
    """Starts a run, kills it `then` seconds after `more` lines were added to its log.

    Returns:
        The number of lines in the log, and what the run printed.
    """
    lines = lambda: log.read_text().count("\n") if log.exists() else 0
    before = lines()
    process = subprocess.Popen(words, env=environment | {"PYTHONUNBUFFERED": "1"}, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    while process.poll() is None and lines() < before + more:
        time.sleep(0.01)
    time.sleep(then)
    process.send_signal(signal.SIGKILL)
    said, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL, "the run ended before it was killed"
    return lines(), said


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_killed_at_random_and_resumed_it_ends_with_the_same_bits(workers, corpus, tmp_path):
    """MLM + NSP; SIGKILL at random moments, resumed until it is through."""
    recipe = recipe_file(tmp_path, corpus, steps=400, workers=workers)
    quiet = os.environ | {"TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1"}
    subprocess.run(command(recipe, tmp_path / "whole"), check=True, env=quiet, capture_output=True)
    generator, killed_at, said = random.Random(workers), [], []
    for _ in range(3):
        lines, printed = lines_of_log_when_killed(
            command(recipe, tmp_path / "killed", "--resume"), tmp_path / "killed" / "log.jsonl",
            more=generator.randint(3, 9), then=0.3 * generator.random(), environment=quiet)
        killed_at.append(lines)
        said.append(printed)
    assert sum(0 < lines < 440 for lines in killed_at) == 3, killed_at
    last = subprocess.run(command(recipe, tmp_path / "killed", "--resume"), check=True, env=quiet,
                          capture_output=True, text=True)
    resumed = [int(step) for printed in [*said, last.stdout]
               for step in re.findall(r"resumed from step (\d+) of 400", printed)]
    assert resumed and resumed == sorted(resumed) and 0 < resumed[-1] < 400, resumed
    assert f"resumed from step {resumed[-1]} of" in last.stdout
    whole, killed = (load_file(tmp_path / name / "model" / "model.safetensors")
                     for name in ("whole", "killed"))
    assert whole.keys() == killed.keys()
    assert all(torch.equal(whole[name], killed[name]) for name in whole)


# ------------------------------------------------------------------------- the command line


@pytest.mark.parametrize("architecture, words, part, field, value", [
    ("bert", "--data.length 16", "data", "length", 16),
    ("bert", "--text.length 16", "data", "length", 16),
    ("bert", "--text.corpus=mine.txt", "data", "corpus", "mine.txt"),
    ("bert", "--text.kind bpe", "data", "tokenizer_kind", "bpe"),
    ("bert", "--model.hidden-size 32", "model", "hidden_size", 32),
    ("modernbert", "--model.layer-types full_attention full_attention", "model", "layer_types",
     ("full_attention", "full_attention")),
    ("bert", "--objective.unit span", "objective", "unit", "span"),
    ("bert", "--masking.unit span", "objective", "unit", "span"),
])
def test_a_word_changes_that_field_and_no_other(architecture, words, part, field, value, tmp_path):
    path = recipe_file(tmp_path, "x.txt", architecture, "none")
    recipe = read_recipe(path)
    changed, folder, resume, minutes = recipe_and_options(str(path), words.split())
    was = getattr(recipe, part)
    assert getattr(was.config, field) != value
    config = replace(was.config, **{field: value})
    assert changed == replace(recipe, **{part: replace(was, config=config)})
    assert (folder, resume) == (Path("runs/r"), False)


@pytest.mark.parametrize("words, field, value", [
    ("--train.betas 0.5 0.6", "betas", (0.5, 0.6)), ("--train.precision auto", "precision", "auto")])
def test_a_word_changes_how_it_is_trained(words, field, value, tmp_path):
    path = recipe_file(tmp_path, "x.txt")
    recipe = read_recipe(path)
    changed = recipe_and_options(str(path), words.split())[0]
    assert changed == replace(recipe, train=replace(recipe.train, **{field: value})) != recipe


@pytest.mark.parametrize("word", ["--masking.pairs {}", "--masking.pairs={}"])
@pytest.mark.parametrize("before, after", [
    ("none", "order"), ("next_sentence", "none"), ("next_sentence", "order"), ("order", "order")])
def test_what_once_was_a_word_for_pairs_makes_the_recipe_that_says_them(before, after, word, tmp_path):
    words = word.format(after).split()
    changed = recipe_and_options(str(recipe_file(tmp_path, "x.txt", pairs=before)), words)[0]
    assert changed == read_recipe(recipe_file(tmp_path, "x.txt", pairs=after))


def test_pairs_are_not_for_a_modernbert(tmp_path):
    path = str(recipe_file(tmp_path, "x.txt", "modernbert", "none"))
    for word in ("--masking.pairs", "--data.pairs"):
        with pytest.raises(ValueError, match="pairs='order' needs a BERT"):
            recipe_and_options(path, [word, "order"])


def test_words_that_belong_to_the_recipe_or_the_run(tmp_path):
    path = recipe_file(tmp_path, "x.txt")
    words = "--no-start-at-unigram --start-at-neighbours --folder there --resume"
    changed, folder, resume, minutes = recipe_and_options(str(path), words.split())
    assert changed == replace(read_recipe(path), start_at_unigram=False, start_at_neighbours=True)
    assert (folder, resume) == (Path("there"), True)


@pytest.mark.parametrize("folder", ["", "kept"])
def test_prepare_then_pretrain_then_evaluate(folder, corpus, tmp_path, monkeypatch, capsys):
    """What is prepared is what training finds, and a model is scored on blanks of its tokenizer."""
    monkeypatch.chdir(tmp_path)
    text = ["--corpus", str(corpus), "--tokenizer", "", "--vocab-size", "120", "--folder", folder]
    assert main(["prepare", *text]) == 0
    said = re.search(r"30 documents, (\d+) tokens of a vocabulary of (\d+) in (.+)\n",
                     capsys.readouterr().out)
    place = Path(said[3])
    assert place == Path("kept") if folder else place.parent == Path("runs/prepared")
    tokenizer, dataset = load_tokenizer(place), TokenDataset(place)
    assert (dataset.tokens, tokenizer.get_vocab_size()) == (int(said[1]), int(said[2]))
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    recipe = recipe_file(tmp_path, corpus, "modernbert", "none", steps=2)
    assert main(["pretrain", str(recipe), "--text.folder", folder]) == 0
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before

    blocks = PackedBlocks(dataset, 24, special_ids(tokenizer))
    MaskedSet.draw(blocks, MaskedLM.of(tokenizer), range(8)).save(place)
    capsys.readouterr()
    assert main(["evaluate", "runs/r", "--on", str(place)]) == 0
    scores = masked_scores(load_pretrained("runs/r"), MaskedSet.load(place))
    assert capsys.readouterr().out == (f"loss {scores.loss:.4f} nats, accuracy "
                                       f"{scores.accuracy:.2%}, {scores.blanks} blanks\n")
    assert scores.blanks > 8


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_tells_the_command_that_goes_on_and_it_does(number, corpus, tmp_path,
                                                                        capsys, monkeypatch):
    recipe = recipe_file(tmp_path, corpus, steps=30)
    words = ["pretrain", str(recipe), "--folder", str(tmp_path / "the run")]
    update = Trainer.update

    def stopped(trainer, *arguments):
        if trainer.step == 7:
            os.kill(os.getpid(), number)
        return update(trainer, *arguments)

    monkeypatch.setattr(Trainer, "update", stopped)
    assert main(words) == 130
    said = capsys.readouterr().err.splitlines()
    assert said[-2].startswith("stopped after step 8; resume from")
    command = shlex.split(said[-1].removeprefix("to go on: "))
    assert command[:3] == ["python", "-m", "pretrain_lib"] and command[3:] == [*words, "--resume"]
    monkeypatch.setattr(Trainer, "update", update)
    assert main(command[3:]) == 0
    assert "resumed from step 8 of 30" in capsys.readouterr().out


@pytest.mark.parametrize("environment, launcher", [
    ({"LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "2"}, "torchrun --nproc-per-node=2 -m pretrain_lib"),
    ({"LOCAL_WORLD_SIZE": "8", "WORLD_SIZE": "16"}, "torchrun --nproc-per-node=8 … -m pretrain_lib")])
def test_a_run_of_several_ranks_goes_on_under_torchrun(environment, launcher, monkeypatch):
    monkeypatch.setattr(commands, "launched", lambda: True)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert commands.resuming(["r.toml", "--resume"]) == f"{launcher} pretrain r.toml --resume"


# ------------------------------------------------------------------------------------- mistakes


def test_a_folder_with_a_run_is_not_trained_over(corpus, tmp_path, capsys):
    recipe = recipe_file(tmp_path, corpus, steps=2)
    words = ["pretrain", str(recipe), "--folder", str(tmp_path / "run")]
    assert main(words) == 0
    assert main(words) == 1
    assert "--resume" in capsys.readouterr().err
    assert main([*words, "--resume"]) == 0
    assert main([*words, "--resume", "--train.learning-rate", "0.5"]) == 1
    assert "learning_rate" in capsys.readouterr().err


@pytest.fixture(scope="module")
def finished(corpus, tmp_path_factory):
    """The words that made a finished run, and its folder."""
    folder = tmp_path_factory.mktemp("finished")
    words = ["pretrain", str(recipe_file(folder, corpus, steps=2)), "--folder", str(folder / "run")]
    assert main(words) == 0
    return words, folder / "run"


@pytest.mark.parametrize("changes, said", [
    ("--model.num-attention-heads 4", "recipe.model.num_attention_heads: 2, now 4"),
    ("--model.hidden-dropout-prob 0.5 --no-start-at-unigram",
     "recipe.start_at_unigram: True, now False; recipe.model.hidden_dropout_prob: 0.1, now 0.5"),
    ("--data.pairs order", "recipe.data.pairs: 'next_sentence', now 'order'"),
    ("--masking.rate 0.2", "objective.masked_lm.rate: 0.3, now 0.2"),
    ("--text.length 32", "recipe.data.length: 24, now 32"),
    ("--data.vocab-size 110", "recipe.data.tokenizer_hash: '[0-9a-f]{64}', now '[0-9a-f]{64}'"),
    ("--data.hold-out {held_out}", "recipe.data.training_text: .*; recipe.data.held_out_text: "),
])
def test_another_recipe_is_another_run_and_leaves_the_finished_model(
        changes, said, finished, corpus, tmp_path, capsys):
    words, run = finished
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    sources = [document.source for document in load_text(corpus)]
    (tmp_path / "held_out.json").write_text(json.dumps(sources[3:5]), encoding="utf-8")
    changes = changes.format(held_out=tmp_path).split()
    assert main([*words, "--resume", *changes]) == 1
    assert re.search(said, capsys.readouterr().err)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_run_knows_its_text_by_what_it_holds(finished, tmp_path):
    """The place of the tokens may change; config.json holds all the rest of the recipe."""
    words, run = finished
    assert main([*words, "--resume", "--text.folder", str(tmp_path / "elsewhere")]) == 0
    held = json.loads((run / "config.json").read_text())
    recipe = read_recipe(words[1])
    table = recipe.table()
    assert held["recipe"]["objective"] == table["objective"]
    assert said_of(recipe.data.config).items() <= held["recipe"]["data"].items()
    assert asdict(settled(recipe.data.config)).keys() - said_of(recipe.data.config) == {"folder"}
    vocab_size = load_pretrained(run).config.vocab_size
    assert held["recipe"]["model"] == table["model"] | {"vocab_size": vocab_size}
    assert held["train"] == asdict(recipe.train) | {"betas": [0.9, 0.999]}


TODAY = """
[data]
kind = "TextData"
corpus = "{corpus}"
tokenizer = ""
vocab_size = 120
hold_out = ""
length = 24
{pairs}
[model]
kind = "{model}"
hidden_size = 16
num_hidden_layers = 2
num_attention_heads = 2
intermediate_size = 24
max_position_embeddings = 32
[objective]
kind = "{objective}"
"""


def test_a_run_goes_on_with_its_recipe_in_the_other_form(finished, corpus, tmp_path):
    words, run = finished
    then = Path(words[1]).read_text(encoding="utf-8")
    today = TODAY.format(corpus=corpus, pairs='pairs = "next_sentence"', model="BertForPreTraining",
                         objective="BertPretraining") + then[then.index("rate"):].replace('pairs = "next_sentence"', "")
    (tmp_path / "today.toml").write_text(today, encoding="utf-8")
    assert read_recipe(tmp_path / "today.toml") == read_recipe(words[1])
    before = (run / "config.json").read_bytes()
    assert main(["pretrain", str(tmp_path / "today.toml"), "--folder", str(run), "--resume"]) == 0
    assert (run / "config.json").read_bytes() == before


def test_a_run_from_before_is_refused_another_recipe_and_goes_on_with_its_own(tmp_path, monkeypatch, capsys):
    """Its config.json says its recipe in the form of then."""
    shutil.copytree(Path(__file__).parents[1] / "saved" / "pretraining", tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    config = Path("runs/bert/config.json")
    assert "architecture" in json.loads(config.read_text())["recipe"]
    words = ["pretrain", "bert.toml", "--folder", "runs/bert", "--resume"]
    assert main([*words, "--model.layer-norm-eps", "1e-6", "--text.hold-out", "sotu-8192"]) == 1
    assert "none of the documents" in capsys.readouterr().err
    assert main([*words, "--model.layer-norm-eps", "1e-6", "--no-start-at-unigram"]) == 1
    assert ("(recipe.start_at_unigram: True, now False; recipe.model.layer_norm_eps: 1e-12, now 1e-06)"
            in capsys.readouterr().err)
    assert main(words) == 0
    recipe = json.loads(config.read_text())["recipe"]
    assert recipe["data"]["kind"] == "TextData" and "architecture" not in recipe


def test_a_recipe_of_another_objective_on_text(corpus, tmp_path):
    """Every token from those before it; there are no blanks, so nothing is counted on them."""
    text = TODAY.format(corpus=corpus, pairs="", model="ModernBertForCausalLM", objective="CausalLM")
    (tmp_path / "r.toml").write_text(text + '[train]\nsteps = 3\nbatch_size = 4\ndevice = "cpu"', encoding="utf-8")
    model = pretrain(read_recipe(tmp_path / "r.toml"), tmp_path / "run")
    found = load_pretrained(tmp_path / "run")
    assert type(found) is type(model) is ModernBertForCausalLM
    assert torch.equal(found.output_bias, model.output_bias.cpu())


@pytest.fixture
def unread(monkeypatch):
    """A list of the texts that are read from now on."""
    names = []
    monkeypatch.setattr(text_data, "load_text", lambda name, **kwargs: names.append(name) or load_text(name, **kwargs))
    return names


def test_a_run_that_goes_on_reads_its_text_no_more_and_counts_it_no_more(finished, corpus, unread, monkeypatch):
    words, run = finished
    (run / "report.json").unlink(missing_ok=True)
    assert main([*words, "--resume"]) == 0
    report = json.loads((run / "report.json").read_text())
    assert report["unknown"] == 0 and set(report["counting"]) == {"unigram", "bigram, both sides"}
    monkeypatch.setattr(pretrain_program, "counting_lines", None)
    monkeypatch.setattr("pretrain_lib.data.text.token_dataset.sha256_of", None)
    (run / "curves.png").unlink()
    assert main([*words, "--resume"]) == 0
    assert not unread and (run / "curves.png").is_file()
    assert json.loads((run / "report.json").read_text()) == report


def test_a_finished_run_is_answered_with_its_model_and_only_it(finished, tmp_path, monkeypatch, capsys):
    words, run = finished
    assert main([*words, "--resume"]) == 0  # what other tests took away is there again
    recipe = recipe_and_options(words[1], "")[0]
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}

    class NoTrainer:
        def __init__(self, *args, **kwargs):
            raise AssertionError("trained")

    monkeypatch.setattr(pretrain_program, "Trainer", NoTrainer)
    capsys.readouterr()
    model = pretrain_program.pretrain(recipe, run)
    assert f"{run} holds this run, finished after 2 updates" in capsys.readouterr().out
    saved = load_pretrained(run / "model").state_dict()
    assert all(torch.equal(tensor, saved[name]) for name, tensor in model.state_dict().items())
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    longer = replace(recipe, train=replace(recipe.train, steps=3))
    for other, folder, resume in ((longer, run, True), (recipe, run, False), (recipe, tmp_path, True)):
        with pytest.raises(AssertionError, match="trained"):
            pretrain_program.pretrain(other, folder, resume)


@pytest.mark.parametrize("altered", [False, True])
def test_a_run_that_knew_its_text_by_all_tokens_knows_it_still(finished, altered, capsys):
    words, run = finished
    config = run / "config.json"
    before = config.read_text()
    there = json.loads(before)
    recipe = read_recipe(words[1])
    data = TextData.open(recipe.data.config, run)
    for name, part in zip(("training_text", "held_out_text"), data.documents, strict=True):
        there["recipe"]["data"][name] = digest(part)
    if altered:
        there["recipe"]["data"]["training_text"] = digest(data.documents[1])
    config.write_text(json.dumps(there, indent=1))
    assert main([*words, "--resume"]) == altered
    assert ("recipe.data.training_text" in capsys.readouterr().err) == altered
    if not altered:
        assert json.loads(config.read_text()) == json.loads(before)
    config.write_text(before)


def test_of_a_large_text_stretches_are_counted(monkeypatch):
    documents = [list(range(start, end)) for start, end in itertools.pairwise((0, 50, 53, 53, 453, 460, 500))]
    dataset = TokenDataset.in_memory(documents, 500)
    assert [part.tolist() for part in pretrain_program.sample_of(dataset)] == documents
    monkeypatch.setattr(pretrain_program, "STRETCHES", 10)
    monkeypatch.setattr(pretrain_program, "STRETCH", 6)
    parts = [part.tolist() for part in pretrain_program.sample_of(dataset)]
    ends = {1: 53, 9: 453}  # of documents
    assert parts == [list(range(50 * i, ends.get(i, 50 * i + 6))) for i in range(10)]


def test_tokens_cut_elsewhere_are_another_text():
    texts = [TokenDataset.in_memory(documents, 9) for documents in (
        [[[1, 2], [3]], [[4]]], [[[1], [2, 3]], [[4]]], [[[1, 2]], [[3], [4]]], [[[1, 2], [3]], [[5]]])]
    assert len(set(map(digest, texts))) == 4
    assert digest(texts[0]) == digest(texts[0].subset([0, 1])) != digest(texts[0].subset([1, 0]))


def test_no_such_command_recipe_or_model(tmp_path, capsys):
    assert main(["pretrian"]) == 2
    assert "no such command: pretrian" in capsys.readouterr().out
    assert main(["pretrain", str(tmp_path / "none.toml")]) == 1
    assert "there is no recipe" in capsys.readouterr().err
    assert main(["evaluate", "no-such-model"]) == 1
    assert "neither a folder" in capsys.readouterr().err


def test_a_model_with_another_tokenizer_is_not_compared(corpus, tmp_path, capsys):
    recipe = recipe_file(tmp_path, corpus, steps=1)
    assert main(["pretrain", str(recipe), "--folder", str(tmp_path / "run")]) == 0
    assert main(["evaluate", str(tmp_path / "run"), "--on", "sotu-8192"]) == 1
    assert "another tokenizer" in capsys.readouterr().err


def test_an_empty_corpus_and_one_too_small(tmp_path, capsys):
    (tmp_path / "e.txt").write_text("", encoding="utf-8")
    recipe = recipe_file(tmp_path, tmp_path / "e.txt")
    assert main(["pretrain", str(recipe), "--folder", str(tmp_path / "run")]) == 1
    assert "empty" in capsys.readouterr().err
    (tmp_path / "e.txt").write_text("one word", encoding="utf-8")
    assert main(["pretrain", str(recipe), "--folder", str(tmp_path / "run")]) == 1
    assert "the documents to train on are smaller than one block" in capsys.readouterr().err


def speeches(folder, sizes):
    """Files of so many sentences each, and the pattern that finds them."""
    folder.mkdir()
    generator = random.Random(1)
    for number, size in enumerate(sizes):
        text = " ".join(sentence(generator) for _ in range(size))
        (folder / f"{number:02}.txt").write_text(text, encoding="utf-8")
    return folder / "*.txt"


@pytest.mark.parametrize("pairs", ["none", "next_sentence"])
@pytest.mark.parametrize("sizes, said", [
    ([30, 30, 30, 1, 1], "the held-out documents are smaller than one block: they have"),
    ([1, 1, 30, 30], "the documents to train on are smaller than one block: they have"),
])
def test_a_part_that_is_too_small_is_named_before_training(pairs, sizes, said, tmp_path, capsys):
    recipe = recipe_file(tmp_path, speeches(tmp_path / "c", sizes), pairs=pairs)
    words = ["pretrain", str(recipe), "--folder", str(tmp_path / "run")]
    assert main([*words, "--text.length", "32"]) == 1
    assert said in (error := capsys.readouterr().err) and "data.length is 32" in error
    assert not (tmp_path / "run").exists()


def test_a_part_without_a_pair_is_named_before_training(tmp_path, capsys):
    corpus = speeches(tmp_path / "c", [30, 30, 30])  # one is held out, and has no other for B
    recipe = recipe_file(tmp_path, corpus)
    assert main(["pretrain", str(recipe), "--folder", str(tmp_path / "run")]) == 1
    assert "the held-out documents do not suffice: no pair" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_what_is_held_out_is_not_trained_on_in_another_document():
    """Fifty documents, each of which stands twice."""
    documents = [[5 + i, 60, 61, i % 7] for i in range(50)] * 2
    dataset = TokenDataset.in_memory([np.array(d) for d in documents], 80)
    training, held_out = text_data.split_documents(dataset, "")
    trained, kept_apart = ({tuple(part.document(i).tolist()) for i in range(part.num_documents)}
                           for part in (training, held_out))
    assert held_out.num_documents == 5 and not trained & kept_apart
    assert len(trained | kept_apart) == 50 and training.num_documents == 90
    assert text_data.shares(training, held_out, 100) == (
        "trained on: 90 documents, 360 tokens (94.7%); held out: 5 documents, 20 tokens (5.3%); "
        "left out, because they repeat what is held out: 5 documents")


def test_one_document_many_times_is_one_document():
    dataset = TokenDataset.in_memory([np.array([5, 6, 7])] * 9, 80)
    with pytest.raises(ValueError, match="one document, once repeats are left out"):
        text_data.split_documents(dataset, "")


def test_two_documents_are_enough(tmp_path):
    recipe = recipe_file(tmp_path, speeches(tmp_path / "c", [30, 30]), "modernbert", "none", 2)
    assert main(["pretrain", str(recipe), "--folder", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run" / "curves.png").is_file()


def test_a_binary_file_is_named_with_its_byte(tmp_path, capsys):
    (tmp_path / "b.txt").write_bytes(b"good text and then \xff\xfe\x00 not")
    recipe = recipe_file(tmp_path, tmp_path / "b.txt")
    assert main(["pretrain", str(recipe), "--folder", str(tmp_path / "run")]) == 1
    assert "b.txt" in (error := capsys.readouterr().err) and "byte 21" in error


def test_a_text_of_the_hub_is_pinned_and_asked_for_once(tmp_path, monkeypatch):
    """What lies prepared is used again, also where there is no network."""
    asked = []

    def from_the_hub(name, **settings):
        asked.append((name, settings))
        return Corpus("hub text", lambda: (Document(f"{word} " * 30, f"row {i}", {})
                                           for i, word in enumerate(["gold", "army", "river"])))

    monkeypatch.setattr(text_data, "load_text", from_the_hub)
    text = TextConfig("hub:owner/name", column="body", config="raw", split="validation", revision="c0ffee",
                      tokenizer="", vocab_size=60, hold_out="")
    tokenizer, first = text_data.prepared(text, tmp_path / "run")
    assert asked == [("hub:owner/name", {"column": "body", "config": "raw", "split": "validation", "revision": "c0ffee",
                                         "document": "auto", "dialect": Dialect()})]
    again, second = text_data.prepared(text, tmp_path / "run")
    assert len(asked) == 1 and second.tokens == first.tokens and again.to_str() == tokenizer.to_str()
    text_data.prepared(replace(text, revision="decaf"), tmp_path / "run")
    assert len(asked) == 2, "another revision is another text"
