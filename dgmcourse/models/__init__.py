"""The lecture's systems, one file each."""

from dgmcourse.models.density_network import DensityNetwork
from dgmcourse.models.factor_analysis import FactorAnalysis, probabilistic_pca
from dgmcourse.models.generative_classifier import GenerativeClassifier
from dgmcourse.models.latent_variable_model import LatentVariableModel
from dgmcourse.models.mixture_of_factor_analysers import MixtureOfFactorAnalysers
from dgmcourse.models.vae import VAE, ConvVAE

__all__ = [
    "VAE",
    "ConvVAE",
    "DensityNetwork",
    "FactorAnalysis",
    "GenerativeClassifier",
    "LatentVariableModel",
    "MixtureOfFactorAnalysers",
    "probabilistic_pca",
]
