# ---
# jupyter:
#   dgmcourse:
#     part: At work
#     question: Can one walk from sentence to sentence?
#     about: a language model and a VAE with the same decoder; why the code is ignored, what cures it,
#       what the cure costs, and what lies between two sentences
#     slides: Extensions and applications
#     minutes: 65
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Text: one code for a whole sentence
# *65 minutes, about 20 of them for three exercises. Slides: "Extensions and applications". You need
# the VAE and its bound ([notebook 07](07_vae.ipynb)), and importance sampling from there.*
#
# Two photographs have something between them, and a VAE of images draws it. **What is between two
# sentences?** Pick two, and slide. A model with eight numbers for a whole sentence writes each step.
#
# Three things to try:
#
# 1. Slide slowly. Which words change first, and which stay longest? Underlined words are new.
# 2. Stop half-way. Is it a sentence? Is it about either of the two?
# 3. Look at the ends. The model writes from a code of your sentence: what has it kept, what has it
#    lost?

# %% tags=["colab"] jupyter={"source_hidden": true}
# In Colab this installs the course and leaves Colab's own torch alone. Elsewhere it does nothing.
import importlib.util
import subprocess
import sys

REPOSITORY = ""  # written by `make badges REPO=...`
if "google.colab" in sys.modules:
    if importlib.util.find_spec("dgmcourse") is None:
        if not REPOSITORY:
            raise RuntimeError("Where does the course live? Write its address as REPOSITORY.")
        pip = [sys.executable, "-m", "pip", "install", "-q"]
        for name in ("anywidget", "mlxtend", "safetensors"):
            if importlib.util.find_spec(name) is None:
                subprocess.check_call([*pip, name])
        subprocess.check_call([*pip, "--no-deps", f"dgmcourse @ git+{REPOSITORY}"])
    from google.colab import output

    output.enable_custom_widget_manager()  # Colab shows other people's widgets only when asked to

# %% jupyter={"source_hidden": true}
import torch

from dgmcourse import intervals, plot, recipes
from dgmcourse.data.text import Corpus, Sentences, Vocabulary, captions
from dgmcourse.widgets import show as show_widget
from dgmcourse.widgets.sentences import between, codes, sentence_picture, sentence_slider

torch.set_num_threads(1)  # small networks gain little from more, and lose much on a busy machine
vocabulary = Vocabulary(recipes.card("sentence_vae")["vocabulary"])
vae = recipes.load("sentence_vae")
CHOICE = [
    "a man is riding a bike down the street.",
    "a little girl is playing with a ball.",
    "two dogs are running through the grass.",
    "a woman is sitting at a table.",
    "people are walking in the snow.",
    "a boy jumps into a pool.",
    "three men are playing music on stage.",
    "a black dog is swimming in the water.",
    "a group of children are playing soccer.",
    "an older man is reading a book.",
]
slider = sentence_slider(vae, vocabulary, CHOICE, start=(0, 2))
show_widget(
    slider,
    sentence_picture(slider._spec),
    alt=(
        "A list: at the top and at the bottom two given sentences, between them eleven sentences"
        " that the model writes on the way from the code of the one to the code of the other: "
        + " / ".join(slider._spec["texts"][k] for k in slider._spec["paths"]["0 2"])
    ),
    caption=(
        "Two given sentences, and what is decoded from the codes on the straight line between"
        " theirs. Even at its ends that is not always what was given: eight numbers hold the gist."
    ),
)

# %% [markdown]
# Afterwards you can write the log-probability of a sentence of any length in a batch; say why a VAE
# of text so easily ignores its code, see it happen, and name four cures with their price; tell the
# perplexity of a bound from a perplexity; and fill in a missing word.

# %% [markdown]
# ## The question
# A sentence is a row of words, $\mathbf{x} = (x_1, \dots, x_T)$, and an end mark. The
# chain rule is an identity: any $p(\mathbf{x})$ can be written as
#
# $$p(\mathbf{x}) = \prod_{t=1}^{T+1} p(x_t | x_1, \dots, x_{t-1}), \qquad x_{T+1} = \text{END}$$
#
# Read aloud: each word given all before it, until the end mark, which is predicted like a word. A
# recurrent network makes it a **language model**: its state $h_t$ has read $x_1, \dots, x_{t-1}$, and
# a softmax over the vocabulary gives $x_t$.
#
# Nothing in it stands for the sentence *as a whole*. The data are captions of photographs, of at
# most twelve words, all from the 1,198 most frequent. **Predict.** A small language model draws
# captions, word by word. Would you know them from real ones?

# %% jupyter={"source_hidden": true}
import math

import numpy as np
import torch.nn.functional as F
from IPython.display import HTML, display
from torch import Tensor

from dgmcourse.check import text as check
from dgmcourse.densities import END, UNKNOWN, kl, until_end
from dgmcourse.evaluate import in_parts
from dgmcourse.models.character_model import CharacterModel
from dgmcourse.models.sentence_vae import SentenceVAE
from dgmcourse.plot import MODEL, NOISE, POSTERIOR, plt
from dgmcourse.train import fit

language_model = recipes.load("language_model")
data = captions()
if data.vocabulary.words != vocabulary.words:  # without the captions: draws of the language model
    torch.manual_seed(0)
    drawn = language_model.sample(3500)
    drawn = drawn[(drawn == END).any(-1) & (drawn[:, 0] != END) & (drawn != UNKNOWN).all(-1)]
    parts = Sentences(drawn[:-600]), Sentences(drawn[-600:-300]), Sentences(drawn[-300:])
    data = Corpus(*parts, vocabulary)
    print("They have other words: sentences drawn from the language model stand in for captions")
real = vocabulary.decode(data.test.x)


def in_a_list(title: str, sentences: list[str]) -> None:
    plot.markdown(f"**{title}**", "", *(f"> {s}<br>" for s in sentences))


# %%
torch.manual_seed(1)
by_chain = vocabulary.decode(language_model.sample(500))
by_code = vocabulary.decode(vae.sample(500))  # z from the prior, then words given z

# %% jupyter={"source_hidden": true}
in_a_list("Captions of the test set, the first eight", real[:8])
in_a_list("The language model, the first eight draws", by_chain[:8])
in_a_list("The VAE of the slider, the first eight draws from its prior", by_code[:8])

# %% [markdown]
# None is chosen: these are the first eight. Two or three words mostly fit together; over a whole
# caption things go wrong, now and then amusingly. To say more than that one needs a judge who is
# neither of the two models: counts of up to six characters in a row in the training captions
# (notebook 01's `CharacterModel`). It has an opinion on any text, in nats for each character.

# %%
train_texts = vocabulary.decode(data.train.x)
alphabet = "".join(sorted({*"(?)\n ", *"".join(vocabulary.words)}))
judge = CharacterModel(5, alphabet).fit("\n".join(train_texts))


def nats_a_character(sentences: list[str]) -> Tensor:
    """What a character costs the judge, one number for each sentence."""
    each = [judge.log_conditionals(f"\n{s}\n")[1:].mean() for s in sentences]
    return -torch.stack(each)


# %% tags=["claim-6"]
random = np.random.default_rng(0)
shuffled = [" ".join(random.permutation(s.split())) for s in real]
judged = {
    "test captions": nats_a_character(real),
    "language model": nats_a_character(by_chain),
    "VAE, from the prior": nats_a_character(by_code),
    "test captions, words shuffled": nats_a_character(shuffled),
}
worse = {
    name: intervals.of_difference(nats, judged["test captions"], "sentences", 3)
    for name, nats in list(judged.items())[1:]
}

# %% jupyter={"source_hidden": true}
measured = {}  # claim -> what you found, for the table at the end
texts_of, known = {"language model": by_chain, "VAE, from the prior": by_code}, set(train_texts)
new = {name: sum(s not in known for s in texts) for name, texts in texts_of.items()}
share_new = {name: intervals.of_share(n, 500, "draws", 2) for name, n in new.items()}
measured["claim-6"] = (
    "a judge finds draws less likely than real captions, by nats a character: the language model's"
    f" {worse['language model'].said('+.3f')}; the VAE's"
    f" {worse['VAE, from the prior'].said('+.3f')}; real captions with their words shuffled"
    f" {worse['test captions, words shuffled'].said('+.3f')}"
    f" ({worse['language model'].basis}). New, not among the training captions:"
    f" {share_new['language model']:.0%} and {share_new['VAE, from the prior']:.0%} of the draws"
    f" ({share_new['language model'].basis}; one training each)"
)
plot.measured(measured["claim-6"])
plot.markdown(
    "| | nats a character, mean ± standard error | sentences |",
    "|:--|--:|--:|",
    *(f"| {name} | {plot.mean_and_error(v, '.3f')} | {len(v)} |" for name, v in judged.items()),
)

# %% [markdown]
# So both write new captions that are much nearer to real ones than the same words in a wrong order.
# The judge sees six characters at a time. It can say that a phrase is odd; that a whole caption makes
# no sense it can't say. For that you have read the lists.

# %% [markdown]
# ## Exercise 1: the log-probability of a sentence (7 minutes)
# Sentences have different lengths, and a batch is a rectangle. So each row is filled up behind its
# end mark, here with more of them: word 0 is `END`. **The first one counts, the others don't exist.**
# `until_end(words)` is true where something counts.
#
# $$\log p(\mathbf{x}) = \sum_{t=1}^{T+1} \log \mathrm{softmax}(\boldsymbol\ell_t)_{x_t}$$
#
# Read aloud: at each place the logits of all words, $\boldsymbol\ell_t$, are made probabilities; take
# that of the word which stands there; add up their logarithms, the end mark's included.


# %% tags=["exercise"]
def sentence_log_prob(logits: Tensor, words: Tensor) -> Tensor:
    """log p of each sentence, nats.

    logits: (B, T, V), of the word at each place, given those before it.
    words: (B, T), whole numbers; each row ends with END and is filled up behind it.
    until_end(words): (B, T), true up to the first END and at it.
    Returns: (B,).
    """
    ### BEGIN SOLUTION
    log_p = logits.log_softmax(-1).gather(-1, words[..., None])[..., 0]
    return log_p.where(until_end(words), 0.0).sum(-1)
    ### END SOLUTION


# %% tags=["exercise-check"]
sentence_log_prob = check.sentence_log_prob(sentence_log_prob)
# check.sentence_log_prob.hint()

# %% [markdown]
# Without the end mark the probabilities of all sentences would not sum to 1: "a man" would be counted
# once more in each sentence that begins so. With the filling counted, the same sentence would cost
# more beside a long one.

# %% [markdown]
# ## The model: a code before the first word
# Bowman et al. (2015) put a latent variable in front. It is a VAE whose decoder is a language model:
#
# $$p(\mathbf{z}) = \mathcal N(\mathbf{0}, \mathbf{I}), \qquad
#   p(\mathbf{x}|\mathbf{z}) = \prod_{t=1}^{T+1} p(x_t | x_1, \dots, x_{t-1}, \mathbf{z}), \qquad
#   q(\mathbf{z}|\mathbf{x}) = \mathcal N(\boldsymbol\mu(\mathbf{x}), \mathrm{diag}\,\boldsymbol\sigma^2(\mathbf{x}))$$
#
# Read aloud: draw what the sentence is about; then write it word by word, with that in mind at every
# step. The encoder is a recurrent network, too. It reads the sentence up to its end mark, and its last
# state gives mean and variance.
#
# $$\mathcal L(\mathbf{x}) = \mathbb E_{q(\mathbf{z}|\mathbf{x})}[\log p(\mathbf{x}|\mathbf{z})]
#   - \mathrm{KL}[q(\mathbf{z}|\mathbf{x})\,\|\,p(\mathbf{z})]$$
#
# There is a catch. This decoder can do without $\mathbf{z}$: it reads all words before each. Let it
# set $q(\mathbf{z}|\mathbf{x}) = p(\mathbf{z})$ for every sentence, and the KL is 0 and the bound is
# the language model's own $\log p(\mathbf{x})$. That is the **collapse** of notebook 10, and a good
# solution as far as the bound can see.

# %% [markdown]
# ## Exercise 2: hide words from the decoder (6 minutes)
# One cure makes the decoder worse: **word dropout**. In training each word that it *reads* is replaced
# by the symbol `UNKNOWN` with probability $1 - k$. What it can't read, it must ask $\mathbf{z}$ for.
#
# What is dropped, and what is not? The decoder reads the word *before* the one it predicts, and `END`
# before the first. Only these inputs are dropped. The words to be predicted stay as they are, end
# marks stay, and with $k = 1$, as at test time, nothing is dropped.


# %% tags=["exercise"]
def decoder_inputs(words: Tensor, keep: float) -> Tensor:
    """What the decoder reads before each word, with word dropout.

    words: (B, T), whole numbers, to be predicted; they are not changed.
    keep: the share of words that the decoder may read. END and UNKNOWN are symbols.
    Returns: (B, T), whole numbers.
    """
    ### BEGIN SOLUTION
    before = torch.full_like(words[:, :1], END)
    inputs = torch.cat([before, words[:, :-1]], 1)
    dropped = (torch.rand(words.shape) >= keep) & (inputs != END)
    return inputs.masked_fill(dropped, UNKNOWN)
    ### END SOLUTION


# %% tags=["exercise-check"]
decoder_inputs = check.decoder_inputs(decoder_inputs)
# check.decoder_inputs.hint()

# %% [markdown]
# ## Train it, and watch the code go out of use
# Both of your functions stand in the objective. `beta` weighs the KL: with *annealing* it rises in
# steps of a quarter, from 1/4 to 1, over the first four passes, so that the decoder learns to use
# $\mathbf{z}$ while that is cheap. The first `free` nats for each dimension, in all dimensions
# together and on average over a batch, cost nothing (a simpler form of notebook 10's free bits).


# %%
def objective_of(model: SentenceVAE, keep: float, free: float):
    net, prior = model.decoder.net, model.prior

    def objective(words, beta):
        q = model.encoder(words)
        inputs = decoder_inputs(words, keep if model.training else 1.0)
        logits = net.head(net.read(inputs, q.rsample()))
        log_p, far = sentence_log_prob(logits, words), kl(q, prior)
        paid = beta * (far.mean() - free * prior.dim).clamp(min=0)
        return log_p - paid, {"elbo": log_p - far, "reconstruction": log_p, "kl": far}

    return objective


# %% [markdown]
# First as it stands: all words are read, no annealing, nothing free. Then with all three cures.
# **Predict.** How many nats does the KL have after two passes, and at the end, in each of the two? And
# which of them has the higher bound?


# %% jupyter={"source_hidden": true}
class TwoCurves:
    """For `fit(..., live=curves.of(name))`: bound and KL of several trainings, while they run."""

    def __init__(self, colours: dict[str, str]):
        self.colours, self.kept, self.handle = colours, {}, None
        self.figure = plt.figure(figsize=(plot.WIDTH, 2.7))

    def of(self, name: str):
        def live(model, history):
            if history.steps:
                self.kept[name] = [(s["step"], s["elbo"], s["kl"]) for s in history.steps]
                self.draw()

        return live

    def draw(self) -> None:
        self.figure.clear()
        for ax, k, label in zip(
            self.figure.subplots(1, 2), (1, 2), ("bound, nats", "KL, nats"), strict=True
        ):
            for name, rows in self.kept.items():
                at, *means = self.running(rows)
                ax.plot(at, means[k - 1], color=self.colours[name], label=name)
            ax.set(xlabel="step", ylabel=label)
            ax.set_ylim(*((-60, -25) if k == 1 else (0, None)))
        ax.legend(fontsize=8)
        image = plot.picture(self.figure, self.alt())
        if self.handle is None:
            self.handle = display(image, display_id=True)
        else:
            self.handle.update(image)

    @staticmethod
    def running(rows: list) -> np.ndarray:
        """Steps, and the running means of bound and KL: (3, points)."""
        n = min(9, len(rows))
        return np.array([np.convolve(part, np.ones(n) / n, "valid") for part in np.array(rows).T])

    def ends(self) -> str:
        last = {name: self.running(rows)[1:, -1] for name, rows in self.kept.items()}
        said = [f"{name}: bound {bound:.1f}, KL {far:.2f}" for name, (bound, far) in last.items()]
        return "; ".join(said)

    def alt(self) -> str:
        return f"The bound and the KL against the step. The curves end at: {self.ends()}."


# %%
SIZES = {"latent_dim": 8, "embedding": 32, "hidden": 64, "length": 20}
SIZES["symbols"] = len(vocabulary)
curves = TwoCurves({"as it stands": NOISE, "with the cures": POSTERIOR})
torch.manual_seed(0)
plain, cured = SentenceVAE(**SIZES), SentenceVAE(**SIZES)
some = data.train[:3000]
settings = {"epochs": 6, "batch_size": 50, "lr": 6e-3, "anneal": 4}  # of the rate

goal = objective_of(plain, keep=1.0, free=0.0)
fit(plain, some, **settings, objective=goal, live=curves.of("as it stands"))
goal, live = objective_of(cured, keep=0.5, free=0.5), curves.of("with the cures")
_ = fit(cured, some, **settings, warm_up=4, objective=goal, live=live)

# %% jupyter={"source_hidden": true}
if curves.kept:  # nothing, if you stopped it at once
    caption = (
        f"The figure above: running means of nine steps. They end at: {curves.ends()}. A bar gives"
        " its last step alone."
    )
    display(HTML(plot.caption_html(caption, curves.alt())))
spoken = {}
for name, model in (("as it stands", plain), ("with the cures", cured)):
    model.eval()
    z = torch.randn(4, 8, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        far = kl(model.encoder(data.test.x), model.prior)
    spoken[name] = (far, vocabulary.decode(model.decoder(z).likeliest(1)))
plot.markdown(
    "| your model | KL on test captions, nats | most probable words from four draws of z |",
    "|:--|--:|:--|",
    *(
        f"| {name} | {plot.mean_and_error(far, '.2f')} | {' / '.join(said)} |"
        for name, (far, said) in spoken.items()
    ),
)

# %% [markdown]
# As it stands the KL falls to nothing within the first hundred steps, before the decoder has learned
# to write at all: $\mathbf{z}$ is noise then, and the cheapest way to live with noise is not to listen.
# Later nobody calls it back. Whatever $\mathbf{z}$, it is the same one or two sentences.
#
# With the cures the code is in use. Half a nat was free in each dimension, and the KL is
# about what was free: of the cures this one does most of the work in so few passes. And
# the bound is *lower*. Nothing is wrong with the training: the nats that $\mathbf{z}$
# costs and the words that it was not allowed to read are both missing there.

# %% [markdown]
# ## Exercise 3: a perplexity, or a bound on it (6 minutes)
# Models of text are compared by their **perplexity**: exp of the nats for each word, end marks
# counted. It is the number of equally probable words that would be as hard to guess. A VAE's
# $\log p(\mathbf{x})$ is not known. Notebook 07's estimate of it averages $S$ weights
# $w = p(\mathbf{x}|\mathbf{z})\,p(\mathbf{z}) / q(\mathbf{z}|\mathbf{x})$:
#
# $$\log \hat p(\mathbf{x}) = \log \frac1S \sum_{s=1}^{S} w_s, \qquad
#   \text{perplexity} = \exp\Big(-\frac{\sum_b \log \hat p(\mathbf{x}_b)}{\sum_b (T_b + 1)}\Big)$$
#
# Read aloud: all nats of all sentences together, divided by all their words together. Since
# $\log \hat p$ is too low on average, the perplexity is too *high*: it is an upper bound, and so much
# more with $S = 1$, which is the ELBO's.


# %% tags=["exercise"]
def perplexity(log_w: Tensor, words: Tensor) -> Tensor:
    """The perplexity of a model, from its importance weights: one number.

    log_w: (S, B), log-weights of S samples of z for each of B sentences.
    words: (B, T), each row up to its END. until_end(words): (B, T), what counts.
    """
    ### BEGIN SOLUTION
    log_p = log_w.logsumexp(0) - math.log(len(log_w))
    return torch.exp(-log_p.sum() / until_end(words).sum())
    ### END SOLUTION


# %% tags=["exercise-check"]
perplexity = check.perplexity(perplexity)
# check.perplexity.hint()

# %% [markdown]
# Now the two shipped models, which have decoders of the same size. **Predict.** Which has the lower
# perplexity? By how much does the VAE's bound exaggerate?

# %%
words = data.test.x
torch.manual_seed(0)
with torch.no_grad():
    log_p = in_parts(language_model.log_prob, words)
    log_w = torch.cat([vae.log_weight(part, (50,)) for part in words.split(10)], 1)

# %% jupyter={"source_hidden": true}
costs = {
    "language model, exact": log_p[None],
    "VAE, the bound (S = 1)": log_w[:1],
    "VAE, S = 10": log_w[:10],
    "VAE, S = 50": log_w,
}
estimates = {n: w.logsumexp(0) - math.log(len(w)) for n, w in costs.items()}
dearer = intervals.of_mean(
    estimates["language model, exact"] - estimates["VAE, S = 50"], "captions"
)
plot.markdown(
    "| | nats a sentence | nats a word | perplexity |",
    "|:--|--:|--:|--:|",
    *(
        f"| {n} | {plot.mean_and_error(-e, '.2f')} | {-e.sum() / until_end(words).sum():.3f} |"
        f" {perplexity(costs[n], words):.2f} |"
        for n, e in estimates.items()
    ),
    "",
    f"*{len(words)} test captions, {data.test.symbols:,} words with their end marks, none unknown."
    " ± standard error over captions.*",
)
card = recipes.card("sentence_vae")
free, results = card["model"]["arguments"]["free"] * vae.prior.dim, card["results"]
plot.markdown(
    "**Measured.** Nats that a caption costs the VAE more than the language model:"
    f" {dearer.said('+.2f')} ({dearer.basis}; one training each). Its KL is {results['kl']:.1f}"
    f" nats, of which {free:.1f} were free in training: whether they are used the walk below will"
    f" tell. Mind its header, too: for {results['unreliable']:.0%} of the captions Pareto k, which"
    " measures how heavy the tail of the weights is, lies above 0.7. There a few draws of"
    f" $\\mathbf{{z}}$ decide the estimate, even with S = {results['S']}."
)

# %% [markdown]
# The bound gives away about a nat, and S = 50 is still a bound: the encoder's Gaussian is not the
# posterior, because no diagonal Gaussian is or because the encoder does not find the best one. With
# fifty samples the two models can't be told apart by the nats of a caption, and one of them has a
# code.
#
# Compare perplexities only if vocabulary and captions are the same. With a thousand words more in the
# vocabulary a model pays for the rare ones, and one that may say "unknown" for a word in ten gets
# these cheaply. Here every word of every caption is known.

# %% [markdown]
# ## What each cure brings, and costs
# One training is one draw of luck. The study trained each variant three times, in the same way, for
# the same number of passes, and beside it the language model of the same decoder. Its captions are
# simpler still, of the 598 most frequent words. **Predict.** Which
# cures bring the code into use? Does any of them beat the language model in nats?

# %%
study = recipes.study("text")


def of_seeds(what: str, decoder="recurrent", z=True, cure="none") -> np.ndarray:
    """One number for each seed."""
    wanted = {"decoder": decoder, "z": z, "cure": cure}
    rows = (row for row in study["rows"] if wanted.items() <= row.items())
    return np.array([row[what] for row in rows])


# %% jupyter={"source_hidden": true}
cures = list(study["cures"])
base = of_seeds("nll", z=False)
over = {c: intervals.of_mean(of_seeds("nll", cure=c) - base, "seeds", len(cures)) for c in cures}
told = {c: intervals.of_mean(of_seeds("kl", cure=c), "seeds", len(cures)) for c in cures}
names = {"none": "none: it collapses"} | {c: c for c in cures if c != "none"}
fig, ax = plt.subplots(figsize=(plot.WIDTH, 3.0))
for c, marker in zip(cures, "osD^vP", strict=False):
    x, y = of_seeds("kl", cure=c), of_seeds("nll", cure=c) - base
    ax.plot(
        x, y, marker, color=NOISE if c == "none" else POSTERIOR, ms=7, mfc="none", label=names[c]
    )
ax.axhline(0, color=MODEL, linestyle="--", linewidth=1)
ax.set(
    xlabel="KL, nats: what z tells", ylabel="NLL over the language\nmodel's, nats", yscale="symlog"
)
ax.set_ylim(-1, 40)
ax.set_yticks(ticks := [0, 1, 2, 5, 10, 20], map(str, ticks), minor=False)
ax.set_yticks([], minor=True)
ax.legend(fontsize=8)
plot.show(
    fig,
    alt="NLL over that of the language model against KL, a point for each seed. "
    + "; ".join(f"{names[c]}: KL {told[c].value:.2f}, NLL {over[c].value:+.2f}" for c in cures)
    + ".",
    caption=("Each point is one training. Dashed: the language model of the same decoder."),
)
plot.markdown(
    "| cure | KL, nats | −ELBO | NLL, S = "
    f"{study['settings']['S']} | nats a word | NLL over the language model's |",
    "|:--|--:|--:|--:|--:|--:|",
    f"| (language model) | – | – | {plot.mean_and_error(base, '.2f')} |"
    f" {of_seeds('nll_per_word', z=False).mean():.3f} | – |",
    *(
        f"| {names[c]} | {plot.mean_and_error(of_seeds('kl', cure=c), '.2f')} |"
        f" {plot.mean_and_error(-of_seeds('elbo', cure=c), '.2f')} |"
        f" {plot.mean_and_error(of_seeds('nll', cure=c), '.2f')} |"
        f" {of_seeds('nll_per_word', cure=c).mean():.3f} | {over[c].said('+.2f')} |"
        for c in cures
    ),
    "",
    f"*{study['data'].capitalize()}. Mean ± standard error over {study['seeds']} seeds;"
    f" {over['none'].basis}. {study['settings']['epochs']} passes each: short trainings of small"
    " networks.*",
)

# %% [markdown]
# Read the columns from left to right. A cure is one if the KL rises; annealing alone is none in so
# few passes. The price stands in the last column: nats by which a caption costs more than without
# any code. Bowman et al. found the like on newspaper text, 101 nats with a KL of 2 against the
# language model's 100. No code is shown to pay for itself in likelihood here. You want it for what
# a language model can't do: to say which sentences are alike, to walk between them, to write
# another one like this.
#
# One row is different. A decoder that may read *no* word knows nothing but $\mathbf{z}$ and how many
# words it has written. It writes badly, with a code or without. Its fair rival is the language model
# that may read no word either.

# %% jupyter={"source_hidden": true}
blind = "annealing, no words"
own = of_seeds("nll", z=False, cure=blind) - of_seeds("nll", cure=blind)
own = intervals.of_mean(own, "seeds")
plot.markdown(
    "**Measured.** Nats a caption that the code saves where no word may be read:"
    f" {own.said('+.2f')} ({own.basis}), {of_seeds('nll', cure=blind).mean():.1f} in place of"
    f" {of_seeds('nll', z=False, cure=blind).mean():.1f}."
)

# %% [markdown]
# ## A decoder that sees only the last R words
# Word dropout hides words at random. Yang et al. (2017) hide them by distance. Their decoder is a stack
# of masked convolutions with *dilations* $1, 2, 4, \dots$: at place $t$ one of width $k$ and dilation
# $d$ reads $t, t - d, \dots, t - (k - 1) d$. So it sees
#
# $$R = 1 + (k - 1) \sum_i d_i \ \text{ words back}$$
#
# and $R$ is a knob; the study has four of its positions. With $R = 1$ a word is given the one before it
# and $\mathbf{z}$; with $R = 15$ it is given all of a caption. The lecture's claim: such a decoder
# keeps a VAE from ignoring $\mathbf{z}$. **Predict.** For which $R$ is the KL largest? For which
# does the VAE beat the language model *of the same decoder*?

# %% tags=["claim-41"]
fields, many = study["fields"], 2 * len(study["fields"])


def reach(R: int, what: str, z: bool = True) -> np.ndarray:
    """Of the seeds, with a decoder that sees R words."""
    return of_seeds(what, f"dilated {R}", z, "annealing" if z else "none")


told_by = {R: intervals.of_mean(reach(R, "kl"), "seeds", many) for R in fields}
gained = {R: reach(R, "nll", z=False) - reach(R, "nll") for R in fields}
gained = {R: intervals.of_mean(gain, "seeds", many) for R, gain in gained.items()}


# %% jupyter={"source_hidden": true}
def in_order(values: np.ndarray) -> str:
    """Each seed's: a KL is not below 0, and an interval of a few could be."""
    return ", ".join(f"{value:.2f}" for value in sorted(values))


yes_or_no = math.log(2)  # nats: a code of fewer does not answer a single question
ignored = [str(R) for R in fields if told_by[R].high < yes_or_no]
used = [str(R) for R in fields if told_by[R].low > yes_or_no]
measured["claim-41"] = (
    "the KL, nats a caption, of a decoder that sees only so many words back, from the least of"
    f" {study['seeds']} seeds to the greatest: "
    + "; ".join(f"{R}: {in_order(reach(R, 'kl'))}" for R in fields)
    + f"; of a recurrent one {in_order(of_seeds('kl', cure='annealing'))}. A code worth a yes"
    f" or no, {yes_or_no:.2f} nats, is shown for {', '.join(used) or 'none of them'}; one of less,"
    f" which contradicts the claim, for {', '.join(ignored) or 'none of them'}. Nats that the VAE"
    " gains over the language model of the same decoder: "
    + "; ".join(f"{R}: {gained[R].said('+.2f')}" for R in fields)
    + f" ({told_by[fields[0]].basis}; annealing, no word dropout; short trainings)"
)
plot.measured(measured["claim-41"])
fig, (left, right) = plt.subplots(1, 2, figsize=(plot.WIDTH, 2.7))
for R in fields:
    for ax, values, marker, colour in (
        (left, reach(R, "kl"), "o", POSTERIOR),
        (right, reach(R, "nll", z=False), "s", MODEL),
        (right, reach(R, "nll"), "o", POSTERIOR),
    ):
        ax.plot([R] * len(values), values, marker, color=colour, mfc="none", ms=5)
        error = values.std(ddof=1) / len(values) ** 0.5
        ax.errorbar(1.15 * R, values.mean(), error, color=colour, capsize=3)
right.plot([], [], "s", color=MODEL, mfc="none", label="language model")
right.plot([], [], "o", color=POSTERIOR, mfc="none", label="VAE")
left.axhline(of_seeds("kl", cure="annealing").mean(), color=NOISE, linestyle=":")
right.axhline(base.mean(), color=NOISE, linestyle=":", label="recurrent")
left.set(ylabel="KL, nats", ylim=(0, 1.2 * max(0.2, *(reach(R, "kl").max() for R in fields))))
right.set(ylabel="NLL, nats a caption")
for ax in (left, right):
    ax.set(xlabel="words the decoder sees", xscale="log", xlim=(0.7, 22))
    ax.set_xticks(fields, [str(R) for R in fields])
    ax.minorticks_off()
right.legend(fontsize=8)
plot.show(
    fig,
    alt="KL and NLL against the words that the decoder sees. "
    + "; ".join(
        f"{R}: KL {told_by[R].value:.2f}, NLL {reach(R, 'nll').mean():.1f}, language model"
        f" {reach(R, 'nll', z=False).mean():.1f}"
        for R in fields
    )
    + ".",
    caption=(
        f"A point for each of {study['seeds']} seeds, beside them their mean ± standard error."
        " Dotted: the recurrent decoder, left with a code and annealing, right its language model."
    ),
)

# %% jupyter={"source_hidden": true}
near = min(fields)
short = reach(near, "nll", z=False).mean() - base.mean()
plot.markdown(
    f"Look at the left figure before you believe the argument. A decoder that sees {near} word"
    f"{'s' * (near > 1)} back has every reason to ask $\\mathbf{{z}}$ for the rest. Look at the"
    f" language model of this decoder, at the right: it lies {short:.1f} nats above the dotted"
    " line; that much a code could gain. That it *could* does not mean that training finds the"
    f" way there within {study['settings']['epochs']} passes: the noise of an untrained"
    " $\\mathbf{z}$ is the same for every decoder. Yang et al. trained for much longer, and, as we"
    " remember, their best models began from an encoder that a language model had initialised."
    " What is measured here is our training, not theirs."
)

# %% [markdown]
# ## Between two sentences
# You have walked already. Now measure the walk, for pairs of test captions that nobody chose: is what
# lies half-way between two codes a caption, by the judge? Beside it a *salad*: the first half of one
# caption's words and the second half of the other's. **Predict.** Which of the two reads better? And
# under the model that has collapsed?

# %% tags=["claim-39"]
PAIRS, POINTS = 40, 5
first, second = real[:PAIRS], real[PAIRS : 2 * PAIRS]
walks = {}
for name, model in (("VAE", vae), ("your collapsed one", plain)):
    z = codes(model, vocabulary, first + second)
    walks[name] = between(model, vocabulary, z[:PAIRS], z[PAIRS:], POINTS)
salad = [
    " ".join(a.split()[: len(a.split()) // 2] + b.split()[len(b.split()) // 2 :])
    for a, b in zip(first, second, strict=True)
]
middle = nats_a_character([walk[POINTS // 2] for walk in walks["VAE"]])

# %% jupyter={"source_hidden": true}
by_model = intervals.of_mean(nats_a_character(salad) - middle, "pairs", 2)
still = {
    name: sum(a == b for walk in w for a, b in zip(walk, walk[1:], strict=False))
    for name, w in walks.items()
}
same = {name: intervals.of_share(n, PAIRS * (POINTS - 1), "steps", 2) for name, n in still.items()}


def again(texts: list[str], written: list[str]) -> Tensor:
    """Which share of a text's words is in what was written."""
    pairs = ((set(a.split()), set(b.split())) for a, b in zip(texts, written, strict=True))
    return torch.tensor([len(a & b) / len(a) for a, b in pairs])


decoded = [walk[0] for walk in walks["VAE"]]
own, others = again(first, decoded), again(first, decoded[1:] + decoded[:1])
kept, anyway = (intervals.of_mean(share, "captions", 3) for share in (own, others))
more = intervals.of_mean(100 * (own - others), "captions", 3)
measured["claim-39"] = (
    "nats for each character by which a sentence half-way between two codes is easier for an"
    " independent judge than half of one caption joined to half of the other:"
    f" {by_model.said('+.3f')}"
    f" ({by_model.basis}). A step changes nothing in {same['VAE']:.0%} of all cases, in"
    f" {same['your collapsed one']:.0%} with a collapsed code. Of a caption's own words"
    f" {kept:.0%} are there again when it is decoded from its code; when another caption's code is"
    f" decoded, {anyway:.0%}: {more.said('+.0f', 'points')} ({kept.basis}; one training)"
)
plot.measured(measured["claim-39"])
for k in range(3):
    in_a_list(f"Pair {k + 1}: {first[k]} → {second[k]}", walks["VAE"][k])

# %% [markdown]
# Beam search always writes fluently, so the middle is fluent, too: the decoder is a
# language model with a hint. A low price at the judge's is therefore cheap praise. The
# share of kept words says the other half, and means nothing without the share beside it:
# any two captions have *a* and the full stop in common, and often *man*. What is above
# that is what the code has kept. A few nats hold who is there, roughly, and now and then
# where. A walk under a collapsed code stands still.

# %% [markdown]
# ## A missing word
# *a dog is \_\_\_ in the water.* A language model that reads from left to right seems to be the wrong
# tool, since the best clue stands behind the gap. But $p(\mathbf{x})$ of a whole sentence is all you
# need. Put each of the 200 most frequent words into the gap:
#
# $$p(x_t = v \,|\, \text{all others}) = \frac{p(\mathbf{x} \text{ with } v)}{\sum_{v'} p(\mathbf{x} \text{ with } v')}$$
#
# With the VAE, $\log p$ is replaced by one sample of its bound. **Predict.** Does the code, which
# sees the whole sentence at once, make the VAE the better guesser?


# %%
gap = vocabulary.encode(["a dog is swimming in the water ."])[0]
CHOICES = torch.cat(
    [torch.arange(2, 202), gap[3:4]]
)  # 200 frequent words, and the one that was there


@torch.no_grad()
def fillings(log_prob, sentence: Tensor, place: int) -> Tensor:
    """log p(x with v) of each choice v in the place. `log_prob`: (B, T) to (B,)."""
    tried = sentence.repeat(len(CHOICES), 1)
    tried[:, place] = CHOICES
    return log_prob(tried)


asked = {"language model": language_model.log_prob, "VAE, its bound": vae.log_weight}
torch.manual_seed(0)
ranks = {name: fillings(f, gap, 3) for name, f in asked.items()}

# %%
torch.manual_seed(0)
found = {"left to right only": [], **{name: [] for name in asked}}
for x, length in zip(data.test.x[:100], data.test.lengths, strict=False):
    known = (x[1 : length - 2] < 202).nonzero()[:, 0] + 1  # not the first, no full stop
    if not len(known):
        continue
    place = int(known[torch.randint(len(known), ())])
    with torch.no_grad():  # what it says of the place, from the words before
        scores = {"left to right only": language_model.net(x[None])[0, place, CHOICES]}
    scores |= {name: fillings(f, x, place) for name, f in asked.items()}
    for name, each in scores.items():
        found[name].append(float(CHOICES[each.argmax()] == x[place]))

# %% jupyter={"source_hidden": true}
rows = []
for name, scores in ranks.items():
    p = scores.softmax(-1)
    best = (f"{vocabulary.words[CHOICES[i] - 2]} {p[i]:.0%}" for i in p.topk(5).indices)
    place = int((p > p[-1]).sum()) + 1  # the last choice is the word that was there
    rows.append(f"| {name} | {', '.join(best)} | {place} |")
plot.markdown(
    "| a dog is \\_\\_\\_ in the water. | five best guesses |"
    f" place of *{vocabulary.words[gap[3] - 2]}*, which stood there |",
    "|:--|:--|--:|",
    *rows,
)
hits = {name: intervals.of_share(int(sum(h)), len(h), "captions", 3) for name, h in found.items()}
plot.markdown(
    "| guess for a word left out | right |",
    "|:--|--:|",
    *(f"| {name} | {share:.0%} |" for name, share in hits.items()),
    "",
    f"*{hits['VAE, its bound'].basis}; {len(CHOICES)} words to choose from; one sample of z.*",
)
ours = {name: torch.tensor(h) for name, h in found.items()}
more = {
    "the words behind the gap": ours["language model"] - ours["left to right only"],
    "the code": ours["VAE, its bound"] - ours["language model"],
}
more = {name: intervals.of_mean(100 * gain, "captions", 2) for name, gain in more.items()}
plot.markdown(
    "**Measured.** Points of right guesses that are gained by: "
    + "; ".join(f"{name} {gain.said('+.0f')}" for name, gain in more.items())
    + f" ({more['the code'].basis}; one training each)."
)

# %% [markdown]
# The words behind the gap help. That the code helps is not shown. A model that writes from left to
# right reads from both sides, once you compare whole sentences. A single sample of the bound is a
# noisy score: a word may win because its $\mathbf{z}$ was a lucky one. The exact sum of the
# language model has no such luck.

# %% [markdown]
# ## Break it
# Three mistakes. Each trains your model with the cures anew, for three passes and without
# annealing, with one thing changed.


# %%
DRAWS = 500  # of each model


def briefly(change) -> SentenceVAE:
    """The cured model with its objective changed: change(model) is the objective."""
    torch.manual_seed(0)
    model = SentenceVAE(**SIZES)
    short = {"epochs": 3, "batch_size": 50, "lr": 6e-3, "anneal": 2}
    fit(model, some, **short, objective=change(model), progress=False)
    return model.eval()


def report(model: SentenceVAE) -> tuple[Tensor, Tensor, list[str]]:
    """KL and bound of test captions, and draws."""
    torch.manual_seed(2)
    with torch.no_grad():
        parts = model.objective(data.test.x)[1]
    return parts["kl"], parts["elbo"], vocabulary.decode(model.sample(DRAWS))


# %% [markdown]
# ### The mean over words, and the KL of a sentence
# `F.cross_entropy(...)` averages by default. So the reconstruction becomes nats a *word*, filling
# included, and the KL stays nats a *sentence*. **Predict.** Which way does that push the code?


# %%
widths = []  # of the rows, batch by batch


def averaged(model):
    usual = objective_of(model, keep=0.5, free=0.5)

    def objective(words, beta):
        widths.append(words.shape[1])
        _, parts = usual(words, beta)
        paid = (parts["kl"].mean() - 0.5 * model.prior.dim).clamp(min=0)
        return parts["reconstruction"] / words.shape[1] - beta * paid, parts

    return objective


# %% [markdown]
# ### Targets are dropped, too
# The batch itself has words dropped before it reaches the model, so what is to be
# predicted is dropped as well. **Predict** what such a model writes.


# %%
def targets_dropped(model):
    usual = objective_of(model, keep=0.5, free=0.5)

    def objective(words, beta):
        dropped = (torch.rand(words.shape) >= 0.5) & (words != END)
        return usual(words.masked_fill(dropped & model.training, UNKNOWN), beta)

    return objective


# %% [markdown]
# ### The filling is counted
# No mask: the places behind the end mark are predicted as well, and their nats are added.
# **Predict.** They are always END and cost nothing once that is learned. Is the mistake
# harmless, then?


# %%
def filling_counted(model):
    net = model.decoder.net

    def objective(words, beta):
        words = F.pad(words, (0, 15))  # a long caption stands in the batch
        q = model.encoder(words)
        inputs = decoder_inputs(words, 0.5 if model.training else 1.0)
        log_p = net.head(net.read(inputs, q.rsample())).log_softmax(-1)
        log_p = log_p.gather(-1, words[..., None])[..., 0].sum(-1)
        far = kl(q, model.prior)
        paid = (far.mean() - 0.5 * model.prior.dim).clamp(min=0)
        return log_p - beta * paid, {"elbo": log_p - far, "kl": far}

    return objective


# %%
mistakes = {
    "nothing changed": lambda model: objective_of(model, keep=0.5, free=0.5),
    "mean over words": averaged,
    "targets dropped": targets_dropped,
    "filling counted": filling_counted,
}
reports = {name: report(briefly(change)) for name, change in mistakes.items()}

# %% jupyter={"source_hidden": true}
names, none = list(mistakes)[1:], {name: draws.count("") for name, (_, _, draws) in reports.items()}
far, bound = ({name: each[part] for name, each in reports.items()} for part in (0, 1))
plot.markdown(
    "| three passes with | KL, nats | bound of a test caption, nats | empty draws | two draws |",
    "|:--|--:|--:|--:|:--|",
    *(
        f"| {name} | {plot.mean_and_error(far[name], '.2f')} |"
        f" {plot.mean_and_error(bound[name], '.1f')} | {none[name]} of {DRAWS} |"
        f" {' / '.join([s for s in draws if s][:2])} |"
        for name, (_, _, draws) in reports.items()
    ),
    "",
    "*The bound as it is, all words read, nothing free; ± standard error over test captions, one"
    " training each. The two draws: the first that have a word.*",
)


def less_usual(each: dict, name: str) -> intervals.Interval:
    """Less that of the model with nothing changed, on the same captions."""
    return intervals.of_mean(each[name] - each["nothing changed"], "captions", 2 * len(names))


less_kl, less = ({name: less_usual(each, name) for name in names} for each in (far, bound))
said = " ".join(reports["targets dropped"][2]).split()
unknown = sum("(?)" in word for word in said) / len(said)


def moved(what: str, change: intervals.Interval, spec: str) -> str:
    """In which direction, if one is shown, and by how much."""
    return f"{what} {change.verdict('rises', 'falls', 'is not shown to change')}: {change:{spec}}"


def both(name: str) -> str:
    kl_, bound_ = moved("The KL", less_kl[name], "+.2f"), moved("the bound", less[name], "+.1f")
    return f"{kl_} nats; {bound_}."


blind = less["mean over words"].verdict("**The bound does not tell.**", "")
alone = "a collapsed VAE is a language model that pays for nothing else"
empty = none["filling counted"]
filled = (
    f"And {empty} of {DRAWS} draws are empty. Before the first word the decoder reads END, and so"
    " it does all through the filling, where END is always right: END follows END, it has learned."
    " A sum does not make the mistake harmless; the mask does."
    if empty > 10
    else f"Of {DRAWS} draws {empty} are empty: its state has told the first word from the filling."
)
plot.markdown(
    "Against the model with nothing changed:",
    "",
    "- **Mean over words.** Each nat of KL weighs as many times as a row has places,"
    f" {np.mean(widths):.1f} on average: a $\\beta$ of that size. {both('mean over words')} {blind}"
    f" After so short a training {alone}. Look at the KL, always.",
    f"- **Targets dropped.** {both('targets dropped')} The bound tells: the model has learned to"
    f" say (?), unknown, about as often as it was told to, in {unknown:.0%} of the words it draws,"
    " and no test caption has that word.",
    f"- **Filling counted.** {both('filling counted')} {filled}",
    "",
    f"*{less[names[0]].basis}; one training each.*",
)

# %% [markdown]
# ## The lecture's claims, and what you measured

# %% jupyter={"source_hidden": true}
claims = {
    6: "a generative model generates sequences",
    39: "a VAE generates and interpolates sentences",
    41: "a dilated convolutional decoder keeps a text VAE from ignoring z",
}
plot.claims_table(claims, measured)

# %% [markdown]
# ## For and against
# **For.** One code for a whole sentence: sentences can be compared, mixed and written anew. The decoder
# is any language model, the rest of the VAE stays as it is. How much the code tells can be chosen, by
# annealing, dropout, free nats or the decoder's reach.
#
# **Against.** Left alone the code is ignored. Each cure is a setting to be tuned. Hiding words
# costs likelihood compared with the plain language model, which is also simpler, exact and quicker
# to train; that free bits do is not shown. A few nats hold some of the gist and not the words.

# %% [markdown]
# ## Questions
# <details><summary>Why does the end mark count as a word?</summary>
#
# Without it p(x) would not sum to 1 over sentences of all lengths: the model must say that it stops.
# Leaving it out of the count alone makes a perplexity too high, leaving it out of the nats too low. </details>
#
# <details><summary>The KL is 0.02 nats. How could you have known without computing it?</summary>
#
# Decode greedily from several z: the same one or two sentences, whatever z. Or compare the bound
# with the language model's log p: they agree. </details>
#
# <details><summary>You anneal beta from 0 to 0.5 and report the objective. What is wrong?</summary>
#
# It is no bound on log p(x) unless beta is at least 1: half of the KL is not paid. Report at beta = 1,
# as `fit` does. </details>
#
# <details><summary>One model's perplexity is 14 with 1,200 words, another's 40 with 10,000. Which is better?</summary>
#
# That can't be said. The second predicts rarer words, which the first replaces or never sees. </details>
#
# <details><summary>Why is word dropout off when the likelihood is measured?</summary>
#
# The model is p(x | z) with all words read. With words dropped it is another model, in which the same
# sentence costs more. </details>

# %% [markdown]
# ## Sources
# - J. M. Tomczak, *Deep Generative Models: GANs and VAE*, lecture, 2017: "Some extensions and
#   applications of VAE".
# - S. R. Bowman, L. Vilnis, O. Vinyals, A. M. Dai, R. Jozefowicz, S. Bengio, *Generating Sentences from
#   a Continuous Space*, CoNLL 2016 (arXiv 2015): the model, annealing, word dropout. Its numbers are
#   quoted as we remember them.
# - Z. Yang, Z. Hu, R. Salakhutdinov, T. Berg-Kirkpatrick, *Improved Variational Autoencoders for Text
#   Modeling using Dilated Convolutions*, ICML 2017.
# - D. P. Kingma et al., *Improving Variational Inference with Inverse Autoregressive Flow*, NeurIPS
#   2016: free bits.
# - D. Elliott, S. Frank, K. Sima'an, L. Specia, *Multi30K: Multilingual English-German Image
#   Descriptions*, 2016: the captions.
#
# Before: [12, few labels and many digits](12_semi_supervised.ipynb).
# Next: [13b, music](13b_music.ipynb)
