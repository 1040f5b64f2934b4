from dgmcourse.models.vae import VAE
from dgmcourse.models.semi_supervised_vae import *
from dgmcourse.networks import gated_mlp
from test_contract import conditional

CONTRACT = {
    LabelPrior: None,
    Stacked: {
        "make": lambda p: Stacked(
            Gaussian(p.tensor(3, 1), p.tensor(3, 1)), p.module(lambda: conditional(1, 1)), 1
        ),
        "rows": (3,),
    },
    SemiSupervisedVAE: None,
    M2: {"make": lambda: M2(2, 6, 3, data_dim=4), "dim": 4},
    M1M2: None,
}
