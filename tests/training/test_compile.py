"""A compiled run computes the same, and compiles once."""

import pytest
import torch._dynamo.utils
from toys import config, mlp, trained, vectors

from pretrain_lib.objectives.reconstruction import Reconstruction
from pretrain_lib.training.trainer import Trainer


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
