"""A compiled run computes the same, and compiles once."""

import pytest
import torch._dynamo.utils
from toys import config, mlp, trained, vectors

from pretrain_lib.data.tasks.encoded import EncodedText
from pretrain_lib.data.text.tokenizer import SpecialIds
from pretrain_lib.models.modern import (
    ModernBertConfig,
    ModernBertForMaskedLM,
    ModernBertForSequenceClassification,
)
from pretrain_lib.objectives.classification import Classification
from pretrain_lib.objectives.masked_lm import MaskedLM

from pretrain_lib.objectives.reconstruction import Reconstruction
from pretrain_lib.training.trainer import Trainer


SHAPE = ModernBertConfig(vocab_size=64, hidden_size=16, intermediate_size=16, num_hidden_layers=2,
                         num_attention_heads=2, max_position_embeddings=64)


@pytest.mark.parametrize("model, objective", [
    (ModernBertForSequenceClassification(SHAPE, 2), Classification("input_ids", "attention_mask")),
    (ModernBertForMaskedLM(SHAPE), MaskedLM(SpecialIds(0, 1, 2, 3, 4), 64)),
])
def test_texts_of_many_widths_are_compiled_twice_and_no_more(monkeypatch, model, objective):
    """Once for the first width, and once for all others."""
    compile_ = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda *a, **k: compile_(*a, **{**k, "backend": "eager"}))
    generator = torch.Generator().manual_seed(0)
    mask = (torch.arange(60) < torch.randint(4, 60, (200, 1), generator=generator)).long()
    ids = torch.randint(5, 64, (200, 60), generator=generator) * mask
    source = EncodedText(["x"] * 200, input_ids=ids, attention_mask=mask, labels=ids[:, 0] % 2)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    trained(objective, config(steps=16, batch_size=4, compile=True), model, source)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 2
    assert torch._dynamo.utils.counters["frames"]["ok"] == torch._dynamo.utils.counters["frames"]["total"]


@pytest.mark.slow
def test_nothing_is_compiled_again_after_the_warm_up():
    """Not for an evaluation, whose last batch is smaller, either."""
    torch._dynamo.reset()
    chosen, held_out = config(steps=12, evaluate_every=5, compile=True), vectors(21)
    trainer = Trainer(mlp(), Reconstruction(), vectors(), chosen, held_out=held_out)
    graphs, update = [], trainer.update

    def counted_update(*arguments):
        graphs.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
        return update(*arguments)

    trainer.update = counted_update
    try:
        trainer.fit()
    except torch._dynamo.exc.BackendCompilerFailed as error:
        pytest.skip(f"no compiler here: {error}")
    graphs.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
    assert len(set(graphs)) == 1 and graphs[0] >= 1
    eager = trained(Reconstruction(), config(steps=12, evaluate_every=5), held_out=held_out)
    assert trainer.history.losses == pytest.approx(eager.history.losses, rel=1e-5)
