"""Small densities and networks that exercises are given in place of the notebook's."""

from torch import Tensor

from dgmcourse.check._exercise import Wrong
from dgmcourse.densities import Bernoulli, Gaussian


class Prior(Gaussian):
    """p(z), which keeps what is drawn in `drawn`."""

    def __init__(self, mean: Tensor, log_var: Tensor):
        super().__init__(mean, log_var)
        self.drawn = []

    def rsample(self, shape=()) -> Tensor:  # sample calls it, too
        self.drawn.append(super().rsample(shape))
        return self.drawn[-1]


class Encoder:
    """A q(z|x) that does not look at x: one row of parameters for each row of x."""

    def __init__(self, mean: Tensor, log_var: Tensor):
        self.mean, self.log_var = mean, log_var

    def __call__(self, x: Tensor) -> Gaussian:
        return Gaussian(self.mean, self.log_var)


class Decoder:
    """p(x|z): pixels whose logits are linear in z, z W + b."""

    def __init__(self, bias: Tensor, weight: Tensor):
        self.bias, self.weight = bias, weight

    def __call__(self, z: Tensor) -> Bernoulli:
        if z.shape[-1] != len(self.weight):
            raise Wrong(
                f"the decoder got z of shape {tuple(z.shape)}: it expects {len(self.weight)} latent"
                " dimensions last."
            )
        return Bernoulli(z @ self.weight + self.bias)
