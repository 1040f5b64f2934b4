"""The exercises of notebook 07: right answers pass however they are written, wrong ones are told
what is wrong.
"""

import torch
import torch.nn.functional as F
from exercises import exercise_tests

from dgmcourse.check import vae as check


def verdict(name, answer):
    return getattr(check, name).verdict(answer)


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


RIGHT = {"kl": own_kl, "elbo": own_elbo, "sample": own_sample}
NAMES = list(RIGHT)


# ---- wrong answers, each with a phrase of the message meant for it


def terms(mean, log_var):
    return 0.5 * (log_var.exp() + mean**2 - 1 - log_var)


WRONG_KL = {
    "averaged the KL over the latent": lambda m, v: terms(m, v).mean(-1),
    "sign is turned": lambda m, v: -terms(m, v).sum(-1),
    "factor 1/2": lambda m, v: 2 * terms(m, v).sum(-1),
    "standard deviation exp(log_var / 2) where": lambda m, v: (
        0.5 * ((v / 2).exp() + m**2 - 1 - v).sum(-1)
    ),
    "log of the standard deviation": lambda m, v: terms(m, 2 * v).sum(-1),
    "variance belongs: the variance is exp": lambda m, v: 0.5 * (v + m**2 - 1 - v).sum(-1),
    "logarithm of log_var": lambda m, v: 0.5 * (v + m**2 - 1 - v.log()).sum(-1),
    "took log_var for sigma": lambda m, v: 0.5 * (v**2 + m**2 - 1 - (v**2).log()).sum(-1),
    "you squared log_var": lambda m, v: 0.5 * (v**2 + m**2 - 1 - v).sum(-1),
    "summed over the batch": lambda m, v: terms(m, v).sum(0),
    "keep the batch": lambda m, v: terms(m, v).sum(-1).mean(),
    "one number for each latent dimension": terms,
    "forgot the - 1": lambda m, v: 0.5 * (v.exp() + m**2 - v).sum(-1),
    "wrong sign: - log_var": lambda m, v: 0.5 * (v.exp() + m**2 - 1 + v).sum(-1),
    "square the mean": lambda m, v: 0.5 * (v.exp() + m - 1 - v).sum(-1),
    "other way round": lambda m, v: 0.5 * (v + (1 + m**2) * (-v).exp() - 1).sum(-1),
    "no gradient": lambda m, v: terms(m, v).sum(-1).detach(),
    "gradient with respect to mean is not": lambda m, v: terms(m.detach(), v).sum(-1),
    "gradient with respect to log_var is not": lambda m, v: terms(m, v.detach()).sum(-1),
    "the variance squared": lambda m, v: 0.5 * ((2 * v).exp() + m**2 - 1 - v).sum(-1),
    "subtract 2 log_var": lambda m, v: 0.5 * (v.exp() + m**2 - 1 - 2 * v).sum(-1),
    "subtract log_var / 2 within": lambda m, v: 0.5 * (v.exp() + m**2 - 1 - v / 2).sum(-1),
    "1/2 multiplies the first term only": lambda m, v: (0.5 * v.exp() + m**2 - 1 - v).sum(-1),
    "1/2 multiplies the mean's square only": lambda m, v: (0.5 * m**2 + v.exp() - 1 - v).sum(-1),
    "1 has the factor -1, not -0.5 and log_var has the factor -1,": (
        lambda m, v: (0.5 * (v.exp() + m**2) - 1 - v).sum(-1)
    ),
    "mean**2 has the factor 0, not 0.5 and log_var has the factor -1,": (
        lambda m, v: (0.5 * v.exp() - 0.5 - v).sum(-1)
    ),
    "nats where": lambda m, v: terms(m, v).sum(-1) + 0.1 * m[:, 0] ** 3,
    "should be a tensor": lambda m, v: terms(m, v).sum(-1).tolist(),
    "stopped with": lambda m, v: m @ v,
}

kl = check.kl.solution


def parts(x, encoder, decoder):
    return (*check.elbo.solution(x, encoder, decoder), encoder(x))


def with_z(z_of):
    def elbo(x, encoder, decoder):
        q = encoder(x)
        rec, reg = decoder(z_of(q)).log_prob(x), kl(q.mean, q.log_var)
        return rec - reg, rec, reg

    return elbo


def with_bound(bound_of):
    def elbo(x, encoder, decoder):
        _, rec, reg = check.elbo.solution(x, encoder, decoder)
        return bound_of(rec, reg), rec, reg

    return elbo


def with_parts(change):
    def elbo(x, encoder, decoder):
        _, rec, reg = check.elbo.solution(x, encoder, decoder)
        rec, reg = change(rec, reg)
        return rec - reg, rec, reg

    return elbo


def from_probabilities(log_of):
    def elbo(x, encoder, decoder):
        q = encoder(x)
        p = decoder(q.rsample()).mean
        rec = (x * log_of(p) + (1 - x) * log_of(1 - p)).sum(-1)
        reg = kl(q.mean, q.log_var)
        return rec - reg, rec, reg

    return elbo


def library_cross_entropy(x, encoder, decoder):
    q = encoder(x)
    rec = -F.binary_cross_entropy(decoder(q.rsample()).mean, x, reduction="none").sum(-1)
    return rec - kl(q.mean, q.log_var), rec, kl(q.mean, q.log_var)


def frozen_decoder(x, encoder, decoder):
    q = encoder(x)
    z = q.rsample()
    rec = decoder(z).log_prob(x)
    with torch.no_grad():
        offset = decoder(z.detach()).log_prob(x)
    reg = kl(q.mean, q.log_var)
    return offset - reg, rec, reg


def in_order(*places):
    """The three right parts, each at another's place: (0, 1, 2) would be right."""

    def elbo(x, encoder, decoder):
        three = check.elbo.solution(x, encoder, decoder)
        return [three[i] for i in places]

    return elbo


def squared_error(x, encoder, decoder):
    q = encoder(x)
    rec, reg = -((x - decoder(q.rsample()).mean) ** 2).sum(-1), kl(q.mean, q.log_var)
    return rec - reg, rec, reg


def kl_turned_round(x, encoder, decoder):
    q = encoder(x)
    rec, reg = decoder(q.rsample()).log_prob(x), kl(q.log_var, q.mean)
    return rec - reg, rec, reg


WRONG_ELBO = {
    "in the order reconstruction, regulariser, bound": in_order(1, 2, 0),
    "in the order bound, regulariser, reconstruction": in_order(0, 2, 1),
    "in the order reconstruction, bound, regulariser": in_order(1, 0, 2),
    "in the order regulariser, reconstruction, bound": in_order(2, 1, 0),
    "in the order regulariser, bound, reconstruction": in_order(2, 0, 1),
    "a squared error": squared_error,
    "arguments the wrong way round": kl_turned_round,
    "have summed over pixels": lambda x, e, d: (
        check.elbo.solution(x, e, d)[0],
        d(e(x).rsample()).log_prob(x).sum(-1),
        x[:, 0],
    ),
    "you decoded the mean": with_z(lambda q: q.mean),
    "one noise for the whole batch": with_z(
        lambda q: q.mean + (q.log_var / 2).exp() * torch.randn(2)
    ),
    "drew z from the prior": with_z(lambda q: torch.randn_like(q.mean)),
    "variance exp(log_var) for its standard deviation": with_z(
        lambda q: q.mean + q.log_var.exp() * torch.randn_like(q.mean)
    ),
    "does not pass through z": with_z(lambda q: q.sample()),
    "you added the KL": with_bound(lambda rec, reg: rec + reg),
    "returned a loss": with_bound(lambda rec, reg: reg - rec),
    "prior term is missing": with_bound(lambda rec, reg: rec),
    "the bound has no gradient": with_bound(lambda rec, reg: (rec - reg).detach()),
    "KL's gradient is cut off": with_bound(lambda rec, reg: rec - reg.detach()),
    "averaged it over the pixels": with_parts(lambda rec, reg: (rec / 3, reg)),
    "no loss": with_parts(lambda rec, reg: (-rec, reg)),
    "averaged the KL": with_parts(lambda rec, reg: (rec, reg / 2)),
    "which is never negative": with_parts(lambda rec, reg: (rec, -reg)),
    "keep one for each x": with_parts(lambda rec, reg: (rec.mean(), reg.mean())),
    "return three tensors": lambda x, e, d: check.elbo.solution(x, e, d)[0],
    "went through probabilities": from_probabilities(lambda p: p.clamp(1e-5, 1 - 1e-5).log()),
    "clamped or rounded": library_cross_entropy,
    "costs 60 nats": from_probabilities(torch.log),
    "does not pass through": frozen_decoder,
    "stopped with": lambda x, e, d: e(x) + 1,
}


def draw(p):
    return torch.bernoulli(p)


WRONG_SAMPLE = {
    "zeros and ones as floats": lambda n, prior, decoder: (
        (p := decoder(prior.sample((n,))).mean) > torch.rand_like(p)
    ),
    "returned the probabilities": lambda n, p, d: d(p.sample((n,))).mean,
    "you rounded them": lambda n, p, d: d(p.sample((n,))).mean.round(),
    "same z": lambda n, p, d: d(p.sample().expand(n, 2)).sample(),
    "n images for each of n codes": lambda n, p, d: torch.zeros(n, n, 3),
    "whatever the prior": lambda n, p, d: d(torch.randn(n, 2)).sample(),
    "z is uniform": lambda n, p, d: d(torch.rand(n, 2)).sample(),
    "returned the codes": lambda n, p, d: p.sample((n,)),
    "one image, not n": lambda n, p, d: d(p.sample()).sample(),
    "random number of its own": lambda n, p, d: (torch.rand(n, 1) < d(p.sample((n,))).mean).float(),
    "averages": lambda n, p, d: draw(d(p.sample((n,))).mean * 0.8),
    "a shape, a tuple": lambda n, p, d: d(p.sample(n)).sample(),
    "expects 2 latent dimensions": lambda n, p, d: d(torch.randn(n, 3)).sample(),
}


WRONG = {"kl": WRONG_KL, "elbo": WRONG_ELBO, "sample": WRONG_SAMPLE}
TestExercises = exercise_tests(check, "07_vae", RIGHT, WRONG, F=F, kl=check.kl.solution)


def test_right_answers_pass_whatever_the_seed():
    for seed in range(5):
        torch.manual_seed(seed)
        for name in NAMES:
            assert verdict(name, RIGHT[name])[0].kind == "pass"
