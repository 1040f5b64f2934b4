"""The course's twenty questions, one to three on each notebook from 01 to 11: `Quiz(QUESTIONS)`."""

from dgmcourse.widgets.quiz import Question

QUESTIONS = [
    Question(
        "01_motivation",
        "A classifier gives a photograph of a face 99 % for the digit 3. What tells you that"
        " something is wrong?",
        (
            (
                "That 99 % is below 100 %",
                "Real digits get less than 100 %, too. Certainty compares classes with one"
                " another, not objects with data.",
            ),
            (
                "A low p(x): it was never seen",
                "p(y|x) must share 100 % among ten labels whatever x is. Only a model of x can"
                " find x unusual.",
            ),
            (
                "The probabilities of the other nine labels",
                "They are what 99 % leaves, and say nothing more: all ten labels may be wrong"
                " at once.",
            ),
            (
                "A larger training set for p(y|x)",
                "More digits draw the borders between digits better. On faces there is still no"
                " border to be drawn.",
            ),
        ),
        right=1,
    ),
    Question(
        "01_motivation",
        "You have 10 labelled digits and 2,000 without a label. What can the unlabelled ones"
        " teach?",
        (
            (
                "The labels of the ten, again",
                "The ten labels are known already. What is missing is where the classes end.",
            ),
            (
                "Nothing, since p(y|x) needs a y",
                "That holds for a model of p(y|x) alone. A joint model p(x, y) has a term for x"
                " without its y.",
            ),
            (
                "How often each class occurs",
                "A little of that, but without the shape of the classes the counts can't be"
                " given to anyone.",
            ),
            (
                "The shape of p(x), so of the classes",
                "A joint model p(x, y) learns from log p(x), where classes are clumps; ten"
                " labels then name the clumps.",
            ),
        ),
        right=3,
    ),
    Question(
        "02_latent_variable_models",
        "z is Gaussian, x = W z + m + noise with Gaussian noise. What is p(x)?",
        (
            (
                "A Gaussian with covariance WW\u1d40 + noise",
                "A linear map of a Gaussian plus a Gaussian is a Gaussian: factor analysis,"
                " with everything in closed form.",
            ),
            (
                "A mixture of Gaussians with one component for each column of W",
                "Columns of W are directions of one Gaussian, not bumps: a straight map makes"
                " one bump.",
            ),
            (
                "Any density at all, if z has enough dimensions",
                "However many factors: the sum stays Gaussian. A bend in the map is what makes"
                " other shapes.",
            ),
            (
                "It has no closed form",
                "That is so once the map is bent. Here the integral is the one Gaussian"
                " integral everybody can do.",
            ),
        ),
        right=0,
    ),
    Question(
        "03_density_network",
        "A density network averages p(x|z) over S codes from the prior. Why does it scale badly"
        " with the dimension of z?",
        (
            (
                "The decoder gets slower with the dimension of z, and so does its gradient",
                "One wider layer costs little. It is the number of codes that explodes, not the"
                " cost of one.",
            ),
            (
                "The logarithm of small numbers overflows",
                "log-sum-exp takes care of that. The sum is right, it just has nothing in it.",
            ),
            (
                "Hardly any code explains x",
                "The share of codes from the prior that explain this x falls exponentially, and"
                " one or none carries the whole mean.",
            ),
            (
                "The prior is no longer Gaussian in many dimensions",
                "It is by definition. Its mass moves to a shell, but that is not what goes wrong.",
            ),
        ),
        right=2,
    ),
    Question(
        "03_density_network",
        "log of the mean of S weights: what does it estimate, on average?",
        (
            (
                "Exactly log p(x), for every S",
                "The mean of the weights is unbiased for p(x). Its logarithm is not unbiased"
                " for log p(x).",
            ),
            (
                "Something above log p(x), falling with S",
                "The other way round: the logarithm is concave, so the mean of logs stays below"
                " the log of the mean.",
            ),
            (
                "p(x), up to a constant factor",
                "No constant is lost: it estimates log p(x) itself, only too low on average.",
            ),
            (
                "Something below log p(x), rising with S",
                "Jensen: with S = 1 and an encoder it is the ELBO; with more samples it climbs"
                " to log p(x).",
            ),
        ),
        right=3,
    ),
    Question(
        "04_gan",
        "The discriminator has become nearly perfect. Why does the game's original objective, log(1"
        " - D(G(z))), then teach the generator little?",
        (
            (
                "Through D's sigmoid its slope dies out where D(G(z)) is near 0",
                "By the logit its slope is -D(G(z)), nearly zero for a fake that is seen"
                " through; that of log D(G(z)) is nearly 1 there, and the game has the same"
                " fixed point.",
            ),
            (
                "The discriminator's weights no longer change",
                "They may stand still; the gradient for the generator runs through them all the"
                " same.",
            ),
            (
                "The generator can't sample any more",
                "It samples as ever. What it lacks is a slope that says where to go.",
            ),
            (
                "Its optimum is another distribution than that of the data",
                "For the best D the optimum is the data's distribution. The trouble is the way"
                " there.",
            ),
        ),
        right=0,
    ),
    Question(
        "04_gan",
        "Why can't you read the quality of a GAN off its two losses?",
        (
            (
                "They are averages over a batch, and so too noisy",
                "Longer averages would mend that. The trouble stays with no noise at all.",
            ),
            (
                "Each measures one player against the other",
                "If both get better, or both worse, neither number need move. No loss says how"
                " far the fakes are from the data.",
            ),
            (
                "They are not in nats",
                "They are logs of probabilities, so nats. Of the verdict, though, not of x.",
            ),
            ("The generator's loss is not differentiable", "It is, else nothing would be learned."),
        ),
        right=1,
    ),
    Question(
        "05_wgan",
        "Fakes and data lie on two parallel lines that don't touch, a distance d apart. As d goes"
        " to 0, what happens?",
        (
            (
                "Jensen-Shannon and earth-mover distance both fall steadily",
                "The first can't see d as long as nothing overlaps: it stays at log 2 and then"
                " jumps.",
            ),
            (
                "Both stay constant until the lines meet",
                "The earth still has to be carried over d, and that gets less and less.",
            ),
            (
                "Only the earth-mover distance falls",
                "It is d. The Jensen-Shannon divergence is log 2 for every d > 0, with no slope"
                " to follow.",
            ),
            (
                "Only the Jensen-Shannon divergence falls",
                "It compares densities point by point, and no point has both.",
            ),
        ),
        right=2,
    ),
    Question(
        "05_wgan",
        "What does clipping the critic's weights give you?",
        (
            (
                "Exactly the 1-Lipschitz critics",
                "A box of weights bounds the slope by some factor, mostly far from 1, and"
                " leaves out many 1-Lipschitz critics.",
            ),
            (
                "Critics whose slopes are bounded by an unknown factor",
                "So the estimate is the distance times something unknown, and c decides whether"
                " slopes die out or explode.",
            ),
            (
                "A smaller network that overfits less",
                "No weight is removed: all are kept within [-c, c].",
            ),
            (
                "An exact distance, if you train the critic long enough with small c",
                "Small c makes every slope tiny: the estimate is near 0 whatever the distance is.",
            ),
        ),
        right=1,
    ),
    Question(
        "06_more_gans",
        "A Wasserstein auto-encoder matches the codes of all data together to the prior. What does"
        " a VAE do instead?",
        (
            (
                "It matches each single code's cloud to the prior, at a price in nats",
                "KL[q(z|x) || p(z)] is charged for every x, so that all clouds overlap; the"
                " Wasserstein auto-encoder asks it of their sum only.",
            ),
            (
                "It does the same with another distance",
                "The aggregate is what both have to fit; but the VAE charges every x on its own.",
            ),
            (
                "It leaves the codes where they are",
                "That is a plain auto-encoder, from which one can't sample.",
            ),
            (
                "It matches the images in pixel space, with an adversary",
                "A VAE has no adversary: its reconstruction is a log-probability of pixels.",
            ),
        ),
        right=0,
    ),
    Question(
        "07_vae",
        "log p(x) minus the ELBO is ...",
        (
            (
                "KL[q(z|x) || p(z)]",
                "That is the regulariser, a part of the ELBO. It can be large while the bound"
                " is tight.",
            ),
            (
                "zero as soon as training has converged",
                "Only if q(z|x) can be the exact posterior. A Gaussian usually can't.",
            ),
            (
                "the reconstruction error",
                "That, too, is a part of the ELBO. The gap is what neither part shows.",
            ),
            (
                "KL[q(z|x) || p(z|x)]",
                "The bound misses log p(x) by the encoder's error, no more and no less.",
            ),
        ),
        right=3,
    ),
    Question(
        "07_vae",
        "A colleague sums the reconstruction over pixels as always, but averages the KL over 40"
        " latent dimensions in place of summing it. What was trained?",
        (
            (
                "The same model: only the units of the KL differ",
                "Against a reconstruction that is summed over pixels, the units decide who wins.",
            ),
            (
                "A VAE with a tighter bound",
                "It is no bound on log p(x) any more, since most of the KL is not charged.",
            ),
            (
                "A VAE with beta = 1/40",
                "Reconstructions look splendid and samples do not, for codes go where the prior"
                " never draws.",
            ),
            (
                "A VAE whose code collapses to the prior",
                "Collapse comes from charging too much. Here too little is charged.",
            ),
        ),
        right=2,
    ),
    Question(
        "07_vae",
        "Two VAEs have ELBOs of -88 and -90 nats on the same test digits. Which has the better"
        " p(x)?",
        (
            ("The first, by 2 nats", "If both gaps were equal. Nobody said that they are."),
            (
                "That can't be told without the gaps",
                "The second may have the better p(x) and the poorer encoder. Importance"
                " sampling with the same S for both can tell.",
            ),
            (
                "The second: its decoder is less overfitted",
                "Both numbers are on test digits already; a lower bound is no sign of less"
                " overfitting.",
            ),
            (
                "Neither, for the ELBO is no likelihood and has nothing to do with one",
                "It is a bound on log p(x), with a gap that can be estimated.",
            ),
        ),
        right=1,
    ),
    Question(
        "08_reparameterization",
        "Why write z = mu + sigma * epsilon?",
        (
            (
                "The randomness no longer depends on the parameters",
                "So the gradient goes through mu and sigma into the function itself, with"
                " little variance.",
            ),
            ("It makes z Gaussian", "z was Gaussian before; only the way it is drawn has changed."),
            (
                "It makes the gradient exact, without any noise",
                "epsilon is still drawn: the estimate is unbiased, not exact.",
            ),
            ("It lowers the dimension of what is sampled", "epsilon has as many dimensions as z."),
        ),
        right=0,
    ),
    Question(
        "08_reparameterization",
        "Which of these can the reparameterization trick not do, while the score function can?",
        (
            ("A Gaussian whose variance is learned", "mu + sigma * epsilon does both parameters."),
            (
                "A loss that is not convex",
                "Convexity plays no role: a slope is all that is needed.",
            ),
            ("Many samples for each x", "Both are means over samples, of any number."),
            (
                "A code of zeros and ones",
                "A coin has no smooth function of its parameter and a fixed noise; the score"
                " function needs log q only.",
            ),
        ),
        right=3,
    ),
    Question(
        "09_normalizing_flows",
        "A flow sends z through f. Why does log |det df/dz| enter the bound?",
        (
            (
                "To keep f invertible during training",
                "It does not: invertibility is built into the map. The term is -infinity only"
                " where f folds.",
            ),
            (
                "As a regulariser that keeps the flow near the identity",
                "It is no penalty that one may weigh: it is part of the density of f(z).",
            ),
            (
                "f stretches space, and density thins where it does",
                "The same probability on twice the volume is half the density: that is the"
                " change of variables.",
            ),
            (
                "Because the prior is Gaussian",
                "For any prior: the term belongs to q, which f has moved.",
            ),
        ),
        right=2,
    ),
    Question(
        "09_normalizing_flows",
        "A Householder flow keeps all volumes. What can it make of a diagonal Gaussian?",
        (
            (
                "A Gaussian with any orientation",
                "Reflections turn and mirror: the covariance gets correlations, and its"
                " eigenvalues stay.",
            ),
            ("A density with several bumps", "A reflected Gaussian is a Gaussian: one bump."),
            (
                "Nothing new, since |det J| = 1",
                "The determinant says that volume is kept, not that shape and direction are.",
            ),
            (
                "Any density, with enough steps",
                "Many reflections make one orthogonal matrix, so it stays Gaussian after every"
                " number of them.",
            ),
        ),
        right=0,
    ),
    Question(
        "10_pixelvae",
        "You give a VAE a very strong autoregressive decoder. What may happen to z?",
        (
            ("It becomes binary", "Nothing in the objective asks for that."),
            (
                "It gets more active units",
                "It needs fewer: what the pixels before already tell, the code need not.",
            ),
            (
                "It is ignored",
                "If the pixels predict one another, a code costs nats and gains nothing: free"
                " bits or a short reach keep it.",
            ),
            (
                "Its prior must be learned",
                "It may be, but the pull comes from the decoder, not from the prior.",
            ),
        ),
        right=2,
    ),
    Question(
        "10_pixelvae",
        "Draws of a Bernoulli VAE look speckled while its means look smooth. Why?",
        (
            (
                "The encoder's noise reaches the pixels",
                "A draw from the model has no encoder in it: z comes from the prior.",
            ),
            (
                "Given z, each pixel is drawn on its own",
                "Neighbours that should agree don't ask one another. A decoder that looks at"
                " what it has drawn does.",
            ),
            (
                "The network is too small to be trained to the end",
                "A larger one is surer of its pixels, yet still draws each alone.",
            ),
            (
                "Grey values were rounded to black and white",
                "The data are black and white; the means are not rounded but drawn from.",
            ),
        ),
        right=1,
    ),
    Question(
        "11_priors",
        "Which prior would save the most of the bound's KL term for a given encoder, on the digits"
        " it is averaged over?",
        (
            (
                "A single Gaussian with a larger variance",
                "That fits neither the clumps nor the gaps between them.",
            ),
            (
                "The one with the most parameters",
                "Parameters help only as far as they bring the prior to the right place.",
            ),
            (
                "A mixture of Gaussians with one for each class",
                "Closer, but classes are not Gaussian, and no label enters the bound.",
            ),
            (
                "The mean of all q(z|x)",
                "The aggregate posterior: the prior occurs only in KL[aggregate || prior],"
                " which is then 0. On new digits it may disappoint.",
            ),
        ),
        right=3,
    ),
]
