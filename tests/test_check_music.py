"""The exercises of notebook 13b: right answers pass, wrong ones are told what is wrong."""

import math

import torch
import torch.nn.functional as F
from exercises import exercise_tests

from dgmcourse.check import music as check
from dgmcourse.densities import Gaussian, kl

# ---- right answers


def by_sampling(x, h, prior, encoder, decoder):
    """The KL by the same draw: unbiased, with more noise."""
    q = encoder(x, h)
    z = q.rsample()
    return decoder(z, h).log_prob(x) + prior(h).log_prob(z) - q.log_prob(z)


def by_torch(x, h, prior, encoder, decoder):
    q, p = encoder(x, h), prior(h)
    normal = lambda g: torch.distributions.Normal(g.mean, torch.exp(0.5 * g.log_var))  # noqa: E731
    z = normal(q).rsample()
    return decoder(z, h).log_prob(x) - torch.distributions.kl_divergence(normal(q), normal(p)).sum(
        1
    )


def by_five_draws(x, h, prior, encoder, decoder):
    q = encoder(x, h)
    log_p = torch.stack([decoder(q.rsample(), h).log_prob(x) for _ in range(5)])
    return log_p.mean(0) - kl(q, prior(h))


def by_two_draws(x, h, prior, encoder, decoder):
    """One z for each of the two terms."""
    q = encoder(x, h)
    z, other = q.rsample(), q.rsample()
    return decoder(z, h).log_prob(x) + prior(h).log_prob(other) - q.log_prob(other)


def by_own_noise(x, h, prior, encoder, decoder):
    """The KL by its formula, and the noise by hand."""
    q, p = encoder(x, h), prior(h)
    z = q.mean + (q.log_var / 2).exp() * torch.randn_like(q.mean)
    ratio = q.log_var - p.log_var
    each = (q.mean - p.mean) ** 2 / p.log_var.exp() + ratio.exp() - ratio - 1
    return decoder(z, h).log_prob(x) - each.sum(-1) / 2


def by_score_function(x, h, prior, encoder, decoder):
    """No path through z, but its right gradient: a factor of mean 0 and value 0."""
    q = encoder(x, h)
    z = q.sample()
    log_p, log_q = decoder(z, h).log_prob(x), q.log_prob(z)
    return log_p + log_p.detach() * (log_q - log_q.detach()) - kl(q, prior(h))


def by_rows(x, h, prior, encoder, decoder):
    """Row by row, each a batch of one."""
    q, p = encoder(x, h), prior(h)
    log_p = decoder(q.rsample(), h).log_prob(x)
    return torch.stack(list(log_p)) - torch.cat(kl(q, p).split(1))


def by_padding(terms, lengths):
    parts = [row[:n].sum() for row, n in zip(terms, lengths.tolist(), strict=True)]
    return torch.stack(parts)


def by_cumulative_sum(terms, lengths):
    safe = terms.nan_to_num(neginf=0.0)
    return safe.cumsum(-1)[torch.arange(len(terms)), lengths - 1]


def by_filling(terms, lengths):
    return terms.masked_fill(torch.arange(terms.size(1)) >= lengths.unsqueeze(1), 0.0).sum(1)


def by_steps(terms, lengths):
    total = torch.zeros_like(terms[:, 0])
    for t in range(terms.shape[1]):
        total = total + torch.where(lengths > t, terms[:, t], torch.zeros_like(total))
    return total


def by_copy(terms, lengths):
    terms = terms.clone()
    for i, n in enumerate(lengths):
        terms[i, n:] = 0
    return terms.sum(dim=1)


def by_nested(terms, lengths):
    rows = [row[:n] for row, n in zip(terms, lengths, strict=True)]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).sum(-1)


def own_weights(log_w):
    top = log_w.max(-1, keepdim=True).values
    w = torch.exp(log_w - top)
    return w.mean(-1).log() + top.squeeze(-1), w / w.sum(-1, keepdim=True)


def by_logarithms(log_w):
    total = torch.logsumexp(log_w, dim=1, keepdim=True)
    return total.squeeze(1) - math.log(log_w.size(1)), (log_w - total).exp()


def by_two_maxima(log_w):
    """A list, of the mean weight relative to the largest one."""
    relative = log_w - log_w.max(1, keepdim=True)[0]
    evidence = log_w.max(1)[0] + torch.log(relative.exp().sum(1) / log_w.shape[1])
    return [evidence, relative.exp() / relative.exp().sum(1)[:, None]]


def by_adding(log_w):
    """One weight after the other is added to the sum."""
    total = log_w[:, 0]
    for column in log_w.unbind(1)[1:]:
        total = torch.logaddexp(total, column)
    return total - torch.tensor(float(log_w.shape[1])).log(), F.softmax(log_w, 1)


def by_detached_shares(log_w):
    """Shares to draw by: they need no gradient."""
    evidence, shares = own_weights(log_w)
    return evidence, shares.detach()


RIGHT = {
    "step_bound": [
        *(by_sampling, by_torch, by_five_draws, by_two_draws, by_own_noise, by_score_function),
        by_rows,
    ],
    "sum_over_steps": [
        *(by_padding, by_cumulative_sum, by_filling, by_steps, by_copy, by_nested),
    ],
    "weigh": [own_weights, by_logarithms, by_two_maxima, by_adding, by_detached_shares],
}

# ---- wrong answers of kinds that no slip states, or written otherwise, each with a phrase of the
# message meant for it


def parts(x, h, prior, encoder, decoder):
    q = encoder(x, h)
    return decoder(q.rsample(), h).log_prob(x), kl(q, prior(h))


def each_kl(q, p):
    """The KL of each dimension."""
    return kl(*(Gaussian(g.mean[..., None], g.log_var[..., None]) for g in (q, p)))


def of_densities(combine):
    def answer(x, h, prior, encoder, decoder):
        q, p = encoder(x, h), prior(h)
        z = q.rsample()
        return combine(decoder(z, h).log_prob(x), q, p, z)

    return answer


def without_gradient(x, h, prior, encoder, decoder):
    q = encoder(x, h)
    with torch.no_grad():
        z = q.rsample()
    return decoder(z, h).log_prob(x) - kl(q, prior(h))


def same_seed(x, h, prior, encoder, decoder):
    torch.manual_seed(1)
    return by_torch(x, h, prior, encoder, decoder)


def by_probabilities(x, h, prior, encoder, decoder):
    q = encoder(x, h)
    theta = decoder(q.rsample(), h).mean.clamp(1e-6, 1 - 1e-6)
    return (x * theta.log() + (1 - x) * (1 - theta).log()).sum(-1) - kl(q, prior(h))


def combined(combine):
    return lambda *given: combine(*parts(*given))


def one_noise(x, h, prior, encoder, decoder):
    q = encoder(x, h)
    z = q.mean + torch.exp(q.log_var / 2) * torch.randn(1, 2)
    return decoder(z, h).log_prob(x) - kl(q, prior(h))


def there(terms, lengths):
    return torch.arange(terms.shape[1]) < lengths[:, None]


def steps(terms, lengths):
    """The terms that are there, 0 elsewhere."""
    return torch.where(there(terms, lengths), terms, 0.0)


def shares_of(shares):
    return lambda log_w: (own_weights(log_w)[0], shares(log_w))


def evidence_of(evidence):
    return lambda log_w: (evidence(log_w), log_w.softmax(-1))


WRONG = {
    "step_bound": {
        "the KL, subtracted, is missing": combined(lambda r, k: r),
        "the KL must be subtracted": combined(lambda r, k: r + k),
        "the KL, subtracted, has the factor 0.1, not 1": combined(lambda r, k: r - 0.1 * k),
        "the reconstruction has the wrong sign": combined(lambda r, k: -r - k),
        "the sign is turned": combined(lambda r, k: k - r),
        "one number for the whole batch": combined(lambda r, k: (r - k).mean()),
        "it is tuple": combined(lambda r, k: (r, k)),
        "each row is right alone, but not in a batch": combined(lambda r, k: r - k.mean()),
        "too large everywhere": combined(lambda r, k: r - k + 0.3),
        "as it is": combined(lambda r, k: r - k.clamp(min=0.5)),
        "free bits": combined(lambda r, k: r - k.clamp(min=2.0)),
        "that is a trick of training": of_densities(
            lambda r, q, p, z: r - each_kl(q, p).clamp(min=0.25).sum(-1)
        ),
        "p_mean and p_log_var have no influence": of_densities(
            lambda r, q, p, z: r - q.log_prob(z)
        ),
        "no gradient reaches p_mean": of_densities(
            lambda r, q, p, z: r - kl(q, Gaussian(p.mean.detach(), p.log_var))
        ),
        "its gradient with respect to mean is not": of_densities(
            lambda r, q, p, z: r - kl(Gaussian(q.mean.detach(), q.log_var.detach()), p)
        ),
        "one number for each entry of a row": of_densities(
            lambda r, q, p, z: r[:, None] - each_kl(q, p)
        ),
        ".rsample() does not": without_gradient,
        "set no seed": same_seed,
        "you went through probabilities": by_probabilities,
        "for z: it expects": lambda x, h, p, e, d: d(h, e(x, h).rsample()).log_prob(x),
        "it expects 3 keys": lambda x, h, p, e, d: d(e(h, h).rsample(), h).log_prob(x),
        "one noise for the whole batch": one_noise,
    },
    "sum_over_steps": {
        "0 times -inf is no number": lambda terms, n: (terms * there(terms, n)).sum(-1),
        "you summed over the batch": lambda terms, n: terms.sum(0),
        "the steps are still there": steps,
        "compare them as": lambda terms, n: torch.where(
            torch.arange(terms.shape[-1]) < n, terms, 0.0
        ).sum(-1),
        "with T = terms.shape[-1]": lambda terms, n: torch.where(
            torch.arange(7) < n[:, None], terms, 0.0
        ).sum(-1),
        "the sign is turned": lambda terms, n: -by_padding(terms, n),
        "should be a tensor": lambda terms, n: by_padding(terms, n).tolist(),
        "filler stands at the end of a row": lambda terms, n: torch.where(
            there(terms, n).flip(-1), terms, 0.0
        ).sum(-1),
        "one step too many": lambda terms, n: terms.cumsum(-1).gather(
            -1, n.clamp(max=terms.shape[1] - 1)[:, None]
        )[:, 0],
        "the first step is missing": lambda terms, n: steps(terms, n)[:, 1:].sum(-1),
        "what lies behind an end counts": lambda terms, n: terms[:, : n.max()].sum(-1),
        "as 0 in a sum": lambda terms, n: terms.masked_fill(~there(terms, n), -math.inf).sum(-1),
        "has no gradient": lambda terms, n: steps(terms.detach(), n).sum(-1),
        "each row is right alone": lambda terms, n: steps(terms, n.flip(0)).sum(-1),
        "an axis of 1 is left": lambda terms, n: steps(terms, n).sum(-1, keepdim=True),
        "one number for the whole batch": lambda terms, n: steps(terms, n).sum(-1).mean(),
        "changes terms in place": lambda terms, n: terms.masked_fill_(~there(terms, n), 0.0).sum(
            -1
        ),
        "holds whole numbers": lambda terms, n: n,
    },
    "weigh": {
        "exp(-900) is 0": lambda log_w: (log_w.exp().mean(-1).log(), log_w.softmax(-1)),
        "where all weights are e^-900 it is nan": shares_of(
            lambda log_w: log_w.exp() / log_w.exp().sum(-1, keepdim=True)
        ),
        "you averaged over the batch": evidence_of(
            lambda log_w: torch.logsumexp(log_w, 0) - math.log(len(log_w))
        ),
        "one share for each particle": shares_of(lambda log_w: log_w.amax(-1)),
        "return two tensors": lambda log_w: own_weights(log_w)[0],
        "in the order the table of shares, the evidence": lambda log_w: own_weights(log_w)[::-1],
        "the evidence has no gradient": evidence_of(lambda log_w: own_weights(log_w.detach())[0]),
        "log B in place of log S": evidence_of(
            lambda log_w: log_w.exp().sum(-1).log() - math.log(log_w.shape[0])
        ),
        "did not add it again": evidence_of(
            lambda log_w: (
                torch.logsumexp(log_w - log_w.max(-1, True)[0], -1) - math.log(log_w.shape[-1])
            )
        ),
        "the evidence: the sign is turned": evidence_of(lambda log_w: -own_weights(log_w)[0]),
        "for one particle it is": evidence_of(
            lambda log_w: torch.logsumexp(log_w, -1) - math.log(5)
        ),
        "too small everywhere": evidence_of(
            lambda log_w: torch.logsumexp(log_w, -1) - math.log2(log_w.shape[-1])
        ),
        "an axis of 1 is left": evidence_of(lambda log_w: own_weights(log_w)[0][:, None]),
        "one number for the whole batch": evidence_of(lambda log_w: own_weights(log_w)[0].mean()),
        "divided by the largest one": shares_of(
            lambda log_w: log_w.exp() / log_w.exp().amax(-1, keepdim=True)
        ),
        "divided by the batch's largest one": shares_of(
            lambda log_w: log_w.exp() / log_w.exp().max()
        ),
        "a row sums to S": shares_of(lambda log_w: (log_w - own_weights(log_w)[0][:, None]).exp()),
        "the heaviest particle has all": shares_of(
            lambda log_w: F.one_hot(log_w.argmax(-1), log_w.shape[-1]).double()
        ),
        "holds whole numbers": shares_of(lambda log_w: (10 * log_w.softmax(-1)).long()),
        "each row has its own": shares_of(lambda log_w: log_w.flatten().softmax(0).view_as(log_w)),
    },
}
TestExercises = exercise_tests(check, "13b_music", RIGHT, WRONG, F=F, math=math, kl=kl, torch=torch)
