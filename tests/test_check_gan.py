"""The exercises of notebook 04: right answers pass however they are written, wrong ones are told
what is wrong.
"""

import pytest
import torch
import torch.nn.functional as F
from exercises import exercise_tests
from oracles import survives

from dgmcourse.check import gan as check
from dgmcourse.check._exercise import Wrong
from dgmcourse.train import maximise

# ---- right answers


def own_discriminator_objective(real, fake):
    """A library's cross-entropy, with its labels."""
    both = torch.stack([real, fake])
    labels = torch.stack([torch.ones_like(real), torch.zeros_like(fake)])
    return -F.binary_cross_entropy_with_logits(both, labels, reduction="none").sum(0)


def own_generator_objective(fake, saturating):
    """Softplus in place of the log-sigmoid."""
    return F.softplus(fake) if saturating else -F.softplus(-fake)


def own_alternate(x, prior, generator, discriminator, d_optimiser, g_optimiser):
    """As one writes it in plain PyTorch: losses, and every step by hand."""
    n = x.shape[0]
    fakes = generator(prior.sample((n,))).detach()
    d_loss = (F.softplus(-discriminator(x)) + F.softplus(discriminator(fakes))).mean()
    d_optimiser.zero_grad()
    d_loss.backward()
    d_optimiser.step()
    g_loss = F.softplus(-discriminator(generator(prior.sample(n)))).mean()
    g_optimiser.zero_grad()
    g_loss.backward()
    g_optimiser.step()
    return [-d_loss, -g_loss]


RIGHT = {
    "discriminator_objective": own_discriminator_objective,
    "generator_objective": own_generator_objective,
    "alternate": own_alternate,
}


# ---- wrong answers of kinds that no slip states, each with a phrase of the message meant for it

log_s = F.logsigmoid


def by_steps(x, prior, generator, discriminator, d_optimiser, g_optimiser, cut=False):
    """The update in plain PyTorch; with `cut`, the fraud's fakes are detached as well."""
    fakes = generator(prior.sample((len(x),))).detach()
    d = (log_s(discriminator(x)) + log_s(-discriminator(fakes))).mean()
    d_optimiser.zero_grad()
    (-d).backward()
    d_optimiser.step()
    fakes = generator(prior.sample((len(x),)))
    g = log_s(discriminator(fakes.detach() if cut else fakes)).mean()
    g_optimiser.zero_grad()
    (-g).backward()
    g_optimiser.step()
    return d.item(), g.item()


def changed(result=lambda d, g: (d, g), draw=None):
    """The right update that returns something else, or draws its codes in another way."""

    class Drawn:
        def __init__(self, prior):
            self.prior = prior

        def sample(self, shape):
            return draw(self.prior, shape[0])

    return lambda x, prior, *rest: result(*by_steps(x, Drawn(prior) if draw else prior, *rest))


def same_fakes(x, prior, generator, discriminator, d_optimiser, g_optimiser):
    """One heap of fakes for both turns: torch refuses the second backward."""
    fakes = generator(prior.sample((len(x),)))
    d = maximise((log_s(discriminator(x)) + log_s(-discriminator(fakes))).squeeze(-1), d_optimiser)
    return d, maximise(log_s(discriminator(fakes)).squeeze(-1), g_optimiser)


def logits_too_early(x, prior, generator, discriminator, d_optimiser, g_optimiser):
    """All logits first, both steps after: torch refuses, the discriminator has changed."""
    fakes = generator(prior.sample((len(x),))).detach()
    for_expert = log_s(discriminator(x)) + log_s(-discriminator(fakes))
    for_fraud = log_s(discriminator(generator(prior.sample((len(x),)))))
    d = maximise(for_expert.squeeze(-1), d_optimiser)
    return d, maximise(for_fraud.squeeze(-1), g_optimiser)


def all_without_gradient(x, prior, generator, discriminator, d_optimiser, g_optimiser):
    """The expert's logits, too, stand under no_grad."""
    with torch.no_grad():
        value = log_s(discriminator(x)) + log_s(-discriminator(generator(prior.sample((len(x),)))))
    return maximise(value.squeeze(-1), d_optimiser), 0.0


def the_fraud_alone(x, prior, generator, discriminator, d_optimiser, g_optimiser):
    prior.sample((len(x),))
    value = log_s(discriminator(generator(prior.sample((len(x),))))).squeeze(-1)
    return 0.0, maximise(value, g_optimiser)


WRONG = {
    "discriminator_objective": {
        "log(1 - D) of the fakes has the wrong sign": lambda r, f: log_s(r) - log_s(-f),
        "log(1 - D) of the fakes is missing": lambda r, f: log_s(r),
        "log D of the real ones is missing": lambda r, f: log_s(-f),
        "base 2": lambda r, f: r.sigmoid().log2() + (1 - f.sigmoid()).log2(),
        "base 10": lambda r, f: r.sigmoid().log10() + (1 - f.sigmoid()).log10(),
        "not a number where a logit is negative": lambda r, f: r.log() + (1 - f).log(),
        "its log is no number": lambda r, f: r.sigmoid().log() + (1 - f.sigmoid()).log(),
        "A clamp, or a small number": lambda r, f: (
            (r.sigmoid() + 1e-9).log() + (1 - f.sigmoid()).clamp(1e-8).log()
        ),
        "one number for the whole batch": lambda r, f: (log_s(r) + log_s(-f)).mean(),
        "one after the other": lambda r, f: torch.cat([log_s(r), log_s(-f)]),
        "has shape (2, 6)": lambda r, f: torch.stack([log_s(r), log_s(-f)]),
        "has no gradient": lambda r, f: (log_s(r) + log_s(-f)).detach(),
        "no gradient reaches fake": lambda r, f: log_s(r) + log_s(-f.detach()),
        "rows must not mix": lambda r, f: log_s(r) + log_s(-f).mean(),
        "changes fake in place": lambda r, f: log_s(r) + log_s(f.neg_()),
        "nats where": lambda r, f: log_s(r) * log_s(-f),
        "should be a tensor": lambda r, f: (log_s(r) + log_s(-f)).tolist(),
        "stopped with": lambda r, f: r + "f",
    },
    "generator_objective": {
        "one number for the whole batch": lambda f, saturating: log_s(f).mean(),
        "at a logit of -800": lambda f, saturating: -log_s(-f) if saturating else f.sigmoid().log(),
        "at a logit of 800": lambda f, saturating: (
            -(1 - f.sigmoid() + 1e-9).log() if saturating else log_s(f)
        ),
        "has no gradient": lambda f, saturating: (-log_s(-f)).detach() if saturating else log_s(f),
        "not a number where a logit is negative": lambda f, saturating: (
            -(1 - f).log() if saturating else f.log()
        ),
        "not in another case: it returns nothing": lambda f, saturating: (
            None if saturating else log_s(f)
        ),
        "nats where": lambda f, saturating: -log_s(-f) if saturating else log_s(f) + 0.1 * f,
        "stopped with": lambda f: f,
    },
    "alternate": {
        "the same fakes serve both turns": same_fakes,
        "logits were computed before the expert's step": logits_too_early,
        "torch.no_grad() covers too much": all_without_gradient,
        "the fraud has not moved": lambda *a: by_steps(*a, cut=True),
        "the expert has not moved": the_fraud_alone,
        "return what maximise returns": changed(lambda d, g: (d + 1, g)),
        "return two numbers": changed(lambda d, g: d),
        "the mean objectives of the expert and of the fraud": changed(
            lambda d, g: (torch.zeros(5), torch.zeros(5))
        ),
        "two turns draw the same z": lambda *a: (torch.manual_seed(3), own_alternate(*a))[1],
        "leaves a network in evaluation": lambda *a: (own_alternate(*a), a[3].eval())[0],
        "you drew no z from the prior": changed(
            draw=lambda prior, n: torch.randn(n, 2, dtype=torch.float64)
        ),
        "as many z as there are x": changed(draw=lambda prior, n: prior.sample((1,)).expand(n, 2)),
        "you drew z 4 times": changed(
            draw=lambda prior, n: (prior.sample((n,)) + prior.sample((n,))) / 2
        ),
        "not where they should be": changed(draw=lambda prior, n: 0.5 * prior.sample((n,))),
        "stopped with": lambda *a: 1 / 0,
    },
}
TestExercises = exercise_tests(
    check,
    "04_gan",
    RIGHT,
    WRONG,
    F=F,
    maximise=maximise,
    **{name: getattr(check, name).solution for name in RIGHT},
)

MUTANTS = {
    "the real term's slope": ("((1 - s(real))[:, None] * x", "(s(real)[:, None] * x"),
    "the fraud's slope": ("slope = (1 - s(fake))[:, None]", "slope = s(fake)[:, None]"),
    "the expert's codes": ("fakes = z @ A.T + c", "fakes = z_new @ A.T + c"),
    "log(1 - D)": ("(log_s(real) + log_s(-fake)).mean()", "(log_s(real) + log_s(fake)).mean()"),
}


def the_solution_is_right(module):
    """The judge's numpy against the course's own turn in torch."""
    try:
        module.Alternate()(check.alternate.solution)
    except Wrong as wrong:
        raise AssertionError(str(wrong)) from None


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_judge_would_be_noticed(name):
    the_solution_is_right(check)
    assert not survives(the_solution_is_right, check, *MUTANTS[name])
