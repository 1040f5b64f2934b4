"""pythae 0.1.2 (Chadebec, Vincent & Allassonniere 2022) with the very networks of our VAE in it."""

import copy
import logging

import torch
from pythae.models import VAE as PythaeVAE
from pythae.models import VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig

logging.disable(logging.INFO)


class Encoder(BaseEncoder):
    def __init__(self, net, log_var_range):
        super().__init__()
        self.net, self.log_var_range = net, log_var_range

    def forward(self, x):
        mean, log_var = self.net(x).chunk(2, -1)
        return ModelOutput(embedding=mean, log_covariance=log_var.clamp(*self.log_var_range))


class Decoder(BaseDecoder):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, z):
        return ModelOutput(
            reconstruction=torch.sigmoid(self.net(z))
        )  # its likelihood wants probabilities


def like(ours) -> PythaeVAE:
    """pythae's VAE with copies of the networks, and so the weights, of `ours`."""
    config = VAEConfig(input_dim=(784,), latent_dim=ours.prior.dim, reconstruction_loss="bce")
    encoder = Encoder(copy.deepcopy(ours.encoder.net), ours.encoder.log_var_range)
    return PythaeVAE(config, encoder, Decoder(copy.deepcopy(ours.decoder.net)))


def trainer(
    model, data, folder: str, lr: float, batch_size: int, cuda=False, **optimiser
) -> BaseTrainer:
    """Its trainer, with the Adam that torch makes by default unless settings of the `optimiser` are
    given.
    """
    settings = BaseTrainerConfig(
        output_dir=folder,
        learning_rate=lr,
        per_device_train_batch_size=batch_size,
        num_epochs=1,
        no_cuda=not cuda,
        optimizer_params=optimiser or None,
    )
    made = BaseTrainer(model, data, training_config=settings)
    made.prepare_training()
    return made


def check_same_objective(ours, x: torch.Tensor) -> dict[str, float]:
    """Relative differences between both losses, and their gradients, at equal weights and noise.

    Raises:
        ValueError: if in float64 they differ in the first 7 digits: these would be two objectives.
    """
    differences = {}
    for dtype in (torch.float64, torch.float32):
        mine = copy.deepcopy(ours).to(dtype)
        theirs = like(mine)
        torch.manual_seed(0)
        loss = -mine.objective(x.to(dtype))[0].mean()
        torch.manual_seed(0)
        peers = theirs({"data": x.to(dtype)}).loss
        loss.backward()
        peers.backward()
        a, b = gradient(mine), gradient(theirs)
        differences[f"loss, {str(dtype)[6:]}"] = abs(loss.item() / peers.item() - 1)
        differences[f"gradient, {str(dtype)[6:]}"] = ((a - b).norm() / b.norm()).item()
    if max(differences["loss, float64"], differences["gradient, float64"]) > 1e-7:
        raise ValueError(f"not the same objective: {differences}")
    return differences


def gradient(model) -> torch.Tensor:
    parameters = [*model.encoder.net.parameters(), *model.decoder.net.parameters()]
    return torch.cat([p.grad.flatten() for p in parameters])
