"""The classifier of digits, against its formula and torch's cross entropy."""

import pytest
import torch
from oracles import close, oracle_tests

from dgmcourse.data.images import Data
from dgmcourse.models import classifier
from dgmcourse.train import fit

pytestmark = pytest.mark.usefixtures("float64")


def tiny(classifier):
    model = classifier.DigitClassifier(features=6, channels=2).eval()
    torch.nn.init.normal_(model.head.weight), torch.nn.init.normal_(model.head.bias)
    return model


def digits(n):
    return torch.rand(n, 784), torch.arange(n) % 10


def check_log_prob(classifier):
    """log p(y|x) of A h(x) + a, whose exponentials sum to 1; h is what `features` says."""
    model, (x, _) = tiny(classifier), digits(7)
    log_p, h = model.log_prob(x), model.features(x)
    assert log_p.shape == (7, 10) and h.shape == (7, 6) and (h >= 0).all() and h.std() > 0.01
    close(log_p.exp().sum(-1), torch.ones(7))
    scores = h @ model.head.weight.T + model.head.bias
    close(log_p, scores - scores.exp().sum(-1, keepdim=True).log())


def check_objective(classifier):
    """One log-probability for each x, in nats, of the label that belongs to it; bytes will do as
    labels.
    """
    model, (x, y) = tiny(classifier), digits(12)
    for labels in (y, y.to(torch.uint8)):
        value, parts = model.objective(x, labels)
        expected = torch.log_softmax(model.features(x) @ model.head.weight.T + model.head.bias, -1)
        close(value, torch.stack([expected[i, y[i]] for i in range(12)]))
        close(parts["log_p_y"], value)
        close(parts["right"], [float(expected[i].argmax() == y[i]) for i in range(12)])
        assert set(parts) == {"log_p_y", "right"}
    value.sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


def check_in_parts(classifier):
    """However many rows at a time, none included; without a gradient."""
    model, (x, _) = tiny(classifier), digits(11)
    for rows in (1, 4, 1000):
        close(model.features(x, rows), model.features(x))
        assert torch.equal(model.classify(x, rows), model.log_prob(x).argmax(-1))
    assert not model.features(x).requires_grad
    assert model.features(x[:0]).shape == (0, 6) and model.classify(x[:0]).shape == (0,)


def check_dropout_in_training_alone(classifier):
    model, (x, _) = tiny(classifier), digits(3)
    assert torch.equal(model.features(x), model.features(x))
    model.train()
    assert not torch.equal(model.features(x), model.features(x))


MUTANTS = {
    check_log_prob: """
        torch.log_softmax(call(self.head, call(self.net, x)), -1) => call(self.head, call(self.net, x))
        call(self.net, x)), -1) => call(self.net, x)), 0)
    """,
    check_objective: """
        value = -F.nll_loss => value = F.nll_loss
        reduction="none") => reduction="mean").expand(len(x))
        (log_p.argmax(-1) == y) => (log_p.argmin(-1) == y)
    """,
    check_in_parts: """
        self.log_prob(part).argmax(-1) => self.log_prob(part).argmin(-1)
        [call(self.net, part) for part in check_batch(x).split(rows)] => [call(self.net, x[:rows])]
    """,
    check_dropout_in_training_alone: "nn.Dropout(0.5) => nn.Identity()",
}
test_oracle, test_mutant_is_caught = oracle_tests((classifier, MUTANTS))


def test_it_learns_what_is_to_be_learned():
    """Bars at ten places: all of them right after a few passes, and chance before."""
    y = torch.arange(60) % 10
    x = torch.zeros(60, 28, 28)
    x[torch.arange(60), :, 2 * y + 3] = 1.0
    data = Data((x.reshape(60, 784) + 0.1 * torch.randn(60, 784)).clamp(0, 1), y)
    model = classifier.DigitClassifier(features=16, channels=4)
    before = model.eval().log_prob(data.tensor())[torch.arange(60), y].mean()
    history = fit(model, data, data, epochs=12, batch_size=10, lr=5e-3, progress=False)
    assert (
        (model.classify(data.tensor()) == y).all() and before < -1.5 and history["valid"][-1] > -0.3
    )


def test_rows_that_are_no_digits_are_refused_in_a_sentence():
    with pytest.raises(
        ValueError,
        match=r"^expected a batch of rows, \(N, D\), got shape \(3, 28, 28\): x.flatten\(1\) makes rows$",
    ):
        tiny(classifier).classify(torch.zeros(3, 28, 28))
