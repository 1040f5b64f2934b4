"""The exercises of notebook 06: right answers pass however they are written, wrong ones are told
what is wrong.
"""

import torch
import torch.nn.functional as F
from exercises import exercise_tests

from dgmcourse.check import more_gans as check

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


# ---- wrong answers of kinds that no slip states, each with a phrase of the message meant for it

LS = F.logsigmoid


def through_sigmoids(real, fake, named_real, named_fake, y, c, rows=slice(None)):
    named, D = named_fake[rows, c], torch.sigmoid(fake)
    return real.sigmoid().log() + (1 - D).log() + named_real[rows, y] + named, D.log() + named


def attached(x, z, E, G, D):
    real, fake = D(x, E(x)), D(G(z), z)
    return LS(real) + LS(-fake), LS(fake) + LS(-real)


WRONG = {
    "auxiliary": {
        "picks every label's column": through_sigmoids,
        "that is sure": lambda *t: through_sigmoids(*t, rows=torch.arange(len(t[0]))),
        "gradient reaches named_fake": lambda r, f, a, b, *t: own_auxiliary(
            r, f, a, b.detach(), *t
        ),
        "though the fake was told c, does not": lambda *t: own_auxiliary(*t[:5], t[4]),
        "in the order the generator's": lambda *t: own_auxiliary(*t)[::-1],
    },
    "bidirectional": {
        "sends a gradient to encoder": attached,
        "no gradient reaches generator": lambda x, z, E, G, D: own_bidirectional(
            x, z, E, lambda z: G(z).detach(), D
        ),
        "exchanged somewhere": lambda x, z, E, G, D: own_bidirectional(x, z, G, E, D),
        "G(E(x)), z)) does not belong": lambda x, z, E, G, D: own_bidirectional(
            x, z, E, lambda _: G(E(x)), D
        ),
        "return two tensors": lambda *t: own_bidirectional(*t)[0],
    },
    "mmd": {
        "don't clip it": lambda *t: own_mmd(*t).clamp(min=0),
        "the root of what is asked for": lambda *t: own_mmd(*t).sqrt(),
        "mmd has no gradient": lambda *t: own_mmd(*t).detach(),
        "kernel takes two sets": lambda z, p, k: k(z[0], p[0]),
        "one number for the two sets": lambda z, p, k: k(z, z).mean(1),
    },
}
TestExercises = exercise_tests(check, "06_more_gans", RIGHT, WRONG, F=F)
