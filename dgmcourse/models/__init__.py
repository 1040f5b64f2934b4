"""The lecture's systems, one file each."""

from dgmcourse.models.latent_variable_model import LatentVariableModel
from dgmcourse.models.vae import VAE, ConvVAE

__all__ = ["VAE", "ConvVAE", "LatentVariableModel"]
