"""What answers on a GPU, whatever asks it, computes in the fastest format; the GPU is pretended."""

import numpy as np
import pytest
import torch
from torch import nn

from pretrain_lib.data.source import Columns
from pretrain_lib.data.tasks.encoded import encode_texts
from pretrain_lib.data.text.tokenizer import special_ids, train_tokenizer
from pretrain_lib.evaluation.cloze import cloze_log_probabilities
from pretrain_lib.evaluation.masked import MaskedSet, masked_scores
from pretrain_lib.evaluation.memorisation import secret_scores
from pretrain_lib.evaluation.pseudo_perplexity import pseudo_log_likelihoods
from pretrain_lib.evaluation.reconstruction import reconstruction_error
from pretrain_lib.models import precision
from pretrain_lib.models.autoencoder import Autoencoder, AutoencoderConfig
from pretrain_lib.models.modern import (
    ModernBertConfig,
    ModernBertForMaskedLM,
    ModernBertForSequenceClassification,
    ModernBertForTokenClassification,
)
from pretrain_lib.models.precision import Choice, answering
from pretrain_lib.transfer.control_task import layer_states
from pretrain_lib.transfer.features import features, logits
from pretrain_lib.transfer.heads import predicted_scores, predicted_tags

WORDS = "gold silver coin army war peace".split()
TOKENIZER = train_tokenizer([" ".join(WORDS)], 100)
SPECIAL = special_ids(TOKENIZER)
SHAPE = ModernBertConfig(100, 16, 16, 2, 2, 16, initializer_range=0.2)
TEXTS = encode_texts(["gold coin", "war and peace"], TOKENIZER, 8, labels=np.array([0, 1]))
MASKED_LM = ModernBertForMaskedLM(SHAPE)
BLANKS = MaskedSet(TEXTS.input_ids, TEXTS.attention_mask, torch.arange(TEXTS.input_ids.shape[1]).expand(2, -1),
                   torch.tensor([[1], [2]]), TEXTS.input_ids.gather(1, torch.tensor([[1], [2]])))
PICTURES = Columns(images=torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(0)))

ASKED = {
    "features": (MASKED_LM, lambda model: features(model, TEXTS)),
    "features of images": (Autoencoder(AutoencoderConfig((1, 4, 4), (8,), 2)), lambda model: features(model, PICTURES)),
    "classes": (ModernBertForSequenceClassification(SHAPE, 2), lambda model: logits(model, TEXTS)),
    "numbers": (ModernBertForSequenceClassification(SHAPE, 1), lambda model: predicted_scores(model, TEXTS)),
    "layers": (MASKED_LM, lambda model: torch.stack(layer_states(model, TEXTS.input_ids, TEXTS.attention_mask))),
    "blanks": (MASKED_LM, lambda model: torch.tensor(masked_scores(model, BLANKS).loss)),
    "cloze": (MASKED_LM, lambda model: cloze_log_probabilities(model, TOKENIZER, ["gold [MASK]"], ["war", "coin"])),
    "pseudo-likelihoods": (MASKED_LM, lambda model: pseudo_log_likelihoods(model, TEXTS.input_ids, SPECIAL, TEXTS.attention_mask)),
    "secrets": (MASKED_LM, lambda model: secret_scores(model, TEXTS.input_ids[1], (1, 2), torch.tensor([7, 8]), SPECIAL.mask)),
    "reconstruction": (Autoencoder(AutoencoderConfig((1, 4, 4), (8,), 2)), lambda model: torch.tensor(reconstruction_error(model, PICTURES))),
}


def products(model: nn.Module, ask) -> tuple[torch.Tensor, set[torch.dtype]]:
    """The answer, and the formats that linear layers answered in meanwhile."""
    formats = set()
    hooks = [part.register_forward_hook(lambda part, inputs, output: formats.add(output.dtype))
             for part in model.modules() if isinstance(part, nn.Linear)]
    answer = ask(model)
    for hook in hooks:
        hook.remove()
    return answer, formats


@pytest.mark.parametrize("what", ASKED)
def test_who_only_answers_does_so_in_the_format_of_the_device(monkeypatch, what):
    plain, formats = products(*ASKED[what])
    assert formats == {torch.float32}  # on a CPU
    asked = []

    def on_a_gpu(name, device):
        asked.append(name)
        return Choice("bf16", "told")

    monkeypatch.setattr(precision, "choose_precision", on_a_gpu)
    answer, formats = products(*ASKED[what])
    assert formats == {torch.bfloat16} and set(asked) == {None}
    assert answer.is_floating_point() and answer.dtype != torch.bfloat16
    assert not torch.equal(answer, plain)
    assert ((answer - plain).norm() / plain.norm()).item() < 0.05


def test_tags_are_found_in_the_format_of_the_device_too(monkeypatch):
    tagged = encode_texts(["gold coin"], TOKENIZER, 8, tags=torch.tensor([[-100, 0, 1, -100]]))
    monkeypatch.setattr(precision, "choose_precision", lambda name, device: Choice("bf16", "told"))
    _, formats = products(ModernBertForTokenClassification(SHAPE, 2), lambda model: predicted_tags(model, tagged))
    assert formats == {torch.bfloat16}


def test_who_answers_is_in_evaluation_mode_and_comes_back_in_its_own():
    model = nn.Sequential(nn.Dropout(), nn.Linear(2, 2))
    model[1].eval()
    with answering(model):
        assert not any(part.training for part in model.modules())
    assert [part.training for part in model.modules()] == [True, True, False]
    with answering(nn.Module()):
        pass
