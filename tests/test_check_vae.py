"""The exercises of notebook 07: right answers pass however they are written, wrong ones are told
what is wrong.
"""

import torch
import torch.nn.functional as F
from exercises import exercise_tests

from dgmcourse.check import vae as check
from dgmcourse.densities import Gaussian

# ---- right answers


def own_kl(mean, log_var):
    sigma = torch.exp(0.5 * log_var)
    q = torch.distributions.Normal(mean, sigma)
    p = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    return torch.distributions.kl_divergence(q, p).sum(1)


def own_elbo(x, encoder, decoder):
    """Nothing of the course's densities: noise by hand, a library's cross-entropy, a sampled KL."""
    q = encoder(x)
    noise = torch.randn_like(q.mean)
    z = q.mean + (0.5 * q.log_var).exp() * noise
    rec = -F.binary_cross_entropy_with_logits(decoder(z).logits, x, reduction="none").sum(1)
    reg = 0.5 * (z**2 - noise**2 - q.log_var).sum(1)
    return [rec - reg, rec, reg]


def own_sample(n, prior, decoder):
    z = torch.stack(
        [prior.sample() if hasattr(prior, "log_var") else prior.sample((1,))[0] for _ in range(n)]
    )
    p = decoder(z).mean
    return (torch.rand_like(p) < p).float()


def sampled_elbo(x, encoder, decoder):
    """The KL from the very z that is decoded, and parts for reading only."""
    q = encoder(x)
    z = torch.distributions.Normal(q.mean, (q.log_var / 2).exp()).rsample()
    rec = decoder(z).log_prob(x)
    reg = q.log_prob(z) - Gaussian(torch.zeros_like(z), torch.zeros_like(z)).log_prob(z)
    return rec - reg, rec.detach(), reg.detach()


RIGHT = {"kl": own_kl, "elbo": [own_elbo, sampled_elbo], "sample": own_sample}


# ---- wrong answers of kinds that no slip states, each with a phrase of the message meant for it


def terms(mean, log_var):
    return 0.5 * (log_var.exp() + mean**2 - 1 - log_var)


def over_pixels(log_of):
    def elbo(x, encoder, decoder):
        q = encoder(x)
        p = decoder(q.rsample()).mean
        rec = (x * log_of(p) + (1 - x) * log_of(1 - p)).sum(-1)
        reg = terms(q.mean, q.log_var).sum(-1)
        return rec - reg, rec, reg

    return elbo


def changed(change):
    """The solution's q and its three parts, changed."""
    return lambda x, e, d: change(e(x), *check.elbo.solution(x, e, d))


def seeded(x, encoder, decoder):
    torch.manual_seed(3)
    return check.elbo.solution(x, encoder, decoder)


def one_noise(x, encoder, decoder):
    q = encoder(x)
    rec = decoder(q.mean + (q.log_var / 2).exp() * torch.randn(2)).log_prob(x)
    reg = terms(q.mean, q.log_var).sum(-1)
    return rec - reg, rec, reg


WRONG = {
    "kl": {
        "2 times what it should be": lambda m, v: 2 * terms(m, v).sum(-1),
        "1/3 of what it should be: a mean": lambda m, v: terms(m, v).mean(-1),
        "the sign is turned": lambda m, v: -terms(m, v).sum(-1),
        "the 1 is missing": lambda m, v: terms(m, v).sum(-1) + 1.5,
        "log_var has the wrong sign": lambda m, v: (terms(m, v) + v).sum(-1),
        "mean**2 is missing and log_var has the factor -1,": lambda m, v: (
            0.5 * v.exp() - 0.5 - v
        ).sum(-1),
        "where q is nearly the prior": lambda m, v: terms(m, v).sum(-1).clamp(min=1e-3),
        "with one latent dimension": lambda m, v: (terms(m, v) + 0.5).sum(-1) - 1.5,
        "logarithm of log_var": lambda m, v: 0.5 * (v + m**2 - 1 - v.log()).sum(-1),
        "summed over the batch": lambda m, v: terms(m, v).sum(0),
        "keep one for each row": lambda m, v: terms(m, v).sum(-1).mean(),
        "one number for each latent dimension": terms,
        "no gradient:": lambda m, v: terms(m, v).sum(-1).detach(),
        "no gradient reaches mean": lambda m, v: terms(m.detach(), v).sum(-1),
        "with respect to log_var is not": lambda m, v: (terms(m, v) + 0.5 * (v.detach() - v)).sum(
            -1
        ),
        "nats where": lambda m, v: terms(m, v).sum(-1) + 0.1 * m[:, 0] ** 3,
        "stopped with": lambda m, v: m @ v,
    },
    "elbo": {
        **{
            f"in the order {', '.join(f'the {name}' for name in names)}. It is": changed(
                lambda q, *three, names=names: [
                    three[("bound", "reconstruction", "regulariser").index(n)] for n in names
                ]
            )
            for names in [
                ("reconstruction", "regulariser", "bound"),
                ("regulariser", "bound", "reconstruction"),
            ]
        },
        "regulariser, subtracted, is missing": changed(lambda q, b, r, k: (r, r, k)),
        "one number for the whole batch": changed(lambda q, b, r, k: (b.mean(), r, k)),
        "no gradient:": changed(lambda q, b, r, k: (b.detach(), r, k)),
        "return three tensors": changed(lambda q, b, r, k: b),
        "you went through probabilities": over_pixels(torch.log),
        "clamped or rounded": over_pixels(lambda p: p.clamp(1e-5, 1 - 1e-5).log()),
        "set no seed": seeded,
        "one noise for the whole batch": one_noise,
        "rows must not mix": changed(lambda q, b, r, k: (r.roll(1, 0) - k, r.roll(1, 0), k)),
        "changes x in place": lambda x, e, d: (*check.elbo.solution(x, e, d)[:2], x.zero_()[:, 0]),
        "stopped with": lambda x, e, d: e(x) + 1,
    },
    "sample": {
        "True and False": lambda n, p, d: (p := d(p.sample((n,))).mean) > torch.rand_like(p),
        "one draw serves all n": lambda n, p, d: d(p.sample().expand(n, 2)).sample(),
        "n images for each of n codes": lambda n, p, d: torch.zeros(n, n, 3),
        "returned the codes": lambda n, p, d: p.sample((n,)),
        "one image, not n": lambda n, p, d: d(p.sample()).sample(),
        "averages": lambda n, p, d: torch.bernoulli(d(p.sample((n,))).mean * 0.8),
        "sample has shape (3,), expected (1, 3)": lambda n, p, d: (
            d(p.sample((n,))).sample().squeeze()
        ),
        "expects 2 latent dimensions": lambda n, p, d: d(torch.randn(n, 3)).sample(),
    },
}
TestExercises = exercise_tests(check, "07_vae", RIGHT, WRONG, F=F, kl=check.kl.solution)
