"""Training that goes on with a saved model: what is taken over, what is new, and what is refused."""

import itertools
import json
import random
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

import pretrain_lib as pl
from pretrain_lib.__main__ import main
from pretrain_lib.commands import recipe_and_options
from pretrain_lib.data import hub
from pretrain_lib.data.text.text_data import TextConfig, TextData, prepared
from pretrain_lib.programs.evaluate import recipe_of
from pretrain_lib.programs.forgetting import before_and_after, blanks_in
from pretrain_lib.programs.pretrain import build_model, data_config, pretrain
from pretrain_lib.programs.recipe import read_recipe
from pretrain_lib.training.checkpoint import CheckpointError
from pretrain_lib.training.trainer import Trainer

WORDS = "the a of and to in it was that he she they house river stone light water road city old new".split()
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
         "max_position_embeddings": 32, "initializer_range": 0.2}
RECIPE = """
[data]
kind = "TextData"
corpus = "{corpus}"
length = 24
[model]
start = "{start}"
[objective]
kind = "{objective}"
[train]
steps = 4
batch_size = 4
learning_rate = 0.001
device = "cpu"
"""
FROM_NOTHING = """
start_at_neighbours = true
[data]
kind = "TextData"
corpus = "{corpus}"
length = 24
[model]
kind = "BertForMaskedLM"
[objective]
kind = "MaskedLM"
[train]
steps = 50
batch_size = 4
optimizer = "muon"
learning_rate = 0.005
warmup_steps = 20
device = "cpu"
"""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    generator, folder = random.Random(0), tmp_path_factory.mktemp("corpus")
    for number in range(20):
        text = " ".join(" ".join(generator.choices(WORDS, k=9)).capitalize() + "." for _ in range(8))
        (folder / f"{number:02}.txt").write_text(text, encoding="utf-8")
    return folder / "*.txt"


@pytest.fixture(scope="module")
def tokenizer():
    return pl.train_tokenizer([" ".join(WORDS) + "."], 100)


def their_model(kind, vocab_size):
    """A small one of transformers, of which no parameter is 0 or 1 everywhere."""
    family = kind.split("For")[0].removesuffix("Model")
    config = getattr(transformers, f"{family}Config")(**SIZES, vocab_size=vocab_size, pad_token_id=0)
    torch.manual_seed(1)
    model = getattr(transformers, kind)(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model


@pytest.fixture(scope="module")
def saved(tokenizer, tmp_path_factory):
    """Writes a folder, once, as transformers or sentence-transformers do."""
    made, place = {}, tmp_path_factory.mktemp("models")

    def folder_of(kind, vocab_size=tokenizer.get_vocab_size()):
        name = f"{kind}-{vocab_size}"
        if name not in made:
            their_model(kind.replace("SentenceTransformer", "BertModel"), vocab_size).save_pretrained(place / name)
            pl.data.text.tokenizer.save_tokenizer(tokenizer, place / name, max_length=32)
            if kind == "SentenceTransformer":
                pl.save_pretrained(pl.SentenceEmbedder(pl.load_pretrained(place / name)), place / "ours", tokenizer)
                SentenceTransformer(str(place / "ours"), device="cpu").save(str(place / "theirs"), create_model_card=False)
                shutil.rmtree(place / name)
                (place / "theirs").rename(place / name)
            made[name] = place / name
        return made[name]

    return folder_of


def recipe_file(folder, corpus, start, objective="MaskedLM", text=RECIPE):
    path = folder / "r.toml"
    path.write_text(text.format(corpus=corpus, start=start, objective=objective), encoding="utf-8")
    return path


def begun(recipe, tmp_path):
    """The model before the first update, and the data."""
    data = TextData.open(data_config(recipe), tmp_path / "run")
    return build_model(recipe, data), data


def tensors_of(folder):
    """A folder's tensors, those of an encoder as if a head were on it."""
    found = load_file(folder / "model.safetensors")
    if any(name.startswith(("bert.", "model.")) for name in found):
        return found
    prefix = "model." if any("tok_embeddings" in name for name in found) else "bert."
    return {prefix + name: tensor for name, tensor in found.items()}


NEW = {"BertForMaskedLM": "", "ModernBertForMaskedLM": "",
       "BertForPreTraining": "", "BertModel": "cls.", "SentenceTransformer": "cls.",
       "BertForSequenceClassification": "cls.", "BertForTokenClassification": "cls.",
       "ModernBertModel": "head.|decoder.", "ModernBertForSequenceClassification": "decoder.",
       "ModernBertForTokenClassification": "decoder."}


@pytest.mark.parametrize("kind", NEW)
def test_every_weight_is_taken_over_and_transformers_answers_alike(kind, saved, corpus, tokenizer, tmp_path):
    """After no update the folder answers as the model that was started from, where that has a head."""
    start = saved(kind, 128)  # a vocabulary that is padded, as that of the published ModernBERTs
    model, data = begun(read_recipe(recipe_file(tmp_path, corpus, start)), tmp_path)
    assert type(model).__name__ == ("Modern" if "Modern" in kind else "") + "BertForMaskedLM"
    assert model.config.vocab_size == 128 and model.training
    pl.save_pretrained(model, tmp_path / "m", data.tokenizer)
    theirs, ours = tensors_of(start), tensors_of(tmp_path / "m")
    dropped = {name for name in theirs if name.startswith(("classifier.", "cls.seq_relationship."))
               or name == "cls.predictions.decoder.bias"}
    new = {name for name in ours if NEW[kind] and re.match(NEW[kind].replace(".", r"\."), name)}
    assert ours.keys() - new == theirs.keys() - dropped
    assert all(torch.equal(ours[name], theirs[name]) for name in ours.keys() - new)
    assert any("pooler" in name for name in ours) == any("pooler" in name for name in theirs)
    again, info = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "m", output_loading_info=True)
    assert not info["missing_keys"]
    ids = torch.randint(5, 100, (3, 20), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert (again.eval()(input_ids=ids).logits - model.eval()(ids)).abs().max() < 1e-5
        if not new:
            source = transformers.AutoModelForMaskedLM.from_pretrained(start).eval()
            assert (source(input_ids=ids).logits - model(ids)).abs().max() < 1e-5


@pytest.mark.parametrize("kind, new", [("BertForMaskedLM", False), ("BertModel", True), ("ModernBertForTokenClassification", True)])
def test_only_a_new_output_starts_at_the_frequencies(kind, new, saved, corpus, tmp_path):
    recipe = read_recipe(recipe_file(tmp_path, corpus, saved(kind)))
    model, data = begun(recipe, tmp_path)
    counts = data.documents[0].counts[:data.tokenizer.get_vocab_size()] + 1.0
    frequencies = torch.from_numpy(counts / counts.sum()).log().float()
    assert torch.allclose(model.output_bias, frequencies, atol=1e-5) == new
    silent, _ = begun(replace(recipe, start_at_unigram=False), tmp_path)
    assert torch.equal(silent.output_bias, torch.zeros_like(frequencies)) == new


def test_pairs_are_gone_on_with_both_heads(saved, corpus, tmp_path):
    text = RECIPE.replace("length = 24", 'length = 24\npairs = "next_sentence"')
    path = recipe_file(tmp_path, corpus, saved("BertForPreTraining"), "BertPretraining", text)
    model, data = begun(read_recipe(path), tmp_path)
    assert type(model) is pl.BertForPreTraining and all(p.requires_grad for p in model.parameters())
    pl.save_pretrained(model, tmp_path / "m", data.tokenizer)
    theirs, ours = tensors_of(saved("BertForPreTraining")), tensors_of(tmp_path / "m")
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    recipe = recipe_and_options(str(path), ["--masking.pairs", "none"])[0]
    assert recipe.model.kind is pl.BertForMaskedLM and recipe.objective.kind is pl.MaskedLM


def test_a_pooler_is_carried_through_training(saved, corpus, tmp_path):
    start = saved("BertModel")
    pretrain(read_recipe(recipe_file(tmp_path, corpus, start)), tmp_path / "run")
    before, after = tensors_of(start), tensors_of(tmp_path / "run" / "model")
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert {name for name in before if "pooler" in name} == same


def test_a_resumed_run_ends_with_the_same_bits(saved, corpus, tmp_path, monkeypatch):
    recipe = read_recipe(recipe_file(tmp_path, corpus, saved("SentenceTransformer")))
    pretrain(recipe, tmp_path / "whole")
    update = Trainer.update

    def stopped(trainer, *arguments):
        if trainer.step == 2:
            raise KeyboardInterrupt
        return update(trainer, *arguments)

    halves = replace(recipe, train=replace(recipe.train, checkpoint_every=2))
    monkeypatch.setattr(Trainer, "update", stopped)
    with pytest.raises(KeyboardInterrupt):
        pretrain(halves, tmp_path / "halves")
    monkeypatch.setattr(Trainer, "update", update)
    pretrain(halves, tmp_path / "halves")
    whole, resumed = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("whole", "halves"))
    assert whole.keys() == resumed.keys() and all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_run_is_gone_on_with_and_says_what_it_was(saved, corpus, tmp_path, capsys):
    """The second run starts from the first one's folder; its description can be read back alone."""
    pretrain(read_recipe(recipe_file(tmp_path, corpus, saved("BertForMaskedLM"))), tmp_path / "one")
    path = recipe_file(tmp_path, corpus, tmp_path / "one")
    words = ["pretrain", str(path), "--folder", str(tmp_path / "two")]
    assert main(words) == 0
    described = json.loads((tmp_path / "two" / "config.json").read_text())["recipe"]["model"]
    assert described["kind"] == "BertForMaskedLM" and described["start"] == str(tmp_path / "one")
    assert len(described["start_weights"]) == 1 and described["hidden_size"] == 16
    recipe = recipe_of(tmp_path / "two")
    assert recipe.model == read_recipe(path).model and not recipe.start
    assert main([*words, "--resume"]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "two")]) == 0
    other = pl.load_pretrained(tmp_path / "one")
    with torch.no_grad():
        other.output_bias.add_(1)
    pl.save_pretrained(other, tmp_path / "one" / "model", pl.load_tokenizer(tmp_path / "one"))
    assert main([*words, "--resume"]) == 1
    assert "recipe.model.start_weights: ['" in capsys.readouterr().err


def test_a_recipe_without_a_start_says_nothing_of_it(corpus, tmp_path):
    table = read_recipe(recipe_file(tmp_path, corpus, "", text=FROM_NOTHING)).table()
    assert list(table) == ["start_at_unigram", "start_at_neighbours", "data", "model", "objective", "train"]
    assert "start" not in table["model"]


def test_a_model_of_images_is_gone_on_with_as_it_is(tmp_path):
    text = """
        [data]
        kind = "ImageData"
        name = "digits"
        [model]
        start = "{start}"
        [objective]
        kind = "Denoising"
        [train]
        steps = 1
        batch_size = 4
        device = "cpu"
    """
    shape = pl.ConvAutoencoderConfig((1, 8, 8), 3, (2, 4), 8)
    start = tmp_path / "start"
    pl.save_pretrained(pl.ConvAutoencoder(shape, 5), start)
    recipe = read_recipe(recipe_file(tmp_path, "", start, text=text))
    data = recipe.data.kind.open(data_config(recipe), tmp_path / "run")
    assert recipe.model.config == shape
    same = zip(build_model(recipe, data).parameters(), pl.load_pretrained(start).parameters(), strict=True)
    assert all(torch.equal(one, two) for one, two in same)
    pl.save_pretrained(pl.Classifier(pl.ConvAutoencoder(shape, 5), 3), start)
    assert read_recipe(tmp_path / "r.toml") == recipe
    pl.save_pretrained(pl.ConvAutoencoder(replace(shape, input_shape=(1, 16, 16))), start)
    with pytest.raises(ValueError, match=r"reads samples of another shape than the data have: model.input_shape: "):
        build_model(read_recipe(tmp_path / "r.toml"), data)


TABLE = """
[data]
kind = "NeighbourData"
name = "{corpus}"
length = 24
[model]
start = "{start}"
[objective]
kind = "Contrastive"
features = true
[objective.views]
first = ["input_ids", "attention_mask"]
second = ["other_input_ids", "other_attention_mask"]
[train]
steps = 2
batch_size = 2
device = "cpu"
"""


@pytest.mark.parametrize("kind", ["BertForMaskedLM", "BertForSequenceClassification", "SentenceTransformer", "ModernBertForMaskedLM"])
def test_an_objective_that_compares_texts_takes_the_encoder_alone(kind, saved, tmp_path):
    (tmp_path / "pairs.csv").write_text("first,second\n" + "".join(f"{a} {b},{b} he {a}\n" for a, b in itertools.pairwise(WORDS)))
    start = saved(kind)
    recipe = read_recipe(recipe_file(tmp_path, tmp_path / "pairs.csv", start, text=TABLE))
    assert recipe.model.kind is (pl.ModernBertModel if kind.startswith("Modern") else pl.BertModel)
    pretrain(recipe, tmp_path / "run")
    before, after = tensors_of(start), tensors_of(tmp_path / "run" / "model")
    assert after.keys() == {name for name in before if not name.startswith(("cls.", "classifier.", "head.", "decoder."))}
    same = {name for name in after if torch.equal(before[name], after[name])}
    assert {name for name in after if "pooler" in name} <= same < after.keys()


# ------------------------------------------------------------------------- the command line


def test_a_recipe_for_training_from_nothing_is_set_for_continuing_in_one_line(saved, corpus, tmp_path, capsys):
    path, start = str(recipe_file(tmp_path, corpus, "", text=FROM_NOTHING)), str(saved("BertModel"))
    recipe = recipe_and_options(path, ["--start", start])[0]
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and f"goes on with {start}: optimizer adamw, learning rate 0.0001, warm-up over 3 of 50" in said
    assert recipe.start == start and recipe.model.config == pl.load_pretrained(start).config
    assert not recipe.start_at_neighbours
    train = recipe.train
    assert (train.optimizer, train.learning_rate, train.warmup_steps) == ("adamw", 1e-4, 3)
    words = ["--train.steps=200", "--train.learning-rate", "0.01", f"--start={start}", "--folder", "f"]
    train = recipe_and_options(path, words)[0].train
    assert (train.optimizer, train.learning_rate, train.warmup_steps) == ("adamw", 0.01, 12)
    train = recipe_and_options(path, [*words, "--train.optimizer", "sgd", "--train.warmup-steps", "7"])[0].train
    assert (train.optimizer, train.learning_rate, train.warmup_steps) == ("sgd", 0.01, 7)


def test_the_file_counts_where_it_says_a_start(saved, corpus, tmp_path, capsys):
    path = recipe_file(tmp_path, corpus, saved("BertModel"))
    for start in ("BertModel", "ModernBertModel"):
        recipe = recipe_and_options(str(path), ["--start", str(saved(start))])[0]
        assert recipe.train == read_recipe(path).train and recipe.start == str(saved(start))
    assert recipe.model.kind is pl.ModernBertForMaskedLM and not capsys.readouterr().out


def test_the_recipe_that_goes_on_with_the_zoo_can_be_carried_out():
    recipe = read_recipe(Path(__file__).parents[2] / "recipes" / "continue-bert.toml")
    assert (recipe.start, recipe.keep_an_eye_on, recipe.data.config.corpus) == ("bert-mini-sotu", "sotu", "docstrings")
    assert recipe.model.config == pl.load_pretrained("bert-mini-sotu").config


def test_a_zoo_name_is_a_start(corpus, tmp_path):
    path = recipe_file(tmp_path, corpus, "", text=FROM_NOTHING)
    recipe = recipe_and_options(str(path), ["--start", "bert-mini-sotu"])[0]
    model, data = begun(recipe, tmp_path)
    assert type(model) is pl.BertForMaskedLM and model.pooler is not None
    zoo = pl.load_pretrained("bert-mini-sotu").state_dict()
    assert all(torch.equal(tensor, zoo[name]) for name, tensor in model.state_dict().items())
    assert data.about()["tokenizer"] == "bert-mini-sotu" and next((tmp_path / "prepared").glob("*-bert-mini-sotu"))


# ------------------------------------------------------------------- what is learned and forgotten


def their_loss(folder, blanks):
    """The mean cross-entropy of the folder's model in transformers on blanks, in nats."""
    model = transformers.AutoModelForMaskedLM.from_pretrained(folder, attn_implementation="eager").eval()
    text = blanks.attention_mask  # the number of the text that a token is of
    apart = torch.where(text[:, None, :, None] == text[:, None, None, :], 0.0, -1e9)  # (B, 1, T, T)
    with torch.no_grad():
        logits = model(input_ids=blanks.input_ids, attention_mask=apart, position_ids=blanks.position_ids).logits.double().log_softmax(-1)
    rows = torch.arange(len(blanks))[:, None].expand_as(blanks.positions)
    used = blanks.labels != -100
    return -logits[rows[used], blanks.positions[used], blanks.labels[used]].mean().item()


def test_the_loss_is_told_before_and_after_on_both_texts(saved, corpus, tmp_path, capsys):
    (tmp_path / "known").mkdir()
    for number in range(3):
        (tmp_path / "known" / f"{number}.txt").write_text(f"He said so. {'road water ' * (20 + number)} She was in the city.", encoding="utf-8")
    known, start = f"{tmp_path}/known/*.txt", saved("BertForMaskedLM")
    path = recipe_file(tmp_path, corpus, start, text=RECIPE.replace("learning_rate = 0.001", "learning_rate = 0.03"))
    words = ["pretrain", str(path), "--folder", str(tmp_path / "run"), "--keep-an-eye-on", known]
    assert main(words) == 0
    measured = json.loads((tmp_path / "run" / "report.json").read_text())["masked_loss"]
    tokenizer = pl.load_tokenizer(start)
    for name, text in {str(corpus): TextConfig(str(corpus), tokenizer=str(start), length=24),
                       known: TextConfig(known, tokenizer=str(start), length=24)}.items():
        held_out = TextData(text, *prepared(text, tmp_path / "run")).documents[1]
        blanks = blanks_in(held_out, tokenizer, 24, pl.MaskedLM.of(tokenizer))
        for when, folder in (("before", start), ("after", tmp_path / "run" / "model")):
            assert measured[when][name] == pytest.approx(their_loss(folder, blanks), abs=1e-5)
    assert measured["after"][str(corpus)] < measured["before"][str(corpus)] and not measured["new_head"]
    said = before_and_after(measured).splitlines()
    assert capsys.readouterr().out.count("\n".join(said)) == 1 and said[0].startswith(f"{corpus}: ")
    assert main([*words, "--resume"]) == 0
    assert json.loads((tmp_path / "run" / "report.json").read_text())["masked_loss"] == measured
    assert main([*words[:-2], "--resume"]) == 1
    assert "recipe.keep_an_eye_on: " in capsys.readouterr().err
    assert recipe_of(tmp_path / "run").keep_an_eye_on == ""


def test_what_is_told_to_people():
    measured = {"before": {"docstrings": 5.1234, "sotu": 2.86}, "after": {"docstrings": 3.4, "sotu": 3.31}, "new_head": False}
    assert before_and_after(measured) == "docstrings: 5.12 → 3.40 nats\nsotu: 2.86 → 3.31 nats (what it knew: +0.45)"
    said = before_and_after(measured | {"new_head": True})
    assert said.endswith("sotu: 2.86 → 3.31 nats (before, its head for tokens was new)")


# ------------------------------------------------------------------------------- new words


@pytest.mark.parametrize("kind, rows", [("BertForMaskedLM", 0), ("ModernBertForMaskedLM", 128), ("SentenceTransformer", 0)])
def test_new_words_start_as_the_mean_of_their_pieces(kind, rows, saved, corpus, tokenizer, tmp_path, capsys):
    """Rows that a padded vocabulary has already are used; what the others answer stays."""
    (tmp_path / "w.txt").write_text("roadwater\n\nstone\nHouseriver\n")
    start = saved(kind, rows) if rows else saved(kind)
    path = recipe_file(tmp_path, corpus, start)
    words = ["--data.new-words", str(tmp_path / "w.txt")]
    model, data = begun(recipe_and_options(str(path), words)[0], tmp_path)
    assert "new words: 2 added; 1 left out, which are one token already: stone" in capsys.readouterr().out
    plain, _ = begun(read_recipe(path), tmp_path)
    size = tokenizer.get_vocab_size()
    assert data.tokenizer.token_to_id("houseriver") == size + 1
    assert model.config.vocab_size == max(rows, size + 2) == len(model.output_bias)
    pairs = [(model.encoder.embeddings.word.weight, plain.encoder.embeddings.word.weight)]
    if kind != "SentenceTransformer":  # whose bias is new, and starts at the frequencies
        pairs.append((model.output_bias, plain.output_bias))
    for ours, before in pairs:
        assert torch.equal(ours[:size], before[:size])
        for number, word in enumerate(["roadwater", "houseriver"]):
            pieces = tokenizer.encode(word, add_special_tokens=False).ids
            assert len(pieces) > 1 and torch.allclose(ours[size + number], sum(before[i] for i in pieces) / len(pieces))
    ids = torch.randint(5, size, (3, 20), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        change = model.eval().encoder(ids) - plain.eval().encoder(ids)
    assert change.abs().max() == 0


def test_new_words_go_with_the_model_and_its_tokenizer(saved, corpus, tmp_path, capsys):
    (tmp_path / "w.txt").write_text("roadwater")
    recipe = recipe_file(tmp_path, corpus, saved("BertModel"))
    words = ["pretrain", str(recipe), "--folder", str(tmp_path / "run"), "--data.new-words", str(tmp_path / "w.txt")]
    assert main(words) == 0
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "run" / "model")
    model = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "run" / "model").eval()
    batch = theirs(["the old roadwater of stone"], return_tensors="pt")
    assert theirs.convert_ids_to_tokens(batch["input_ids"][0])[3] == "roadwater"
    with torch.no_grad():
        assert (model(**batch).logits - pl.load_pretrained(tmp_path / "run")(batch["input_ids"])).abs().max() < 1e-5
    assert main([*words, "--resume"]) == 0
    assert main(["evaluate", str(tmp_path / "run")]) == 0
    (tmp_path / "w.txt").write_text("houseriver")
    assert main([*words, "--resume"]) == 1
    assert "recipe.data.tokenizer_hash" in capsys.readouterr().err
    assert main(["pretrain", str(recipe), "--start", str(tmp_path / "run"), "--folder", str(tmp_path / "again")]) == 0


# ---------------------------------------------------------------------------------- the Hub


@pytest.fixture(autouse=True)
def asked_anew():
    """A process asks the Hub once for a name, and a test is a process of its own."""
    hub.model_folder.cache_clear()


@pytest.fixture
def of_the_hub(saved, monkeypatch):
    """A Hub with one model; what it was asked for."""
    asked = []

    def snapshot_download(repository, revision, allow_patterns):
        asked.append((repository, revision))
        assert "*.bin" not in allow_patterns and {"*.json", "*.safetensors"} <= set(allow_patterns)
        return str(saved("ModernBertForMaskedLM"))

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    return asked


def test_a_model_of_the_hub_is_a_start(of_the_hub, corpus, tmp_path):
    name = "hub:owner/name@c0ffee"
    pretrain(read_recipe(recipe_file(tmp_path, corpus, name)), tmp_path / "run")
    assert of_the_hub == [("owner/name", "c0ffee")]
    described = json.loads((tmp_path / "run" / "config.json").read_text())["recipe"]
    assert described["model"]["start"] == described["data"]["tokenizer"] == name
    assert pl.load_pretrained("hub:owner/name").config == pl.load_pretrained(tmp_path / "run").config
    assert of_the_hub[-1] == ("owner/name", None)


@pytest.mark.parametrize("error, message", [
    (404, "the Hub has no model 'owner/name', or not this revision of it"),
    (401, "the Hub does not show 'owner/name' to you"),
    (503, "the Hub is out of order for 'owner/name' .*give a folder"),
    (None, "the Hub cannot be reached for 'owner/name', and no copy of it is here"),
])
def test_what_the_hub_does_not_give_is_said_in_one_line(error, message, monkeypatch):
    from huggingface_hub import errors

    def snapshot_download(repository, **settings):
        if error is None:
            raise errors.LocalEntryNotFoundError("not here")
        raise of_status(error)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    with pytest.raises((ValueError, ConnectionError), match=message) as raised:
        pl.load_pretrained("hub:owner/name")
    assert "\n" not in str(raised.value)


def of_status(status):
    """The Hub's error of an HTTP status."""
    from types import SimpleNamespace

    from huggingface_hub.errors import HfHubHTTPError

    error = HfHubHTTPError.__new__(HfHubHTTPError)
    error.response = SimpleNamespace(status_code=status)
    return error


def test_weights_that_can_carry_programs_are_answered_with_what_converts_them(monkeypatch, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *names, **settings: str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"hub:owner/name has no model.safetensors on the Hub: .*save_pretrained\(folder\)"):
        pl.load_pretrained("hub:owner/name")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match="it holds pytorch_model.bin, .*AutoModelForMaskedLM keeps the head"):
        pl.load_pretrained(tmp_path)


def test_a_name_that_is_none_of_the_hub(monkeypatch):
    with pytest.raises(ValueError, match="'hub:a/b/c' is no name of a model of the Hub: it must be"):
        hub.model_folder("hub:a/b/c")


# --------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("was, now, message", [
    ('start = "{start}"', 'start = "{start}"\nkind = "BertForMaskedLM"', r"\[model\]: with start, kind and shape are those of the saved model: leave out kind"),
    ('start = "{start}"', 'start = "{start}"\nhidden_size = 9', "leave out hidden_size"),
    ('start = "{start}"', "start = 3", r"\[model\]: start must be a saved model: a folder, .* got 3"),
    ('start = "{start}"', 'start = "bert-mini-sotuu"', "neither a folder 'bert-mini-sotuu' nor such a model in the zoo"),
    ("[data]", 'start = "{start}"\n[data]', r"start must be a line of the table \[model\], got"),
    ("length = 24", 'length = 24\ntokenizer = ""', "data.tokenizer must be left out, as .* comes with its own, got ''"),
    ("length = 24", 'length = 24\ntokenizer = "sotu-8192"', "data.tokenizer must be left out, .* got 'sotu-8192'"),
    ("length = 24", "length = 48", "data.length must be at most model.max_position_embeddings=32, got 48"),
    ("[data]", "start_at_neighbours = true\n[data]", "start_at_neighbours must be False, as .* has its weights, got True"),
    ("steps = 4", "steps = 4\nbase_width = 16", "train.base_width must be None, as .* has its weights, got 16"),
    ("[data]", 'keep_an_eye_on = "{corpus}"\n[data]', "keep_an_eye_on must be another text than data.corpus, got"),
    ("[objective]", "[masking]", "a recipe with start must have the tables"),
])
def test_what_a_start_does_not_go_with_is_refused_in_one_line(was, now, message, saved, corpus, tmp_path):
    text = RECIPE.replace(was, now)
    if "masking" in now:
        text = text.replace('kind = "TextData"', "").replace("[data]", 'architecture = "bert"\n[text]').replace('kind = "{objective}"', "")
    with pytest.raises((ValueError, FileNotFoundError), match=message) as raised:
        read_recipe(recipe_file(tmp_path, corpus, saved("BertModel"), text=text))
    assert "\n" not in str(raised.value)


def test_an_eye_is_kept_only_where_blanks_are_filled_by_a_start(saved, corpus, tmp_path):
    path = str(recipe_file(tmp_path, corpus, "", text=FROM_NOTHING))
    with pytest.raises(ValueError, match="keep_an_eye_on must be empty without a start: a model that is drawn anew has nothing to forget"):
        recipe_and_options(path, ["--keep-an-eye-on", "sotu"])
    text = "keep_an_eye_on = 'sotu'" + RECIPE
    with pytest.raises(ValueError, match="keep_an_eye_on must be empty where no blanks are filled in texts, got 'sotu'"):
        read_recipe(recipe_file(tmp_path, corpus, saved("BertForMaskedLM"), "CausalLM", text))


def test_fewer_rows_than_tokens_and_no_tokenizer_are_refused(saved, corpus, tmp_path):
    with pytest.raises(ValueError, match="the tokenizer has [0-9]+ tokens, the model 20: they do not belong together"):
        read_recipe(recipe_file(tmp_path, corpus, saved("BertForMaskedLM", 20)))
    their_model("BertModel", 50).save_pretrained(tmp_path / "bare")
    with pytest.raises(FileNotFoundError, match="there is no tokenizer.json in"):
        read_recipe(recipe_file(tmp_path, corpus, tmp_path / "bare"))


def test_words_that_would_change_the_start_are_refused(saved, corpus, tmp_path, capsys):
    path = recipe_file(tmp_path, corpus, saved("BertModel"))
    assert main(["pretrain", str(path), "--model.hidden-size", "32"]) == 1
    assert "--model.hidden-size: kind and shape are those of" in capsys.readouterr().err
    shutil.copytree(saved("BertModel"), tmp_path / "run" / "model")
    assert main(["pretrain", str(path), "--start", str(tmp_path / "run"), "--folder", str(tmp_path / "run")]) == 1
    assert "the trained model would take the place of" in capsys.readouterr().err


def test_a_model_that_no_recipe_can_name_is_refused(corpus, tmp_path):
    pl.save_pretrained(pl.LinearAutoencoder(6, 2), tmp_path / "start")
    with pytest.raises(ValueError, match="holds a LinearAutoencoder, which no recipe can train"):
        read_recipe(recipe_file(tmp_path, corpus, tmp_path / "start"))
