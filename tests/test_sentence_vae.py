"""Sentence VAEs and language models against sums over all strings of a language of three letters, with
recurrent and with dilated nets; what is masked, read and seen, by gradient.
"""

import itertools
import math

import pytest
import torch
from oracles import assert_mean, close, grid, oracle_tests
from torch import nn
from torch.nn import functional as F

from dgmcourse import densities
from dgmcourse.densities import (
    END,
    UNKNOWN,
    GaussianConditional,
    Sequence,
    SequenceConditional,
    StandardGaussian,
    check_symbols,
    draw_symbols,
    until_end,
)
from dgmcourse.evaluate import log_likelihood
from dgmcourse.models import dilated_text_vae, sentence_vae
from dgmcourse.models.dilated_text_vae import DilatedNet, DilatedTextVAE, receptive_field
from dgmcourse.models.latent_variable_model import LatentVariableModel
from dgmcourse.models.pixelvae import free_bits
from dgmcourse.models.sentence_vae import (
    LanguageModel,
    RecurrentNet,
    SentenceReader,
    SentenceVAE,
    decoder_inputs,
)

pytestmark = pytest.mark.usefixtures("float64")
CONTRACT = {Sequence: None, LanguageModel: None, SentenceVAE: None, DilatedTextVAE: None}
V, LONGEST = 4, 4  # the end mark and three letters, and the longest row


def shaken(net, scale: float = 0.6):
    """The network with parameters away from where they start, so that nothing is nearly uniform."""
    torch.manual_seed(1)
    for p in net.parameters():
        p.data += scale * torch.randn_like(p)
    return net.eval()


def nets(given_dim: int, **more):
    """One of each kind."""
    return [
        shaken(RecurrentNet(V, given_dim, 3, 5, "gru", length=LONGEST, **more)),
        shaken(RecurrentNet(V, given_dim, 3, 5, "lstm", length=LONGEST, **more)),
        shaken(DilatedNet(V, given_dim, 3, 6, (1, 2), 2, length=LONGEST, **more)),
    ]


def all_strings(longest: int = LONGEST) -> torch.Tensor:
    """Every string of 0 to `longest` letters: those of fewer with their end mark, those of `longest`
    without, since nothing is known of how they go on.
    """
    rows = [
        [*word, *[END] * (longest - n)]
        for n in range(longest + 1)
        for word in itertools.product(range(1, V), repeat=n)
    ]
    return torch.tensor(rows)


def by_hand(net, x: list[int], z=None) -> float:
    """log p(x|z) by drawing's own steps, one symbol at a time."""
    state, total, word = net.start(z, 1), 0.0, torch.tensor([END])
    for symbol in x:
        logits, state = net.step(word, state)
        total += F.log_softmax(logits, -1)[0, symbol].item()
        if symbol == END:
            return total
        word = torch.tensor([symbol])
    return total


def check_all_strings_sum_to_one(module):
    z = torch.tensor([[0.7, -1.2], [0.0, 2.0]])
    x = all_strings()
    for net in nets(2):
        log_p = module.Sequence(net, z[:, None]).log_prob(x)
        close(log_p.shape, (2, len(x)))
        close(log_p.logsumexp(-1), torch.zeros(2))
        close(log_p[1, 50], by_hand(net, x[50].tolist(), z[1:]))
    for net in nets(0):
        close(module.Sequence(net).log_prob(x).logsumexp(-1), torch.tensor(0.0))


def check_padding_changes_nothing(module):
    x = torch.tensor([[2, 3, 1, END], [1, END, END, END], [END, END, END, END]])
    longer = F.pad(x, (0, 5))
    longer[1, 2:] = torch.tensor([3, 2, 1, 2, 3, 1, 1])  # whatever stands there
    for net in nets(2):
        z = torch.randn(3, 2)
        found = module.Sequence(net, z).log_prob(longer)
        close(found, module.Sequence(net, z).log_prob(x))
        for i, n in enumerate((4, 2, 1)):  # one by one, without any
            close(found[i], module.Sequence(net, z[i]).log_prob(x[i, :n]))


def check_the_bound_of_z_on_a_grid(module):
    """p(x), integrated over z, of all strings is 1; importance sampling finds it; the ELBO is below."""
    torch.manual_seed(2)
    model = LatentVariableModel(
        StandardGaussian(1),
        GaussianConditional(SentenceReader(V, 2, 3, 4)),
        module.SequenceConditional(RecurrentNet(V, 1, 3, 4, length=LONGEST)),
    )
    model = shaken(model, 0.4)
    z, cell = grid(1, 8, 401)
    x = all_strings()
    weight = model.prior.log_prob(z) + math.log(cell)
    log_p = (model.decoder(z[:, None]).log_prob(x) + weight[:, None]).logsumexp(0)
    close(log_p.logsumexp(-1), torch.tensor(0.0), 1e-8, 1e-8)
    some = x[[3, 30, 60, 100]]
    with torch.no_grad():
        log_w = model.log_weight(some, (5000,))
        exact = log_p[[3, 30, 60, 100]]
        assert_mean((log_w - exact).exp(), 1.0)
        assert (log_w.mean(0) < exact).all()
        elbo = torch.stack([model.objective(some)[1]["elbo"] for _ in range(1000)])
        assert_mean(elbo, log_w.mean(0), 6)
    close(log_likelihood(model, some, 5000), exact, 0.05, 0.05)


SEQUENCES = {
    check_all_strings_sum_to_one: """
        ends.cumsum(-1) == ends => x != END
        ends.cumsum(-1) == ends => ends >= 0
        x.where(until_end(x), IGNORED) => x.where(until_end(x) & (x != END), IGNORED)
        """,
    check_the_bound_of_z_on_a_grid: """
        return self.log_probs(x).sum(-1) => return self.log_probs(x).mean(-1)
        ends.cumsum(-1) == ends => x != END
        """,
    check_padding_changes_nothing: """
        ends.cumsum(-1) == ends => ends >= 0
        x.where(until_end(x), IGNORED).flatten() => x.flatten()
        """,
}


def check_what_a_position_sees(module):
    """No gradient from a word to the logits of its own position or of an earlier one."""
    torch.manual_seed(0)
    for cell in ("gru", "lstm"):
        assert seen(module.RecurrentNet(17, 2, 4, 5, cell), 9) == list(range(9))


def seen(net, t: int, length: int = 16) -> list[int]:
    """Which words x_u, u = 0, ..., the logits of position t depend on, by gradient: no word stands
    there twice, so that the gradient of its embedding is its own.
    """
    net = shaken(net)
    logits = net(torch.arange(1, length + 1)[None], torch.randn(1, net.given_dim))
    (slope,) = torch.autograd.grad(logits[0, t].square().sum(), net.embed.weight)
    return (slope[1:].abs().sum(-1).nonzero()[:, 0]).tolist()


def goes_on(net):
    """Step by step, with the state it keeps, as all at once."""
    net = shaken(net)
    x, z = torch.randint(1, 6, (3, 12)), torch.randn(3, 2)
    whole, state, word = net(x, z), net.start(z, 3), torch.full((3,), END)
    for t in range(12):
        logits, state = net.step(word, state)
        close(logits, whole[:, t])
        word = x[:, t]


def check_recurrent_steps(module):
    for cell in ("gru", "lstm"):
        goes_on(module.RecurrentNet(6, 2, 4, 5, cell))
    goes_on(module.RecurrentNet(6, 2, 4, 5, keep=0))


def check_what_is_read(module):
    """The encoder's code is that of each sentence alone, up to its end mark."""
    torch.manual_seed(3)
    reader = shaken(module.SentenceReader(V, 4, 3, 5))
    x = torch.tensor([[2, 3, 1, END, END], [1, END, 3, 3, 3], [2, 2, 2, 2, 2]])
    for i, n in enumerate((4, 2, 5)):
        close(reader(x)[i], reader(x[i : i + 1, :n])[0])
    close(reader(x.flip(0)), reader(x).flip(0))
    close(reader(x.view(3, 1, 5)), reader(x)[:, None])
    other = x.clone()
    other[2, -1] = 3  # without an end mark the last symbol is read, too
    assert not torch.allclose(reader(other)[2], reader(x)[2])


def check_what_is_dropped(module):
    """Each word with probability 1 - keep and independently; no end mark, and no target."""
    torch.manual_seed(0)
    x = torch.randint(2, 9, (200, 50))
    x[:, 40] = END
    kept, inputs = x.clone(), module.decoder_inputs(x, 0.7)
    assert torch.equal(x, kept) and (inputs[:, 0] == END).all() and (inputs[:, 41] == END).all()
    words = inputs[:, 1:][x[:, :-1] != END]
    dropped = words == UNKNOWN
    assert torch.equal(words[~dropped], x[:, :-1][x[:, :-1] != END][~dropped])
    assert_mean(dropped.double(), 0.3)
    matrix = (inputs[:, 1:40] == UNKNOWN).double()
    for side in (0, 1):
        assert 0 < matrix.mean(side).std() < 0.12  # not whole rows or columns
    assert torch.equal(module.decoder_inputs(x)[:, 1:], x[:, :-1])
    assert set(module.decoder_inputs(x, 0).unique().tolist()) == {END, UNKNOWN}


def check_training_alone_drops(module):
    torch.manual_seed(0)
    net = module.RecurrentNet(9, 0, 4, 5, keep=0.5)
    x = torch.randint(2, 9, (4, 12))
    assert not torch.equal(net.train()(x), net(x))
    close(net.eval()(x), net(x))
    plain = module.RecurrentNet(9, 0, 4, 5)
    plain.load_state_dict(net.state_dict())
    close(net(x), plain(x))
    without = module.RecurrentNet(9, 0, 4, 5, keep=0).eval()
    close(without(x), without(x.flip(0)))  # whatever the words are


SENTENCES = {
    check_recurrent_steps: """
        torch.cat([self.embed(x), given], -1) => torch.cat([self.embed(x), 0 * given], -1)
        return self.head(state[0]), (given, *state) => return self.head(state[0]), (0 * given, *state)
        """,
    check_what_a_position_sees: """
        torch.full_like(x[..., :1], END), x[..., :-1] => x[..., 1:], x[..., :1]
        torch.full_like(x[..., :1], END), x[..., :-1] => x
        """,
    check_what_is_read: """
        until_end(rows).sum(-1) - 1 => 0 * until_end(rows).sum(-1) + rows.shape[1] - 1
        until_end(rows).sum(-1) - 1 => (until_end(rows).sum(-1) - 2).clamp(min=0)
        """,
    check_what_is_dropped: """
        torch.rand(x.shape, device=x.device) >= keep => torch.rand(x.shape, device=x.device) < keep
        torch.rand(x.shape, device=x.device) => torch.rand(x.shape[-1], device=x.device)
        & (inputs != END) => & (inputs == inputs)
        return inputs.masked_fill(dropped => return x.masked_fill_(dropped
        """,
    check_training_alone_drops: """
        self.keep if self.training or self.keep == 0 else 1.0 => self.keep
        self.keep if self.training or self.keep == 0 else 1.0 => self.keep if self.training else 1.0
        """,
}


def check_the_receptive_field(module):
    for dilations, size in (((), 3), ((1,), 3), ((1, 2), 3), ((1, 2, 4), 2), ((3,), 2)):
        torch.manual_seed(0)
        net = module.DilatedNet(17, 2, 4, 40, dilations, size)
        reached = seen(net, 14)
        steps = {sum(j) for j in itertools.product(*[range(0, size * d, d) for d in dilations])}
        assert sorted(reached) == sorted(13 - s for s in steps)
        assert min(reached) == 14 - net.receptive_field and max(reached) == 13
    assert module.receptive_field(3, (1, 2, 4)) == 15


def check_dilated_steps(module):
    goes_on(module.DilatedNet(6, 2, 4, 6, (1, 3), 3))


DILATED = {
    check_the_receptive_field: """
        h = h + self.wide( => h = h + h.mean(1, keepdim=True) + self.wide(
        self.reach - j * self.dilation => self.reach - j
        return 1 + (size - 1) * sum(dilations) => return size * sum(dilations)
        """,
    check_dilated_steps: """
        return h, a[:, a.shape[1] - self.reach :] => return h, a[:, : self.reach]
        return self.head(h[:, 0]), (given, *before) => return self.head(h[:, 0]), (given, *state[1:])
        """,
}

test_oracle, test_mutant_is_caught = oracle_tests(
    (densities, SEQUENCES), (sentence_vae, SENTENCES), (dilated_text_vae, DILATED)
)


def test_the_dilated_vae_differs_by_its_decoder_only():
    torch.manual_seed(0)
    a, b = SentenceVAE(9, 2, 3, 4), DilatedTextVAE(9, 2, 3, 4)
    assert isinstance(b.decoder.net, DilatedNet) and isinstance(a.decoder.net, RecurrentNet)
    assert [p.shape for p in a.encoder.parameters()] == [p.shape for p in b.encoder.parameters()]
    x = torch.tensor([[3, 4, END], [5, END, END]])
    value, parts = b.objective(x)
    close(value, parts["reconstruction"] - parts["kl"])
    value.sum().backward()
    assert all(p.grad is not None for p in b.parameters())
    assert free_bits(b, 0.5)(x)[0].shape == (2,)


@pytest.mark.parametrize("i", range(3))
def test_samples_follow_the_density(i):
    z = torch.tensor([[0.7, -1.2]])
    p = Sequence(nets(2)[i], z)
    torch.manual_seed(0)
    drawn = p.sample(5000)[:, 0]
    x = all_strings()
    expected = p.log_prob(x).exp()
    found = (drawn[:, None] == x).all(-1).double()
    assert found.sum() == len(drawn)  # each is one of the strings
    error = (expected * (1 - expected) / len(drawn)).sqrt()
    assert ((found.mean(0) - expected).abs() < 4.5 * error + 1e-4).all()
    assert p.sample((2, 3)).shape == (2, 3, 1, LONGEST) and p.sample(0).shape == (0, 1, LONGEST)


@pytest.mark.parametrize("i", range(3))
@pytest.mark.parametrize("rows", (1, 40))
def test_drawing_with_a_kept_state_is_reading_all_again(i, rows):
    net, z = nets(2)[i], torch.randn(rows, 2)
    torch.manual_seed(4)
    drawn = Sequence(net, z).sample()
    torch.manual_seed(4)
    again = torch.full((rows, LONGEST), END)
    for t in range(LONGEST):
        again[:, t] = draw_symbols(net(again[:, : t + 1], z)[:, t])
    assert torch.equal(drawn, again.where(until_end(again), END))
    assert not drawn.is_inference()  # it may stand in an objective
    nn.Embedding(V, 2)(drawn).sum().backward()


@pytest.mark.parametrize("i", range(3))
def test_a_wide_beam_finds_the_most_probable(i):
    p = Sequence(nets(2)[i], torch.randn(5, 2))
    x = all_strings()
    log_p = Sequence(p.net, p.given[:, None]).log_prob(x)
    found = p.likeliest(V)
    assert found.shape == (5, LONGEST)
    assert (p.log_prob(found) >= log_p.max(-1).values - 0.7).all()
    assert (p.log_prob(found) >= p.log_prob(p.likeliest(1)) - 1e-9).all()
    greedy, state, word = [], p.net.start(p.given[:1], 1), torch.tensor([END])
    for _ in range(LONGEST):
        logits, state = p.net.step(word, state)
        word = logits.argmax(-1)
        greedy.append(word.item())
        if word == END:
            break
    assert p.likeliest(1)[0, : len(greedy)].tolist() == greedy


def test_a_language_model_is_the_decoder_without_z():
    net = nets(0)[0]
    model = LanguageModel(net)
    x = all_strings()[:7]
    value, parts = model.objective(x)
    assert torch.equal(value, Sequence(net).log_prob(x)) and torch.equal(parts["log_p"], value)
    assert model.sample(3).shape == (3, LONGEST) and model.likeliest(2).shape == (LONGEST,)
    with pytest.raises(ValueError, match="has no z, and this net wants 2"):
        LanguageModel(nets(2)[0])


def test_axes_of_z_and_of_x_broadcast():
    decoder = SequenceConditional(nets(2)[0])
    x = torch.tensor([[2, 3, END], [1, END, END], [3, 3, 3]])
    z = torch.randn(5, 3, 2)
    found = decoder(z).log_prob(x)
    close(found[4, 1], decoder(z[4, 1]).log_prob(x[1]))
    close(decoder(z[0]).cross_log_prob(x[:2])[1, 2], decoder(z[0, 2]).log_prob(x[1]))
    for dtype in (torch.uint8, torch.float32, torch.float64):
        close(decoder(z).log_prob(x.to(dtype)), found)


def test_a_sentence_of_ten_thousand_words_and_of_one():
    x = torch.randint(1, V, (1, 10_000))
    for net in nets(2):
        log_p = Sequence(net, torch.zeros(1, 2)).log_prob(x)
        assert log_p.isfinite().all() and log_p < -5000
        assert Sequence(net, torch.zeros(1, 2)).log_prob(torch.tensor([[END]])).isfinite().all()


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (torch.tensor([[1, 4]]), "expected symbols, whole numbers from 0 to 3, got 4"),
        (torch.tensor([[1, -1]]), "from 0 to 3, got -1"),
        (torch.tensor([[1.5, 0.0]]), "from 0 to 3, got 1.5"),
        (torch.tensor([[math.nan, 0.0]]), "from 0 to 3, got nan"),
        (torch.zeros(3, 0), r"at least one symbol, \(..., T\), got shape \(3, 0\)"),
        (torch.tensor(2), r"at least one symbol, \(..., T\), got shape \(\)"),
        (torch.zeros(5, 4), r"expected a sequence for each z, of shape \(3, 2\), got shape"),
    ],
)
def test_what_is_no_sequence_is_refused(x, sentence):
    for net in nets(2):
        with pytest.raises(ValueError, match=sentence):
            Sequence(net, torch.zeros(3, 2)).log_prob(x)
    if "each z" not in sentence:
        with pytest.raises(ValueError, match=sentence):
            SentenceReader(V, 4)(x)


def test_other_settings_are_refused():
    p = Sequence(nets(2)[0], torch.zeros(1, 2))
    for beam in (0, 5, 1.5):
        with pytest.raises(
            ValueError, match=f"beam: expected a whole number from 1 to 4, got {beam}"
        ):
            p.likeliest(beam)
    with pytest.raises(ValueError, match="cell is one of 'gru', 'lstm', got 'rnn'"):
        RecurrentNet(V, cell="rnn")
    with pytest.raises(ValueError, match="expected vectors of 2 dimensions"):
        SequenceConditional(nets(2)[0])(torch.zeros(1, 3))
    with pytest.raises(NotImplementedError, match="symbols have no mean"):
        p.mean  # noqa: B018
    with pytest.raises(TypeError, match="expected a tensor, got list"):
        check_symbols([1, 2], torch.zeros(1), 3)


def test_the_encoder_is_a_gaussian_of_the_reader():
    q = GaussianConditional(SentenceReader(V, 4))(torch.tensor([[1, 2, END]]))
    assert q.mean.shape == (1, 2) and until_end(torch.tensor([END, 1])).tolist() == [True, False]
    assert decoder_inputs(torch.tensor([1, 2, END])).tolist() == [END, 1, 2]
    assert receptive_field(2, ()) == 1
