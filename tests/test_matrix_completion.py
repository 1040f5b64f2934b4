"""Graph convolutional matrix completion, against dense sums by hand, enumeration and gradients."""

import pytest
import torch
from oracles import close, oracle_tests
from torch import distributions as td
from torch import nn

from dgmcourse import graph_networks
from dgmcourse.data.ratings import Asked, Ratings, generated, hold_out
from dgmcourse.densities import Categorical
from dgmcourse.models import matrix_completion
from dgmcourse.models.matrix_completion import (
    GraphMatrixCompletion,
    VariationalMatrixCompletion,
    expected_rating,
)
from dgmcourse.train import fit

pytestmark = pytest.mark.usefixtures("float64")

CONTRACT = {GraphMatrixCompletion: None, VariationalMatrixCompletion: None}  # of a graph of ratings
SIZES = {"levels": 3, "hidden": 6, "latent_dim": 2, "bases": 2}
THREE = torch.tensor([[0, 0, 1, 1, 2], [0, 2, 0, 1, 2], [3, 1, 2, 2, 1]])  # users, items, ratings


def three_by_three(values=THREE[2]):
    """Three users, three items and a fourth one that nobody rated."""
    return Ratings(THREE[0], THREE[1], values, (3, 4), levels=3)


def made(kind=GraphMatrixCompletion, shape=(3, 4), **settings):
    torch.manual_seed(5)
    model = kind(*shape, **{**SIZES, "dropout": 0.0, **settings})
    for p in model.parameters():
        p.data += 0.5 * torch.randn_like(p)
    return model


# ---- messages and codes


def check_normalisation(module):
    """By hand: user 0 rated two items and user 2 one; item 0 has two ratings and item 1 one."""
    users, items, values = THREE
    for symmetric, c in (
        (False, [2, 2, 2, 2, 1]),
        (True, [4**0.5, 4**0.5, 4**0.5, 2**0.5, 2**0.5]),
    ):
        stacked = module.messages(users, items, values - 1, (3, 4), 3, True, symmetric).dense()
        expected = torch.zeros(3, 3, 3, 4)  # receiver, level, level's table, sender
        for n, (i, j, r) in enumerate(THREE.T.tolist()):
            expected[i, r - 1, r - 1, j] = 1 / c[n]
        close(stacked, expected.reshape(9, 12))
        summed = module.messages(users, items, values - 1, (3, 4), 3, False, symmetric).dense()
        close(summed, expected.sum(1).reshape(3, 12))


def check_codes(module):
    """Loops over nodes and levels, for all four ways of passing messages."""
    known = three_by_three()
    for accumulate in ("stack", "sum"):
        for symmetric in (False, True):
            model = made(module.GraphMatrixCompletion, accumulate=accumulate, symmetric=symmetric)
            encoder = model.encoder
            table = encoder.table.detach()
            w = (
                table
                if accumulate == "stack"
                else torch.stack([table[: r + 1].sum(0) for r in range(3)])
            )
            counts = known.counts()
            for side, q in enumerate(encoder(known)):
                for node in range(known.shape[side]):
                    heard = torch.zeros(3, w.shape[2])
                    for i, j, r in THREE.T.tolist():
                        me, other = (i, j) if side == 0 else (j, i)
                        if me == node:
                            c = counts[side][me].double()
                            if symmetric:
                                c = (c * counts[1 - side][other]).sqrt()
                            heard[r - 1] += w[r - 1, (3 if side == 0 else 0) + other] / c
                    h = (heard.flatten() if accumulate == "stack" else heard.sum(0)).relu()
                    close(q.mean[node].detach(), (encoder.dense.weight @ h).detach())


def check_side_information(module):
    """By hand: W_2 relu(W_1 f + b) is added to each code, with W_1 and b of its own side."""
    torch.manual_seed(3)
    features, known = (torch.randn(3, 2), torch.randn(4, 5)), three_by_three()
    encoder = made(module.GraphMatrixCompletion, features=features, side=6).encoder
    codes, side = encoder(known), encoder.side
    encoder.side = None
    for with_it, without, f, first in zip(codes, encoder(known), features, side.first, strict=True):
        h = torch.einsum("hf,nf->nh", first.weight, f) + first.bias
        more = torch.einsum("kh,nh->nk", side.last.weight, h.clamp_min(0))
        close((with_it.mean - without.mean).detach(), more.detach())


def check_noise(module):
    """The second half of the outputs is log sigma."""
    encoder, known = made(module.VariationalMatrixCompletion).encoder, three_by_three()
    encoder.dense.weight.data[2:] = 0  # log sigma = 0
    assert not any(q.log_var.any() for q in encoder(known))
    encoder.dense.weight.data[2:] = 2 * encoder.dense.weight.data[:2]  # log sigma = 2 mu
    for q in encoder(known):
        close((0.5 * q.log_var).detach(), 2 * q.mean.detach())


def check_ordinal_sharing(module):
    """A rating of 2 says w_1 = t_1 and t_2, not t_3; stacked levels share nothing."""
    for accumulate, felt in (("sum", [True, True, False]), ("stack", [False, True, False])):
        model = made(module.GraphMatrixCompletion, accumulate=accumulate)
        model.encoder.table.data.abs_()  # no unit is off
        alone = Ratings(torch.tensor([0]), torch.tensor([1]), torch.tensor([2]), (3, 4), levels=3)
        (slope,) = torch.autograd.grad(
            model.encoder(alone)[0].mean.square().sum(), model.encoder.table
        )
        assert slope[:, 3 + 1].any(1).tolist() == felt
        assert slope.any(0).any(1).nonzero().flatten().tolist() == [3 + 1]  # of no other node


def check_node_dropout(module):
    """Whole nodes are silent, for all levels at once, and the rest is scaled: the mean over draws of
    what is heard is what is heard without it.
    """
    model = made(module.GraphMatrixCompletion, dropout=0.4)
    model.train()
    seen = []
    weights, model.encoder.weights = model.encoder.weights, lambda: torch.ones(3, 7, 2)
    model.encoder.code = lambda heard, n, more: seen.append(heard.detach().reshape(n, 3, 2))
    for _ in range(400):
        model.encoder(three_by_three())
    of_users = torch.stack(seen[::2])
    M = three_by_three().messages(True, False)[0].dense().sum(1).reshape(3, 3, 1)
    mean, error = of_users.mean(0), of_users.std(0) / 400**0.5
    assert ((mean - M).abs() <= 4.5 * error + 1e-9).all()
    first = of_users[:, 2, 0, 0]  # user 2 heard one item alone, all or nothing
    assert set(first.mul(0.6).round(decimals=9).tolist()) == {0.0, 1.0}
    both = of_users[:, 0, 2, 0] > 0, of_users[:, 1, 1, 0] == of_users[:, 1, 1, 0].max()
    assert (both[0] | ~both[1]).all()  # item 0 is silent for user 0 and user 1 at the same time
    model.encoder.weights = weights


# ---- the decoder, the objective


def check_decoder(module):
    """softmax of (u + c) Q_r (v + d) + b, summed over by hand; both ways of computing it; a sum of 1."""
    torch.manual_seed(2)
    u, v = torch.randn(2, 3, 2), torch.randn(2, 4, 2)
    users, items = torch.tensor([0, 2, 2, 1, 0]), torch.tensor([3, 0, 3, 1, 0])
    decoder = module.BilinearDecoder(2, 3, 2)
    decoder.offset.data = torch.tensor([0.3, -0.2, 0.9])
    c, d = decoder.common.detach()
    Q = torch.einsum("sr,skl->rkl", decoder.mix, decoder.bases)
    pairs = list(zip(users.tolist(), items.tolist(), strict=True))
    products = [
        [torch.einsum("bk,kl,bl->b", u[:, i] + c, q, v[:, j] + d) for q in Q] for i, j in pairs
    ]
    logits = torch.stack([torch.stack(p, -1) for p in products], 1) + decoder.offset
    expected = (logits.exp() / logits.exp().sum(-1, keepdim=True)).detach()
    spare = module.SPARE
    for module.SPARE in (0, 40):
        p = decoder(u, v, users, items).mean.detach()
        close(p, expected)
        close(p.sum(-1), torch.ones(2, 5))
    module.SPARE = spare


def check_expected_rating(module):
    p = Categorical(torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.25, 0.25, 0.25, 0.25]]).log())
    close(module.expected_rating(p), torch.tensor([0.1 + 0.4 + 0.9 + 1.6, 2.5]))


def check_all_tables(module):
    """The probabilities of all 3^4 tables of 2 by 2 ratings sum to 1."""
    model = made(module.GraphMatrixCompletion)
    model.eval()
    users, items = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])
    known, total = three_by_three(), 0
    for value in torch.cartesian_prod(*[torch.arange(1, 4)] * 4):
        asked = Ratings(users, items, value, (3, 4), levels=3)
        total = total + model.objective(known, asked)[0].sum().exp()
    close(total.detach(), 1.0)


def check_bound(module):
    """n times the mean of the objective is torch's log-likelihood less all KLs, at the sample."""
    model, known = made(module.VariationalMatrixCompletion), three_by_three()
    for beta in (1.0, 0.3):
        torch.manual_seed(1)
        value, parts = model.objective(known, known, beta)
        torch.manual_seed(1)
        q_u, q_v = model.encoder(known)
        u, v = q_u.rsample(), q_v.rsample()
        log_p, kl = 0, 0
        Q = torch.einsum("sr,skl->rkl", model.decoder.mix, model.decoder.bases)
        c, d = model.decoder.common
        for i, j, r in THREE.T.tolist():
            logits = torch.einsum("k,rkl,l->r", u[i] + c, Q, v[j] + d) + model.decoder.offset
            log_p = log_p + torch.log_softmax(logits, 0)[r - 1]
        for q in (q_u, q_v):
            normal = td.Normal(q.mean, (0.5 * q.log_var).exp())
            kl = kl + td.kl_divergence(normal, td.Normal(0.0, 1.0)).sum()
        close((value.mean() * 5).detach(), (log_p - beta * kl).detach())
        close((parts["elbo"].mean() * 5).detach(), (log_p - kl).detach())
        assert value.shape == (5,)


def check_averaged_prediction(module):
    """The mean of p(r|u, v) over codes, and not p at their mean."""
    model, known = made(module.VariationalMatrixCompletion), three_by_three()
    model.eval()
    users, items = torch.tensor([0, 1]), torch.tensor([3, 2])
    torch.manual_seed(0)
    found = model.predict(known, users, items, 7).mean
    torch.manual_seed(0)
    q_u, q_v = model.encoder(known)
    each = [model.decoder(q_u.sample(), q_v.sample(), users, items).mean for _ in range(7)]
    close(found, torch.stack(each).mean(0).detach())


def check_new_user(module):
    """Somebody with a user's ratings has that user's code."""
    for accumulate in ("stack", "sum"):
        model = made(module.GraphMatrixCompletion, accumulate=accumulate)
        model.eval()
        codes = model.encoder(three_by_three())[0].mean.detach()
        for user in range(3):
            _, items, values = THREE[:, THREE[0] == user]
            own, n = codes[user : user + 1], len(items)
            close(model.new_user(items, values).mean, own)
            close(model.new_user(items, values, 3.0).mean, n / (n + 3) * own)
    q = made(module.VariationalMatrixCompletion).eval().new_user(items[:0], values[:0], 3.0)
    assert not q.mean.any() and not q.log_var.any()  # of nobody the prior


test_oracle, test_mutant_is_caught = oracle_tests(
    (
        graph_networks,
        {
            check_normalisation: """
                torch.bincount(to, minlength=n)[to] => torch.bincount(of, minlength=m)[of]
                (c * torch.bincount(of, minlength=m)[of]).sqrt() => c * torch.bincount(of, minlength=m)[of]
                level * m + of, 1 / c => of * levels + level, 1 / c
            """,
        },
    ),
    (
        matrix_completion,
        {
            check_codes: """
                (items, users), strict=True => (items.flip(1), users), strict=True
                torch.relu(heard.reshape(n, self.dense.in_features)) => heard.reshape(n, self.dense.in_features)
                self.levels).tril() => self.levels).triu()
            """,
            check_side_information: """
                self.last(torch.relu(first(f))) => self.last(first(f))
                self.dense(h) + more => self.dense(h) - more
            """,
            check_noise: """
                Gaussian(mean, 2 * log_std) => Gaussian(mean, log_std)
            """,
            check_ordinal_sharing: """
                if self.stack: => if True:
                self.levels).tril() => self.levels).tril(-1)
            """,
            check_node_dropout: """
                self.table.new_ones(self.table.shape[1], 1) => self.table.new_ones(3, self.table.shape[1], 1)
                kept = self.dropout( => kept = 0.6 * self.dropout(
            """,
            check_decoder: """
                products @ self.mix + self.offset => products @ self.mix
                v + self.common[1] => v
                (t @ v.mT).flatten(-2).index => (t @ v.mT).mT.flatten(-2).index
                everyone = [u @ P for => everyone = [u @ P.mT for
                users * v.shape[-2] + items => users * u.shape[-2] + items
            """,
            check_expected_rating: """
                torch.arange(1, p.mean.shape[-1] + 1) => torch.arange(p.mean.shape[-1])
                p.mean @ torch.arange => p.mean.argmax(-1, keepdim=True).to(p.mean) + 0 * p.mean @ torch.arange
            """,
            check_all_tables: """
                asked.values - 1, self.levels => (asked.values - 1).clamp_max(1), self.levels
            """,
            check_bound: """
                log_p - beta * regulariser => log_p - regulariser
                + kl(q_v, self.prior).sum() => + kl(q_v, self.prior).mean()
                / max(1, len(known)) => / known.shape[0]
            """,
            check_averaged_prediction: """
                q_u.sample(), q_v.sample(), users, items).mean / => q_u.mean, q_v.mean, users, items).mean /
            """,
            check_new_user: """
                1, len(items) + shrinkage => 1, 1
                1, len(items) + shrinkage => 1, len(items)
                encoder.shape[0] + items] => items]
                values - 1, said) => self.levels - values, said)
            """,
        },
    ),
)


def test_no_rating_that_is_held_out_reaches_a_code():
    """By gradient: the weight of each rating in the messages is made a variable. Known ratings have
    a slope, and those that are asked have none, since they are in no matrix: they have no variable.
    """
    data = generated(20, 15, 100, seed=2)
    split = hold_out(data.train, 0.2)
    model = made(shape=(20, 15), levels=5, hidden=10)
    model.eval()
    M = split.train.messages(True, False)[0].dense().reshape(20, 5, 5, 15)
    rated = M.sum((1, 2)).bool()
    for i, j in zip(split.test.users, split.test.items, strict=True):
        assert not rated[i, j]
    for i, j in zip(split.train.users, split.train.items, strict=True):
        assert rated[i, j]
    weights = M.clone().requires_grad_()
    table = model.encoder.weights()[:, 20:].flatten(0, 1)
    code = model.encoder.code(weights.reshape(100, 75) @ table, 20).mean
    (slope,) = torch.autograd.grad((code * weights.detach().sum() * code).sum(), weights)
    assert (slope[M > 0] != 0).any()
    # The objective of the training, and a prediction, do not move when the held-out values change.
    other = Ratings(split.test.users, split.test.items, 6 - split.test.values, (20, 15))
    p = [model.predict(split.train, part.users, part.items).mean for part in (split.test, other)]
    close(*p)
    whole = data.train  # the leak, which shows
    assert not torch.allclose(model.predict(whole, other.users, other.items).mean, p[0])


def test_a_renumbering_of_users_renumbers_predictions():
    model, known, order = made(), three_by_three(), torch.tensor([2, 0, 1])
    model.eval()
    users, items = torch.tensor([0, 1, 2]), torch.tensor([3, 1, 0])
    p = model.predict(known, users, items).mean
    place = order.argsort()
    other = Ratings(place[known.users], known.items, known.values, (3, 4), levels=3)
    table = model.encoder.table.data
    table[:, :3] = table[:, :3][:, order]
    close(model.predict(other, place[users], items).mean, p)


@pytest.mark.parametrize("kind", [GraphMatrixCompletion, VariationalMatrixCompletion])
def test_gradients(kind):
    """By finite differences along a random direction, of every parameter."""
    for accumulate in ("stack", "sum"):
        model, known = made(kind, accumulate=accumulate), three_by_three()

        def value(model=model, known=known):
            torch.manual_seed(0)
            return model.objective(known, known)[0].sum()

        parameters = list(model.parameters())
        slopes = torch.autograd.grad(value(), parameters)
        directions = [torch.randn_like(p) for p in parameters]
        found = sum((s * d).sum() for s, d in zip(slopes, directions, strict=True))
        values = []
        for step in (1e-6, -2e-6):
            for p, d in zip(parameters, directions, strict=True):
                p.data += step * d
            values.append(value().detach())
        close(found, (values[0] - values[1]) / 2e-6, 1e-5, 1e-6)
        assert all(s.any() for s in slopes)


def test_somebody_unknown_gets_what_all_have_in_common():
    model, known = made(), three_by_three()
    model.eval()
    assert not model.encoder(known)[1].mean[3].any()  # nobody rated item 3: no degree, no NaN
    decoder, u = model.decoder, model.encoder(known)[0].mean
    Q = torch.einsum("sr,skl->rkl", decoder.mix, decoder.bases)
    c, d = decoder.common
    p = model.predict(known, torch.tensor([1]), torch.tensor([3])).mean
    logits = torch.einsum("k,rkl,l->r", u[1] + c, Q, d) + decoder.offset
    close(p, torch.softmax(logits, 0)[None].detach())


def test_training_comes_near_the_best_possible_error():
    """On ratings of known make: far below the mean's error, and above the smallest possible one."""
    split = generated(120, 60, 3000, rank=2, spread=1.5)
    torch.manual_seed(0)
    model = GraphMatrixCompletion(120, 60, hidden=50, latent_dim=10, dropout=0.3)
    history = fit(model, split.train, epochs=150, batch_size=10**6, lr=0.02, progress=False)
    assert history["log_prob"][-1] > history["log_prob"][0] + 0.1
    model.eval()
    asked = split.test
    guess = expected_rating(model.predict(split.train, asked.users, asked.items))
    levels = torch.arange(1.0, 6.0)

    def rmse(prediction):
        return ((prediction - asked.values) ** 2).mean().sqrt().item()

    best, plain = rmse(split.truth @ levels), rmse(split.train.values.double().mean())
    assert best < rmse(guess) < best + 0.6 * (plain - best)
    history = fit(
        VariationalMatrixCompletion(120, 60, hidden=20, latent_dim=4, dropout=0.1),
        split.train,
        Asked(split.train, asked),
        epochs=2,
        batch_size=1000,
        lr=0.01,
        progress=False,
    )
    assert len(history["valid"]) == 2 and set(history.labels) == {"elbo", "log_prob", "kl"}


def test_bad_input_gets_a_sentence():
    model = made()
    with pytest.raises(ValueError, match="this model is of 3 users, 4 items and 3 levels, the"):
        model.encoder(Ratings([0], [0], [1], (3, 5), levels=3))
    with pytest.raises(ValueError, match="ratings are from 1 to 3, got 4 to 4"):
        model.new_user(torch.tensor([0]), torch.tensor([4]))
    with pytest.raises(ValueError, match="symmetric=False"):
        made(symmetric=True).new_user(torch.tensor([0]), torch.tensor([1]))
    features = torch.rand(3, 2), torch.rand(4, 1)
    with pytest.raises(ValueError, match="shrinkage: expected"):
        model.new_user(torch.tensor([0]), torch.tensor([1]), -1.0)
    with pytest.raises(ValueError, match="of a new user no features are known"):
        made(features=features).new_user(torch.tensor([0]), torch.tensor([1]))
    for wrong, message in (
        ({"features": features[::-1]}, r"features of users are floats, \(3, F\), got"),
        ({"features": (features[0], features[1].long())}, r"of items are floats, \(4, F\), got"),
        ({"hidden": 2}, "hidden: expected a whole number"),
        ({"dropout": 1.0}, "dropout: expected"),
        ({"accumulate": "mean"}, "accumulate is 'stack' or 'sum', got 'mean'"),
        ({"levels": 1}, "levels: expected"),
    ):
        with pytest.raises(ValueError, match=message):
            GraphMatrixCompletion(3, 4, **{**SIZES, **wrong})
    assert isinstance(model.encoder, nn.Module)
