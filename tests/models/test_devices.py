"""A model elsewhere than its inputs, or in another number format: everything is brought to it.

The device "meta" stands for any other than the inputs': it refuses tensors that lie elsewhere.
"""

import pytest
import torch

import pretrain_lib as pl
from pretrain_lib.evaluation.cloze import cloze_log_probabilities
from pretrain_lib.evaluation.memorisation import secret_scores
from pretrain_lib.transfer.control_task import layer_states
from pretrain_lib.transfer.encoders import text_classifier, text_tagger

TOKENIZER = pl.train_tokenizer(["gold silver coin", "army war fort"], 60)
SIZES = {"vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
         "intermediate_size": 24, "max_position_embeddings": 16}
MODELS = [lambda: pl.BertForPreTraining(pl.BertConfig(**SIZES)),
          lambda: pl.ModernBertForMaskedLM(pl.ModernBertConfig(**SIZES))]
EACH = pytest.mark.parametrize("make", MODELS, ids=["bert", "modernbert"])


@EACH
@pytest.mark.parametrize("ids_at", ["cpu", "meta"])
def test_secrets_are_scored_where_the_model_is(make, ids_at):
    model, ids = make().to("meta"), torch.arange(5, 12, device=ids_at)
    assert secret_scores(model, ids, (1, 2), torch.tensor([5, 6, 7]), 4).shape == (3, 3)


@EACH
def test_blanks_are_filled_where_the_model_is(make):
    scores = cloze_log_probabilities(make().to("meta"), TOKENIZER, ["[MASK] gold"], ["[UNK]", "g"])
    assert scores.shape == (1, 2) and scores.device.type == "meta"


@EACH
def test_states_are_taken_where_the_model_is_and_brought_back(make):
    model, came = make().to("meta"), []
    model.encoder.register_forward_pre_hook(lambda part, columns: came.extend(c.device.type for c in columns))
    with pytest.raises(NotImplementedError, match="meta"):  # nothing can be brought back from there
        layer_states(model, torch.arange(5, 12)[None], torch.ones(1, 7, dtype=torch.long))
    assert came == ["meta", "meta"]


@EACH
@pytest.mark.parametrize("head", [text_classifier, text_tagger])
def test_a_head_is_put_on_in_the_place_and_format_of_the_model(make, head):
    headed = head(make().double(), 3)
    assert {p.dtype for p in headed.parameters()} == {torch.float64}
    headed(torch.arange(5, 12)[None]).sum().backward()
    assert {p.device.type for p in head(make().to("meta"), 3).parameters()} == {"meta"}


def test_so_it_is_on_a_model_of_images():
    model = pl.LinearAutoencoder(6, 2).double()
    assert model.with_classifier(3)(torch.rand(2, 6).double()).dtype == torch.float64


def test_adapters_are_loaded_in_the_format_of_the_model(tmp_path):
    model = pl.BertForSequenceClassification(pl.BertConfig(**SIZES), 2)
    pl.save_lora(pl.add_lora(model, pl.LoraConfig(rank=2)), tmp_path, "base")
    back = pl.load_lora(MODELS[0]().double(), tmp_path)
    assert {p.dtype for p in back.parameters()} == {torch.float64}
    assert back(torch.arange(5, 12)[None]).dtype == torch.float64
