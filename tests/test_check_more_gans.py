"""The exercises of notebook 06: right answers pass however they are written, wrong ones are told
what is wrong.
"""

import torch
import torch.nn.functional as F
from exercises import exercise_tests

from dgmcourse.check import more_gans as check


def verdict(name, answer):
    return getattr(check, name).verdict(answer)


# ---- right answers


def own_auxiliary(real, fake, named_real, named_fake, y, c):
    """Cross-entropies of a library, and one-hot labels in place of an index."""
    yes, no = torch.ones_like(real), torch.zeros_like(fake)
    source = F.binary_cross_entropy_with_logits(real, yes, reduction="none")
    source = source + F.binary_cross_entropy_with_logits(fake, no, reduction="none")
    of_real = (named_real * F.one_hot(y, named_real.shape[1])).sum(1)
    of_fake = -F.nll_loss(named_fake, c, reduction="none")
    return [of_real + of_fake - source, of_fake - F.softplus(-fake)]


def own_bidirectional(x, z, encoder, generator, discriminator):
    with torch.no_grad():
        code, made = encoder(x), generator(z)
    judges = -F.softplus(-discriminator(x, code)) - F.softplus(discriminator(made, z))
    return judges, -F.softplus(-discriminator(generator(z), z)) - F.softplus(
        discriminator(x, encoder(x))
    )


def own_mmd(z, prior_z, kernel):
    """All points in one set, with weights."""
    both = torch.cat([z, prior_z])
    n, m = len(z), len(prior_z)
    weight = torch.full((n + m, n + m), -1 / (n * m), dtype=z.dtype)
    weight[:n, :n], weight[n:, n:] = 1 / (n * (n - 1)), 1 / (m * (m - 1))
    return (weight * (1 - torch.eye(n + m, dtype=z.dtype)) * kernel(both, both)).sum()


RIGHT = {"auxiliary": own_auxiliary, "bidirectional": own_bidirectional, "mmd": own_mmd}
NAMES = list(RIGHT)


# ---- wrong answers, each with a phrase of the message meant for it

LS = F.logsigmoid


def pick(named, y):
    return named.gather(1, y[:, None])[:, 0]


def aux(judges=None, makers=None):
    """The two objectives, one of them another: made of (real, fake, of_real, of_fake, class y of
    the fake, c of the real).
    """

    def auxiliary(real, fake, named_real, named_fake, y, c):
        terms = (
            real,
            fake,
            pick(named_real, y),
            pick(named_fake, c),
            pick(named_fake, y),
            pick(named_real, c),
        )
        right = check.auxiliary.solution(real, fake, named_real, named_fake, y, c)
        return (judges(*terms) if judges else right[0]), (makers(*terms) if makers else right[1])

    return auxiliary


def both(f):
    return lambda *given: f(*check.auxiliary.solution(*given))


def through_sigmoids(real, fake, named_real, named_fake, y, c):
    a, b, of_real, of_fake = (
        real.sigmoid(),
        fake.sigmoid(),
        pick(named_real, y),
        pick(named_fake, c),
    )
    return a.log() + (1 - b).log() + of_real + of_fake, b.log() + of_fake


def clamped(real, fake, named_real, named_fake, y, c):
    a, b, of_real, of_fake = (
        real.sigmoid(),
        fake.sigmoid(),
        pick(named_real, y),
        pick(named_fake, c),
    )
    return (a + 1e-8).log() + (1 - b + 1e-8).log() + of_real + of_fake, (b + 1e-8).log() + of_fake


WRONG_AUXILIARY = {
    "return two tensors": both(lambda d, g: d),
    "in the wrong order": both(lambda d, g: (g, d)),
    "discriminator's objective: you returned a loss": both(lambda d, g: (-d, -g)),
    "generator's objective: you returned a loss": both(lambda d, g: (d, -g)),
    "one number for the whole batch": both(lambda d, g: (d.mean(), g.mean())),
    "should be a tensor": both(lambda d, g: (d.tolist(), g.tolist())),
    "one number for each class": lambda r, f, nr, nf, y, c: (
        LS(r)[:, None] + LS(-f)[:, None] + nr + nf,
        LS(f)[:, None] + nf,
    ),
    "picks every label's column": lambda r, f, nr, nf, y, c: (
        LS(r) + LS(-f) + nr[:, y] + nf[:, c],
        LS(f) + nf[:, c],
    ),
    "the class is missing: add": aux(lambda r, f, a, b, s, t: LS(r) + LS(-f)),
    "only the real image's class": aux(lambda r, f, a, b, s, t: LS(r) + LS(-f) + a),
    "only the fake's class": aux(lambda r, f, a, b, s, t: LS(r) + LS(-f) + b),
    "source is missing": aux(lambda r, f, a, b, s, t: a + b),
    "fake's class is subtracted": aux(lambda r, f, a, b, s, t: LS(r) + LS(-f) + a - b),
    "the classes are subtracted": aux(lambda r, f, a, b, s, t: LS(r) + LS(-f) - a - b),
    "it was told c": aux(lambda r, f, a, b, s, t: LS(r) + LS(-f) + a + s),
    "its label is y": aux(lambda r, f, a, b, s, t: LS(r) + LS(-f) + t + b),
    "wants fakes to be found out": aux(lambda r, f, a, b, s, t: LS(r) + LS(f) + a + b),
    "log(1 - D(x)) where": aux(lambda r, f, a, b, s, t: LS(-r) + LS(-f) + a + b),
    "log(1 - D(G)) is missing": aux(lambda r, f, a, b, s, t: LS(r) + a + b),
    "log D(x) is missing": aux(lambda r, f, a, b, s, t: LS(-f) + a + b),
    "averaged the class terms": aux(lambda r, f, a, b, s, t: LS(r) + LS(-f) + (a + b) / 2),
    "with the wrong sign": aux(lambda r, f, a, b, s, t: LS(r) - LS(-f) + a + b),
    "averaged the class terms over the batch": aux(
        lambda r, f, a, b, s, t: LS(r) + LS(-f) + a.mean() + b.mean()
    ),
    "most probable class": lambda r, f, nr, nf, y, c: (
        LS(r) + LS(-f) + nr.amax(1) + nf.amax(1),
        LS(f) + nf.amax(1),
    ),
    "logarithms already": aux(lambda r, f, a, b, s, t: LS(r) + LS(-f) + a.exp() + b.exp()),
    "logarithms of all classes": lambda r, f, nr, nf, y, c: (
        LS(r) + LS(-f) + nr.sum(1) + nf.sum(1),
        LS(f) + nf.sum(1),
    ),
    "logits stand where": aux(lambda r, f, a, b, s, t: r - f + a + b),
    "not a number (NaN)": aux(lambda r, f, a, b, s, t: r.log() + (1 - f).log() + a + b),
    "L_C - L_S to the letter": lambda r, f, nr, nf, y, c: (
        LS(r) + LS(-f) + pick(nr, y) + pick(nf, c),
        pick(nr, y) + pick(nf, c) - LS(r) - LS(-f),
    ),
    "gradient vanishes": aux(None, lambda r, f, a, b, s, t: b - LS(-f)),
    "draws what it likes": aux(None, lambda r, f, a, b, s, t: LS(f)),
    "not a likely image": aux(None, lambda r, f, a, b, s, t: b),
    "agree that it should be seen": aux(None, lambda r, f, a, b, s, t: LS(f) - b),
    "wants to be found out": aux(None, lambda r, f, a, b, s, t: LS(-f) + b),
    "the fake was told c": aux(None, lambda r, f, a, b, s, t: LS(f) + s),
    "which no generator can change": aux(None, lambda r, f, a, b, s, t: LS(f) + a + b),
    "a discriminator that is sure": through_sigmoids,
    "round to 0": clamped,
    "has no gradient": both(lambda d, g: (d.detach(), g)),
    "no gradient reaches named_fake": aux(None, lambda r, f, a, b, s, t: LS(f) + b.detach()),
    "no gradient reaches real": aux(lambda r, f, a, b, s, t: LS(r.detach()) + LS(-f) + a + b),
    "is right (row": both(lambda d, g: (d + 1.5 - d, g)),
    "stopped with": lambda *given: given[0] + given[2],
}


def pairs(judges=None, makers=None):
    """The two objectives, one of them another: made of (x, z, E(x), G(z), D, E, G), without a
    gradient in the first.
    """

    def bidirectional(x, z, E, G, D):
        right = check.bidirectional.solution(x, z, E, G, D)
        still = (
            x,
            z,
            E(x).detach(),
            G(z).detach(),
            D,
            lambda x: E(x).detach(),
            lambda z: G(z).detach(),
        )
        return (judges(*still) if judges else right[0]), (
            makers(x, z, E(x), G(z), D, E, G) if makers else right[1]
        )

    return bidirectional


def both_pairs(f):
    return lambda *given: f(*check.bidirectional.solution(*given))


def leaky(x, z, E, G, D):
    real, fake = D(x, E(x)), D(G(z), z)
    return LS(real) + LS(-fake), LS(fake) + LS(-real)


def half_leaky(x, z, E, G, D):
    return LS(D(x, E(x).detach())) + LS(-D(G(z), z)), check.bidirectional.solution(x, z, E, G, D)[1]


def pair_sigmoids(x, z, E, G, D):
    def log(a):
        return a.sigmoid().log()

    real, fake = D(x, E(x)), D(G(z), z)
    still = D(x, E(x).detach()), D(G(z).detach(), z)
    return log(still[0]) + (1 - still[1].sigmoid()).log(), log(fake) + (1 - real.sigmoid()).log()


WRONG_BIDIRECTIONAL = {
    "return two tensors": both_pairs(lambda d, g: d),
    "in the wrong order": both_pairs(lambda d, g: (g, d)),
    "discriminator's objective: you returned a loss": both_pairs(lambda d, g: (-d, -g)),
    "encoder's objective: you returned a loss": both_pairs(lambda d, g: (d, -g)),
    "one number for the whole batch": both_pairs(lambda d, g: (d.mean(), g.mean())),
    "takes the picture first": lambda x, z, E, G, D: (D(E(x), x), D(z, G(z))),
    "the encoder takes x": lambda x, z, E, G, D: E(z),
    "the generator takes z": lambda x, z, E, G, D: G(x),
    "objective: you paired x with the z": pairs(
        lambda x, z, e, g, D, E, G: LS(D(x, z)) + LS(-D(g, z))
    ),
    "you paired G(z) with E(G(z))": pairs(
        lambda x, z, e, g, D, E, G: LS(D(x, e)) + LS(-D(g, E(g)))
    ),
    "reconstruction G(E(x))": pairs(lambda x, z, e, g, D, E, G: LS(D(x, e)) + LS(-D(G(e), e))),
    "you exchanged the codes": pairs(lambda x, z, e, g, D, E, G: LS(D(x, z)) + LS(-D(g, e))),
    "you paired G(E(x)) with z": pairs(lambda x, z, e, g, D, E, G: LS(D(x, e)) + LS(-D(G(e), z))),
    "1 - log D(G(z), z) where": pairs(lambda x, z, e, g, D, E, G: LS(D(x, e)) + 1 - LS(D(g, z))),
    "the discriminator's objective has no gradient": pairs(
        lambda x, z, e, g, D, E, G: LS(D(x, e).detach()) + LS(-D(g, z).detach())
    ),
    "the generator's pair is missing": pairs(lambda x, z, e, g, D, E, G: LS(D(x, e))),
    "the encoder's pair is missing": pairs(lambda x, z, e, g, D, E, G: LS(-D(g, z))),
    "where log(1 - D(G(z), z)) belongs": pairs(
        lambda x, z, e, g, D, E, G: LS(D(x, e)) + LS(D(g, z))
    ),
    "enters with the wrong sign": pairs(lambda x, z, e, g, D, E, G: LS(D(x, e)) - LS(-D(g, z))),
    "no Wasserstein GAN": pairs(lambda x, z, e, g, D, E, G: D(x, e) - D(g, z)),
    "gradient vanishes": pairs(None, lambda x, z, e, g, D, E, G: -LS(D(x, e)) - LS(-D(g, z))),
    "nothing teaches the encoder": pairs(None, lambda x, z, e, g, D, E, G: LS(D(g, z))),
    "nothing teaches the generator": pairs(None, lambda x, z, e, g, D, E, G: LS(-D(x, e))),
    "taken for the other kind": pairs(None, lambda x, z, e, g, D, E, G: LS(D(g, z)) + LS(D(x, e))),
    "turn both pairs round": pairs(None, lambda x, z, e, g, D, E, G: LS(D(x, e)) + LS(-D(g, z))),
    "never compares pixels": pairs(
        None, lambda x, z, e, g, D, E, G: LS(D(g, z)) + LS(-D(x, e)) - ((x - G(e)) ** 2).sum(-1)
    ),
    "encoder's objective: you paired x with the z": pairs(
        None, lambda x, z, e, g, D, E, G: LS(D(g, z)) + LS(-D(x, z))
    ),
    "sends a gradient to the encoder": leaky,
    "sends a gradient to the generator": half_leaky,
    "a discriminator that is sure": pair_sigmoids,
    "no gradient reaches encoder": pairs(
        None, lambda x, z, e, g, D, E, G: LS(D(g, z)) + LS(-D(x, e.detach()))
    ),
    "and encoder's objective has no gradient": pairs(
        None, lambda x, z, e, g, D, E, G: (LS(D(g, z)) + LS(-D(x, e))).detach()
    ),
    "should be a tensor": both_pairs(lambda d, g: (d.tolist(), g)),
    "stopped with": lambda x, z, E, G, D: x @ z,
}


def discrepancy(
    within=lambda k: (k.sum() - k.diagonal().sum()) / (len(k) * (len(k) - 1)),
    total=lambda a, b, c: a + b - 2 * c,
    between=lambda k: k.mean(),
):
    def mmd(z, prior_z, kernel):
        return total(
            within(kernel(z, z)), within(kernel(prior_z, prior_z)), between(kernel(z, prior_z))
        )

    return mmd


WRONG_MMD = {
    "sign is turned round": discrepancy(total=lambda a, b, c: 2 * c - a - b),
    "makes two samples of one distribution look": discrepancy(lambda k: k.mean()),
    "left the pairs i = j in the sum": discrepancy(lambda k: k.sum() / (len(k) * (len(k) - 1))),
    "divide by N^2": discrepancy(lambda k: (k.sum() - k.diagonal().sum()) / len(k) ** 2),
    "which not every kernel gives": discrepancy(
        lambda k: (k.sum() - len(k)) / (len(k) * (len(k) - 1))
    ),
    "each pair once": discrepancy(lambda k: k.triu(1).sum() / (len(k) * (len(k) - 1))),
    "M need not be N": lambda z, p, k: (
        (
            (k(z, z).fill_diagonal_(0).sum() + k(p, p).fill_diagonal_(0).sum())
            / (len(z) * (len(z) - 1))
        )
        - 2 * k(z, p).mean()
    ),
    "no pair is left out": discrepancy(between=lambda k: k.fill_diagonal_(0).mean()),
    "not only the i-th": discrepancy(between=lambda k: k.diagonal().mean()),
    "don't clip it": discrepancy(total=lambda a, b, c: (a + b - 2 * c).clamp(min=0)),
    "not a number (NaN)": discrepancy(total=lambda a, b, c: (a + b - 2 * c - 9).sqrt()),
    "count twice": discrepancy(total=lambda a, b, c: a + b - c),
    "sets enter with the wrong sign": discrepancy(total=lambda a, b, c: a + b + 2 * c),
    "between the sets are missing": discrepancy(total=lambda a, b, c: a + b),
    "within the prior's codes are missing": discrepancy(total=lambda a, b, c: a - 2 * c),
    "pushes codes apart": discrepancy(total=lambda a, b, c: b - 2 * c),
    "square root": discrepancy(total=lambda a, b, c: (a + b - 2 * c).clamp(min=0).sqrt()),
    "take means": lambda z, p, k: (
        k(z, z).fill_diagonal_(0).sum() + k(p, p).fill_diagonal_(0).sum() - 2 * k(z, p).sum()
    ),
    "distance of the two means": lambda z, p, k: ((z.mean(0) - p.mean(0)) ** 2).sum(),
    "no gradient": discrepancy(total=lambda a, b, c: (a + b - 2 * c).detach()),
    "a number of Python's": discrepancy(total=lambda a, b, c: (a + b - 2 * c).item()),
    "without axes": discrepancy(total=lambda a, b, c: (a + b - 2 * c)[None]),
    "one number for the two sets": lambda z, p, k: k(z, z).mean(1),
    "kernel takes two sets": lambda z, p, k: k(z[0], p[0]),
    "reaches z": discrepancy(total=lambda a, b, c: a.detach() + b - 2 * c),
    "is right.": discrepancy(total=lambda a, b, c: a + b - 3 * c),
    "stopped with": lambda z, p, k: z + p,
}


WRONG = {"auxiliary": WRONG_AUXILIARY, "bidirectional": WRONG_BIDIRECTIONAL, "mmd": WRONG_MMD}
TestExercises = exercise_tests(check, "06_more_gans", RIGHT, WRONG, F=F)
