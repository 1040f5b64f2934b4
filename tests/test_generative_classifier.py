"""The joint model p(x, y): where EM begins, and what is refused. Its likelihood and its EM are held
against oracles in test_factor_analysis.
"""

import pytest
import torch
from oracles import close, oracle_tests

from dgmcourse.models import generative_classifier
from dgmcourse.models.generative_classifier import GenerativeClassifier

pytestmark = pytest.mark.usefixtures("float64")
X = torch.randn(40, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = torch.where(torch.arange(40) % 4 == 0, torch.arange(40) % 3, -1)


def check_start(module):
    """One analyser: the mean of all labelled examples of its class. Several: different examples, of
    the class.
    """
    model = module.GenerativeClassifier(3, 3)
    model.initialise(X, Y)
    for c, component in enumerate(model.mixture.components):
        close(component.decoder.bias, X[c == Y].mean(0))
    model = module.GenerativeClassifier(3, 3, per_class=4)
    model.initialise(X, Y, seed=1)
    starts = torch.stack([component.decoder.bias for component in model.mixture.components])
    for c in range(3):
        nearest = torch.cdist(starts[4 * c : 4 * c + 4], X[c == Y])
        assert (nearest.min(1).values < 1e-12).all()
    assert len(starts.unique(dim=0)) > 3
    close(model.mixture.log_weights.softmax(-1), torch.full((12,), 1 / 12))


MUTANTS = {
    check_start: """
        x[mine].mean(0) if self.per_class == 1 else example => example
        x[mine].mean(0) if self.per_class == 1 else example => x[mine].mean(0)
        (y == owner).nonzero() => (y >= owner).nonzero()
    """,
}
test_oracle, test_mutant_is_caught = oracle_tests((generative_classifier, MUTANTS))


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (X, Y[:, None], r"40 labels from 0 to 2.*shape \(40, 1\)"),
        (X, Y[:7], r"40 labels from 0 to 2"),
        (X, Y.double(), "as integers, got torch.float64"),
        (X, Y + 1, "from 0 to 3"),
        (X, Y - 1, "from -2 to 1"),
        (X.masked_fill(X > 2, torch.nan), Y, "finite floats"),
        (X.long(), Y, "finite floats"),
        (X[:0], Y[:0], "one row at least"),
        (X, torch.where(Y == 2, -1, Y), "class 2 has no labelled example"),
    ],
)
def test_what_does_not_fit_is_said_in_words(x, y, message):
    with pytest.raises(ValueError, match=message):
        GenerativeClassifier(3, 3).initialise(x, y)
