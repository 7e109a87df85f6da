"""Reconstruction error and accuracy against hand computations."""

import pytest
import torch
from torch import nn

from pretrain_lib.data.images.dataset import ImageDataset
from pretrain_lib.data.images.load import load_images
from pretrain_lib.data.source import Columns
from pretrain_lib.evaluation.classification import accuracy
from pretrain_lib.evaluation.linear import linear_bound, pca
from pretrain_lib.evaluation.reconstruction import reconstruction_error


def test_by_hand():
    source = Columns(images=torch.tensor([[1.0, 2.0], [3.0, 0.0], [0.0, 0.0]]))
    assert reconstruction_error(torch.zeros_like, source) == pytest.approx(0.5 * (1 + 4 + 9) / 3)
    assert reconstruction_error(nn.Identity(), source) == 0


@pytest.mark.parametrize("batch_size", [1, 7, 25, 100])
def test_unequal_batches_weigh_by_their_size(batch_size):
    source = ImageDataset(torch.rand(25, 1, 4, 4, generator=torch.Generator().manual_seed(0)))
    expected = 0.5 * (source.images.double() ** 2).sum().item() / 25
    assert reconstruction_error(torch.zeros_like, source, batch_size=batch_size) == pytest.approx(
        expected
    )


def test_dropout_is_off_and_then_as_before():
    model = nn.Dropout(0.5).train()
    assert reconstruction_error(model, Columns(images=torch.rand(5, 4))) == 0
    assert model.training


def test_an_answer_that_would_be_broadcast_is_refused():
    with pytest.raises(ValueError, match=r"answer has shape \(5, 1\), the target has \(5, 4\)"):
        reconstruction_error(lambda x: x[:, :1], Columns(images=torch.rand(5, 4)))


def test_a_missing_column_is_named():
    with pytest.raises(ValueError, match="no column 'images'; its columns are x"):
        reconstruction_error(nn.Identity(), Columns(x=torch.rand(5, 4)))


def test_the_mode_is_restored_after_an_error():
    model = nn.Sequential(nn.Linear(3, 3)).train()
    with pytest.raises(RuntimeError):
        reconstruction_error(model, Columns(images=torch.rand(5, 4)))
    assert model.training


def test_the_error_of_principal_components_is_the_bound():
    source = load_images("digits")
    found = pca(source.images)
    measured = reconstruction_error(lambda x: found.reconstruct(x, 10), source)
    assert measured == pytest.approx(linear_bound(found.eigenvalues, 10), rel=1e-6)


def test_accuracy():
    labels = torch.tensor([0, 2, 1, 1])
    assert accuracy(torch.tensor([0, 2, 0, 1]), labels) == 0.75
    scores = torch.tensor([[2.0, 1, 0], [0, 1, 2], [2, 1, 0], [0, 2, 1]])
    assert accuracy(scores, labels) == 0.75
    for predictions, answers in [
        (labels[:3], labels),
        (labels[:0], labels[:0]),
        (torch.zeros(4, 1, 1), labels),
    ]:
        with pytest.raises(ValueError, match="must be of one length"):
            accuracy(predictions, answers)
