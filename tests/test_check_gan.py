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


def verdict(name, answer):
    return getattr(check, name).verdict(answer)


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
    g_loss = F.softplus(-discriminator(generator(prior.sample((n,))))).mean()
    g_optimiser.zero_grad()
    g_loss.backward()
    g_optimiser.step()
    return [-d_loss, -g_loss]


RIGHT = {
    "discriminator_objective": own_discriminator_objective,
    "generator_objective": own_generator_objective,
    "alternate": own_alternate,
}
NAMES = list(RIGHT)


# ---- wrong answers, each with a phrase of the message meant for it


def s(logit):
    return torch.sigmoid(logit)


log_s = F.logsigmoid


def half_cut(real, fake):
    """The right value, and no gradient for the fakes."""
    return log_s(real) + log_s(-fake.detach())


WRONG_DISCRIMINATOR = {
    "the sign is turned": lambda r, f: -(log_s(r) + log_s(-f)),
    "took the fakes for real": lambda r, f: log_s(-r) + log_s(f),
    "praise the expert for taking fakes": lambda r, f: log_s(r) + log_s(f),
    "the real ones' term has its sign turned": lambda r, f: log_s(-r) + log_s(-f),
    "subtract the fakes' term": lambda r, f: log_s(r) - log_s(-f),
    "subtract log D of the fakes": lambda r, f: log_s(r) - log_s(f),
    "1 - log D is not": lambda r, f: log_s(r) + 1 - log_s(f),
    "not sigmoid(1 - l): their term": lambda r, f: log_s(r) + log_s(1 - f),
    "the fakes' term is missing": lambda r, f: log_s(r),
    "the real ones' term is missing": lambda r, f: log_s(-f),
    "added, not averaged": lambda r, f: (log_s(r) + log_s(-f)) / 2,
    "the logarithms are missing": lambda r, f: s(r) + 1 - s(f),
    "the difference of the logits": lambda r, f: r - f,
    "sigmoid twice": lambda r, f: log_s(s(r)) + log_s(-s(f)),
    "base 2": lambda r, f: s(r).log2() + (1 - s(f)).log2(),
    "base 10": lambda r, f: s(r).log10() + (1 - s(f)).log10(),
    "not a number where a logit is negative": lambda r, f: r.log() + (1 - f).log(),
    "no number. Stay with the logits": lambda r, f: s(r).log() + (1 - s(f)).log(),
    "a clamp, or a small number": lambda r, f: (s(r) + 1e-9).log() + (1 - s(f) + 1e-9).log(),
    "hides how wrong a sure answer is": lambda r, f: (
        s(r).clamp(1e-8, 1 - 1e-8).log() + (1 - s(f)).clamp(1e-8).log()
    ),
    "one number for the whole batch": lambda r, f: (log_s(r) + log_s(-f)).mean(),
    "one after the other": lambda r, f: torch.cat([log_s(r), log_s(-f)]),
    "has shape (2, 6)": lambda r, f: torch.stack([log_s(r), log_s(-f)]),
    "has no gradient": lambda r, f: (log_s(r) + log_s(-f)).detach(),
    "gradient for the fake logits is not": half_cut,
    "nats where": lambda r, f: log_s(r) + log_s(-f) + 0.1 * r,
    "should be a tensor": lambda r, f: (log_s(r) + log_s(-f)).tolist(),
    "stopped with": lambda r, f: r + "f",
}

WRONG_GENERATOR = {
    "the same for saturating=True and False": lambda f, saturating: log_s(f),
    "the two are exchanged": lambda f, saturating: log_s(f) if saturating else -log_s(-f),
    "sign of the saturating one is turned": lambda f, saturating: (
        log_s(-f) if saturating else log_s(f)
    ),
    "sign of the non-saturating one is turned": lambda f, saturating: (
        -log_s(-f) if saturating else -log_s(f)
    ),
    "this is what the expert maximises": lambda f, saturating: (
        -log_s(-f) if saturating else log_s(-f)
    ),
    "you return -log D, which is neither": lambda f, saturating: (
        -log_s(f) if saturating else log_s(f)
    ),
    "logarithm of the non-saturating one is missing": lambda f, saturating: (
        -log_s(-f) if saturating else s(f)
    ),
    "logarithm of the saturating one is missing": lambda f, saturating: (
        1 - s(f) if saturating else log_s(f)
    ),
    "in the non-saturating one you took the sigmoid twice": lambda f, saturating: (
        -log_s(-f) if saturating else log_s(s(f))
    ),
    "the non-saturating one is the logit itself": lambda f, saturating: (
        -log_s(-f) if saturating else f
    ),
    "the saturating one is the logit itself": lambda f, saturating: f if saturating else log_s(f),
    "not sigmoid(1 - l)": lambda f, saturating: -log_s(1 - f) if saturating else log_s(f),
    "1 - log D is not": lambda f, saturating: 1 - log_s(f) if saturating else log_s(f),
    "-(1 - log D) is not": lambda f, saturating: log_s(f) - 1 if saturating else log_s(f),
    "one number for the whole batch": (
        lambda f, saturating: (-log_s(-f) if saturating else log_s(f)).mean()
    ),
    "no number. Stay with the logits": lambda f, saturating: (
        -(1 - s(f)).log() if saturating else s(f).log()
    ),
    "a clamp, or a small number": lambda f, saturating: (
        -(1 - s(f) + 1e-9).log() if saturating else (s(f) + 1e-9).log()
    ),
    "has no gradient": lambda f, saturating: (-log_s(-f) if saturating else log_s(f)).detach(),
    "not a number where a logit is negative": lambda f, saturating: (
        -(1 - f).log() if saturating else f.log()
    ),
    "nats where": lambda f, saturating: -log_s(-f) if saturating else log_s(f) + 0.1 * f,
    "stopped with": lambda f: f,
}


def turn(
    d_sign=1,
    g_sign=1,
    saturating=False,
    same_z=False,
    fraud_first=False,
    at_once=False,
    attached=False,
    cut=False,
    zero=True,
    swapped=False,
    result=None,
    draw=None,
    moves="dg",
):
    """An update in plain PyTorch, with one mistake or another."""

    def alternate(x, prior, generator, discriminator, d_optimiser, g_optimiser):
        def codes():
            return draw(prior, len(x)) if draw else prior.sample((len(x),))

        def up(value, optimiser, sign, mine):
            if zero:
                optimiser.zero_grad()
            (-sign * value.mean()).backward()
            if mine in moves:
                optimiser.step()
            return value.mean().item()

        def logit(x):
            return discriminator(x)[:, 0]

        def wish(fake):
            return -log_s(-fake) if saturating else log_s(fake)

        z = codes()
        if fraud_first:
            g = up(wish(logit(generator(z))), g_optimiser, g_sign, "g")
            z = z if same_z else codes()
            d = up(log_s(logit(x)) + log_s(-logit(generator(z).detach())), d_optimiser, d_sign, "d")
            return d, g
        fakes = generator(z) if attached else generator(z).detach()
        value = log_s(logit(x)) + log_s(-logit(fakes))
        if (
            at_once
        ):  # the fraud's logits are taken, and differentiated, before the expert has stepped
            fake = logit(generator(z if same_z else codes()))
            gradients = torch.autograd.grad(-wish(fake).mean(), list(generator.parameters()))
            d = up(value, d_optimiser, d_sign, "d")
            for p, gradient in zip(generator.parameters(), gradients, strict=True):
                p.grad = gradient
            g_optimiser.step()
            return d, wish(fake).mean().item()
        d = up(value, d_optimiser, d_sign, "d")
        fakes = generator(z if same_z else codes())
        value = wish(logit(fakes.detach().requires_grad_() if cut else fakes))
        g = up(value, g_optimiser, g_sign, "g")
        pair = (g, d) if swapped else (d, g)
        return result(*pair) if result else pair

    return alternate


def not_zeroed_for_the_expert(x, prior, generator, discriminator, d_optimiser, g_optimiser):
    """zero_grad only before the fraud's step: what it leaves in the discriminator stays there."""
    fakes = generator(prior.sample((len(x),))).detach()
    d = (log_s(discriminator(x)) + log_s(-discriminator(fakes))).mean()
    (-d).backward()
    d_optimiser.step()
    d_optimiser.zero_grad()
    g_optimiser.zero_grad()
    g = log_s(discriminator(generator(prior.sample((len(x),))))).mean()
    (-g).backward()
    g_optimiser.step()
    return d.item(), g.item()


def flows_into_the_fraud(x, prior, generator, discriminator, d_optimiser, g_optimiser):
    """Both gradients are removed at the beginning of the turn, and the expert's fakes are
    attached.
    """
    d_optimiser.zero_grad()
    g_optimiser.zero_grad()
    d = (log_s(discriminator(x)) + log_s(-discriminator(generator(prior.sample((len(x),)))))).mean()
    (-d).backward()
    d_optimiser.step()
    g = log_s(discriminator(generator(prior.sample((len(x),))))).mean()
    (-g).backward()
    g_optimiser.step()
    return d.item(), g.item()


def same_fakes(x, prior, generator, discriminator, d_optimiser, g_optimiser):
    """One heap of fakes for both turns: torch refuses the second backward."""
    fakes = generator(prior.sample((len(x),)))
    d = maximise((log_s(discriminator(x)) + log_s(-discriminator(fakes))).squeeze(-1), d_optimiser)
    return d, maximise(log_s(discriminator(fakes)).squeeze(-1), g_optimiser)


def logits_too_early(x, prior, generator, discriminator, d_optimiser, g_optimiser):
    """All logits first, both steps after: torch refuses, the discriminator has changed."""
    for_expert = log_s(discriminator(x)) + log_s(
        -discriminator(generator(prior.sample((len(x),))).detach())
    )
    for_fraud = log_s(discriminator(generator(prior.sample((len(x),)))))
    return maximise(for_expert.squeeze(-1), d_optimiser), maximise(
        for_fraud.squeeze(-1), g_optimiser
    )


def all_without_gradient(x, prior, generator, discriminator, d_optimiser, g_optimiser):
    """The expert's logits, too, stand under no_grad."""
    with torch.no_grad():
        value = log_s(discriminator(x)) + log_s(-discriminator(generator(prior.sample((len(x),)))))
    return maximise(value.squeeze(-1), d_optimiser), 0.0


WRONG_ALTERNATE = {
    "the same fakes serve both turns": same_fakes,
    "logits were computed before the expert's step": logits_too_early,
    "torch.no_grad() covers too much": all_without_gradient,
    "one z for both turns: the fraud draws": turn(same_z=True),
    "the fraud moves first": turn(fraud_first=True),
    "one z for both turns, and the fraud moves first": turn(fraud_first=True, same_z=True),
    "both move at once": turn(at_once=True),
    "the expert climbs down": turn(d_sign=-1),
    "the fraud climbs down": turn(g_sign=-1),
    "both climb down": turn(d_sign=-1, g_sign=-1),
    "you took the saturating objective": turn(saturating=True),
    "uses the expert's gradient, too": flows_into_the_fraud,
    "is added to the expert's next step": not_zeroed_for_the_expert,
    "in the expert's turn a gradient flowed into the generator, where nobody wants it": turn(
        attached=True
    ),
    "the fraud has not moved": turn(cut=True),
    "the expert has not moved": turn(moves="g"),
    "nobody has moved": turn(moves=""),
    "in the wrong order": turn(swapped=True),
    "you return losses": turn(result=lambda d, g: (-d, -g)),
    "return what maximise returns": turn(result=lambda d, g: (d + 1, g)),
    "return two numbers": turn(result=lambda d, g: d),
    "the mean objectives of the expert and of the fraud": turn(
        result=lambda d, g: (torch.zeros(5), torch.zeros(5))
    ),
    "with its comma": turn(draw=lambda prior, n: prior.sample(n)),
    "you drew no z from the prior": turn(
        draw=lambda prior, n: torch.randn(n, 2, dtype=torch.float64)
    ),
    "as many z as there are x": turn(draw=lambda prior, n: prior.sample((1,)).expand(n, 2)),
    "you drew z 4 times": turn(draw=lambda prior, n: (prior.sample((n,)) + prior.sample((n,))) / 2),
    "not where they should be": turn(draw=lambda prior, n: 0.5 * prior.sample((n,))),
    "stopped with": lambda *a: 1 / 0,
}


WRONG = dict(zip(NAMES, (WRONG_DISCRIMINATOR, WRONG_GENERATOR, WRONG_ALTERNATE), strict=True))
TestExercises = exercise_tests(
    check,
    "04_gan",
    RIGHT,
    WRONG,
    F=F,
    maximise=maximise,
    **{name: getattr(check, name).solution for name in RIGHT},
)


def test_the_update_by_hand_is_that_of_autograd():
    """The judge's numpy against the course's own turn in torch, two turns long, and against
    autograd without optimisers.
    """
    generator, discriminator = check._game()
    prior = check._Prior()
    xs = [
        torch.randn(check.B, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(i))
        for i in range(3)
    ]
    optimisers = [
        torch.optim.SGD(net.parameters(), lr=check.RATE) for net in (discriminator, generator)
    ]
    for x in xs:
        check.alternate.solution(x, prior, generator, discriminator, *optimisers)
    pairs = [
        (a.numpy(), b.numpy()) for a, b in zip(prior.drawn[::2], prior.drawn[1::2], strict=True)
    ]
    end, _ = check._by_hand([x.numpy() for x in xs], pairs)
    assert abs(check._parameters(generator, discriminator) - end).max() < 1e-12


MUTANTS = {
    "the real term's slope": ("((1 - s(real))[:, None] * x", "(s(real)[:, None] * x"),
    "the fraud's slope": (
        "slope = (s(fake) if saturating else 1 - s(fake)) / len(z)",
        "slope = (1 - s(fake) if saturating else s(fake)) / len(z)",
    ),
    "the expert's turn last": (
        "        else:\n            first = expert(z_d)",
        "        else:\n            first = expert(z_g)",
    ),
    "log(1 - D)": (
        "value = (log_s(real) + log_s(-fake)).mean()",
        "value = (log_s(real) + log_s(fake)).mean()",
    ),
}


def the_solution_is_right(module):
    try:
        module._judge_alternate(check.alternate.solution)
    except Wrong as wrong:
        raise AssertionError(str(wrong)) from None


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_judge_would_be_noticed(name):
    the_solution_is_right(check)
    assert not survives(the_solution_is_right, check, *MUTANTS[name])


def test_right_answers_pass_whatever_the_seed():
    for seed in range(5):
        torch.manual_seed(seed)
        for name in NAMES:
            assert verdict(name, RIGHT[name])[0].kind == "pass"
