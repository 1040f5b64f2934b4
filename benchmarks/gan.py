"""An epoch of two GANs against the usual loop

The feed-forward GAN and the DCGAN of the course, on the first 12,800 training digits in batches of
64. Ours: `play`, in float32 and, as the weights' recipes have it, with matrix products in bfloat16.
The usual loop: copies of the same networks; torchvision's MNIST with `ToTensor` and a DataLoader
that fetches digit by digit; `BCEWithLogitsLoss`, a backward pass each for real and fake digits, the
generator's pass through a discriminator that computes gradients for itself, too, and torch's Adam
as it comes; the losses read after each step and a progress bar, as ours has one.

Equal objectives are checked first: at the same weights and codes, both sides' gradients agree.
"""

import copy

import torch
from timing import hushed, ratio_row, turns
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import MNIST
from tqdm import tqdm

from dgmcourse.data.images import mnist
from dgmcourse.models.dcgan import DCGAN
from dgmcourse.models.gan import ImageGAN
from dgmcourse.play import play

LR, BATCH, DIGITS, ROUNDS = 2e-4, 64, 12_800, 5


class Digits(MNIST):
    """torchvision's MNIST with our training digits in it."""

    def __init__(self, x, y):
        self.data, self.targets, self.target_transform = x.view(-1, 28, 28), y, None
        self.transform = transforms.ToTensor()


def usual_loop(game, loader, device):
    """One epoch, as tutorials write it."""
    generator, discriminator, latent_dim = game.generator, game.discriminator, game.prior.dim
    loss = nn.BCEWithLogitsLoss()
    adam_d = torch.optim.Adam(discriminator.parameters(), lr=LR, betas=(0.5, 0.999))
    adam_g = torch.optim.Adam(generator.parameters(), lr=LR, betas=(0.5, 0.999))

    def epoch():
        for x, _ in (bar := tqdm(loader)):
            x = x.flatten(1).to(device)
            ones, zeros = (
                torch.ones(len(x), 1, device=device),
                torch.zeros(len(x), 1, device=device),
            )
            discriminator.zero_grad()
            real = loss(discriminator(x), ones)
            real.backward()
            fakes = generator(torch.randn(len(x), latent_dim, device=device))
            fake = loss(discriminator(fakes.detach()), zeros)
            fake.backward()
            adam_d.step()
            generator.zero_grad()
            fooled = loss(
                discriminator(generator(torch.randn(len(x), latent_dim, device=device))), ones
            )
            fooled.backward()
            adam_g.step()
            bar.set_postfix(d=real.item() + fake.item(), g=fooled.item())

    return epoch


def check_same_objective(game, x):
    """A ValueError if the discriminator's gradients of both sides differ at equal weights and
    codes.
    """
    game = copy.deepcopy(game).double().eval()  # no dropout, and no batch's statistics
    x, parameters = x.double(), list(game.discriminator.parameters())
    torch.manual_seed(0)
    ours = torch.autograd.grad(game.discriminator_objective(x)[0].mean(), parameters)
    torch.manual_seed(0)
    fakes, loss = game.generator(game.prior.sample((len(x),))).detach(), nn.BCEWithLogitsLoss()
    ones, zeros = torch.ones(len(x), 1).double(), torch.zeros(len(x), 1).double()
    usual = loss(game.discriminator(x), ones) + loss(game.discriminator(fakes), zeros)
    for a, b in zip(ours, torch.autograd.grad(usual, parameters), strict=True):
        if not torch.allclose(a, -b, rtol=1e-7, atol=1e-12):
            raise ValueError("the two sides have different objectives")


def measure(device: str = "cpu", rounds: int = ROUNDS) -> tuple[list[dict], str]:
    torch.manual_seed(0)
    with hushed():
        data = mnist(None).train[:DIGITS]
    loader = DataLoader(Digits(data.x, data.y), BATCH, shuffle=True)
    rows = []
    for name, game in (("feed-forward GAN", ImageGAN()), ("DCGAN", DCGAN())):
        check_same_objective(game, data.tensor()[:BATCH])
        ours, half, usual = (copy.deepcopy(game).to(device) for _ in range(3))
        rivals = {
            "the usual loop": usual_loop(usual, loader, device),
            "ours": lambda ours=ours: play(ours, data, batch_size=BATCH, lr=LR),
            "ours, bfloat16": lambda half=half: play(
                half, data, batch_size=BATCH, lr=LR, mixed_precision=True
            ),
        }
        with hushed():
            times = turns(rivals, rounds, device == "cuda")
        what = f"{name}, one epoch of {len(data):,} digits, {device}"
        rows += [
            ratio_row(what, times, "the usual loop", mine, ">= 1.5")
            for mine in ("ours", "ours, bfloat16")
        ]
    return rows, ""
