"""Letters that look written like MNIST's digits and are none: rendered from the fonts that
matplotlib ships.
"""

import functools
import string
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from dgmcourse.data.images import Data

FONTS = """DejaVuSans DejaVuSans-Oblique DejaVuSansMono DejaVuSansMono-Oblique DejaVuSerif DejaVuSerif-Italic
    STIXGeneral STIXGeneralItalic cmr10 cmss10 STIXGeneralBolIta cmtt10""".split()
LIKE_DIGITS = "BDGIOQSZbgiloqsz"  # letters that some hand writes like a digit
LETTERS = "".join(sorted(set(string.ascii_letters) - set(LIKE_DIGITS)))
CANVAS, BOX = (
    112,
    20,
)  # side of the sheet one writes on, and of the box that MNIST fits a digit into
STROKE = (1.6, 3.2)  # width of a pen's line in pixels of the result, MNIST's usual range
TURN, SHEAR, STRETCH = (
    0.12,
    0.25,
    0.15,
)  # most by which a letter is turned (radians), slanted, and made wider


def letters(n: int, characters: str = LETTERS, seed: int = 0) -> Data:
    """n random letters as `Data`, grey: x (n, 784) bytes, y (n,) each letter's place in
    `characters`.

    Made as MNIST's digits were: drawn large, fitted into a box of 20 x 20 with their proportions
    kept, placed with their centre of mass in the middle of 28 x 28. Each has a random font, turn,
    slant, width and weight of line; the same seed gives the same letters. Without further asking,
    those that can be read as a digit are left out.

    Args:
        n: how many.
        characters: what to choose from, any that the fonts have: "l", "-", even digits.
        seed: of the choice.
    """
    if n < 1 or not characters.strip():
        raise ValueError(f"how many letters of which? n={n}, characters={characters!r}")
    random, folder = np.random.RandomState(seed), fonts()
    y = random.randint(len(characters), size=n)
    x = np.stack([letter(characters[i], folder / f"{random.choice(FONTS)}.ttf", random) for i in y])
    return Data(torch.from_numpy(x), torch.from_numpy(y).long())


def letter(character: str, font: Path, random: np.random.RandomState) -> np.ndarray:
    """One letter, (784,) bytes."""
    from PIL import Image, ImageDraw

    drawn = Image.new("L", (CANVAS, CANVAS))
    ImageDraw.Draw(drawn).text(
        (CANVAS / 2, CANVAS / 2), character, 255, typeface(font), anchor="mm"
    )
    turn, slant, wide = random.uniform(-1, 1, 3) * (TURN, SHEAR, STRETCH)
    cos, sin = np.cos(turn), np.sin(turn)
    matrix, middle = (
        np.array([[cos, -sin], [sin, cos]]) @ [[1 - wide, slant], [0, 1]],
        np.full(2, CANVAS / 2),
    )
    inverse = np.c_[
        matrix, middle - matrix @ middle
    ]  # from a pixel of the result to where it comes from
    drawn = drawn.transform(
        drawn.size, Image.Transform.AFFINE, inverse.ravel(), Image.Resampling.BICUBIC
    )
    return normalise(with_weight(drawn, random.uniform(*STROKE)))


@functools.cache
def typeface(font: Path):
    from PIL import ImageFont

    return ImageFont.truetype(font, 64)


def with_weight(drawn, stroke: float):
    """The letter with lines of about `stroke` pixels of the result: dilated, or eroded while
    something is left.
    """
    from PIL import ImageFilter

    ink = np.asarray(drawn) > 127
    if not ink.any():
        raise ValueError("the font draws nothing for this character")
    height, width = (np.ptp(np.nonzero(ink)[axis]) + 1 for axis in (0, 1))
    inner = np.asarray(drawn.filter(ImageFilter.MinFilter(3))) > 127
    now = (
        2 * ink.sum() / max(1, (ink & ~inner).sum())
    )  # area over half the outline: the width of a line
    change = round((stroke * max(height, width) / BOX - now) / 2)
    if change == 0:
        return drawn
    thinner = ImageFilter.MinFilter if change < 0 else ImageFilter.MaxFilter
    changed = drawn.filter(thinner(2 * abs(change) + 1))
    return changed if (np.asarray(changed) > 127).sum() > 0.2 * ink.sum() else drawn


def normalise(drawn) -> np.ndarray:
    """MNIST's way: into a box of 20 x 20, the centre of mass into the middle of 28 x 28. (784,)
    bytes.
    """
    from PIL import Image

    drawn = drawn.crop(drawn.getbbox())
    scale = BOX / max(drawn.size)
    drawn = drawn.resize(
        [max(1, round(side * scale)) for side in drawn.size], Image.Resampling.LANCZOS
    )
    ink = np.asarray(drawn, dtype=np.float64)
    rows, columns = (ink.sum(axis) @ np.arange(ink.shape[1 - axis]) / ink.sum() for axis in (1, 0))
    sheet = np.zeros((28, 28), np.uint8)
    top, left = (
        int(np.clip(round(13.5 - at), 0, 28 - side))
        for at, side in zip((rows, columns), ink.shape, strict=True)
    )
    sheet[top : top + ink.shape[0], left : left + ink.shape[1]] = drawn
    return sheet.ravel()


def fonts() -> Path:
    """The folder of matplotlib's fonts, found without importing it."""
    found = find_spec("matplotlib")
    if found is None:
        raise FileNotFoundError(
            "the letters' fonts come with matplotlib, which is not here: pip install matplotlib"
        )
    return Path(found.submodule_search_locations[0], "mpl-data", "fonts", "ttf")
