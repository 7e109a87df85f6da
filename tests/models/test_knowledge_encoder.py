"""The encoder that reads vectors of entities: against its formula, and where it is the text encoder alone."""

import pytest
import torch
from torch.nn import functional as F

from pretrain_lib.data.source import Columns
from pretrain_lib.models.autoencoder import LinearAutoencoder
from pretrain_lib.models.knowledge_encoder import KnowledgeEncoder
from pretrain_lib.models.modern import ModernBertConfig, ModernBertForMaskedLM, ModernBertModel
from pretrain_lib.training.config import TrainConfig
from pretrain_lib.transfer.fine_tune import fine_tune

SHAPE = ModernBertConfig(30, 16, 24, 1, 2, 16)
IDS = torch.randint(5, 30, (4, 9), generator=torch.Generator().manual_seed(0))
ENTITIES = torch.tensor([[-1, 0, 0, -1, -1, 2, -1, -1, -1]] * 4)
VECTORS = torch.randn(3, 5, generator=torch.Generator().manual_seed(1)).double()


def fused(seed: int = 0) -> KnowledgeEncoder:
    model = KnowledgeEncoder(ModernBertModel(SHAPE).double(), VECTORS, seed)
    torch.nn.init.normal_(model.fused.weight, generator=torch.Generator().manual_seed(2))
    return model


def test_hidden_states_are_those_of_the_formula():
    model = fused()
    hidden = model.encoder(IDS)
    found = model.hidden_states(IDS, None, ENTITIES)
    for row in range(4):
        for place, entity in enumerate(ENTITIES[row].tolist()):
            h = hidden[row, place]
            if entity >= 0:
                inner = model.of_token.weight @ h + model.of_token.bias + model.of_entity.weight @ VECTORS[entity]
                h = h + model.fused.weight @ F.gelu(inner) + model.fused.bias
            assert (found[row, place] - h).abs().max() < 1e-10


def test_it_begins_as_the_encoder_alone_and_so_it_is_where_nothing_is_named():
    fresh, alone = KnowledgeEncoder(ModernBertModel(SHAPE).double(), VECTORS), ModernBertModel(SHAPE).double()
    assert torch.equal(fresh.encode(IDS, None, ENTITIES), alone.encode(IDS))
    model = fused()
    assert torch.equal(model.encode(IDS), alone.encode(IDS))
    assert torch.allclose(model.encode(IDS, None, torch.full_like(IDS, -1)), alone.encode(IDS), rtol=0, atol=1e-12)
    assert (model.encode(IDS, None, ENTITIES) - alone.encode(IDS)).abs().max() > 0.01


def test_it_stands_on_models_with_heads_too():
    head = ModernBertForMaskedLM(SHAPE).double()
    assert torch.equal(KnowledgeEncoder(head, VECTORS).encode(IDS), head.encode(IDS))


def test_what_only_the_vectors_know_is_learned_and_they_stay():
    """The label is the sign of a number in the entity's vector; entity numbers are in no token."""
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(40, 4, generator=generator)
    named = torch.arange(40).repeat(4)
    ids = torch.randint(5, 30, (160, 6), generator=generator)
    entities = torch.full((160, 6), -1)
    entities[:, 2] = named
    data = Columns(input_ids=ids, attention_mask=torch.ones_like(ids), entities=entities, labels=(vectors[named, 0] > 0).long())
    model = KnowledgeEncoder(ModernBertModel(SHAPE), vectors)
    tuned = fine_tune(model, data, 2, TrainConfig(steps=60, batch_size=40, learning_rate=1e-2, device="cpu"))
    tuned.eval()
    right = tuned(data.input_ids, data.attention_mask, data.entities).argmax(1) == data.labels
    assert right.double().mean() > 0.9
    assert torch.equal(tuned.encoder.vectors, vectors)


@pytest.mark.parametrize("wrong, message", [
    (lambda: KnowledgeEncoder(LinearAutoencoder(4, 2), VECTORS), "LinearAutoencoder is no encoder of texts"),
    (lambda: KnowledgeEncoder(ModernBertModel(SHAPE), VECTORS[0]), r"vectors must be a matrix .*got the shape \(5,\)"),
    (lambda: fused().encode(IDS, None, ENTITIES + 1), "entities must be 0 to 2, of which the model has vectors, got 3"),
])  # fmt: skip
def test_what_is_wrong_is_said(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()
