"""Figures can be read by everybody, every pixel is where it belongs, and drawing works with and
without a notebook.
"""

import base64
import io

import numpy as np
import pytest
import torch
from matplotlib import image as mpl_image
from oracles import survives
from scipy.stats import sem

from dgmcourse import plot
from dgmcourse.models import VAE
from dgmcourse.models.gan import GAN
from dgmcourse.train import History, fit


@pytest.fixture(autouse=True)
def no_figure_left():
    plot.plt.close("all")
    yield
    plot.plt.close("all")


@pytest.fixture
def shown(monkeypatch):
    """What was displayed, as a notebook would get it: [(data, metadata)]."""
    from IPython.core.formatters import DisplayFormatter

    objects = []
    monkeypatch.setattr(
        plot, "display", lambda thing, **kwargs: objects.append(DisplayFormatter().format(thing))
    )
    return objects


def test_show_refuses_a_figure_without_words(shown):
    for alt in ("", "  \n"):
        with pytest.raises(ValueError, match="needs an alt text"):
            plot.show(plot.plt.figure(), alt=alt)
    with pytest.raises(TypeError, match="alt"):
        plot.show(plot.plt.figure())
    assert shown == []


def test_show_gives_the_picture_its_alt_text_its_width_and_its_caption(shown):
    fig, ax = plot.plt.subplots(figsize=(4, 2))
    ax.plot([0, 1], [0, 1])
    plot.show(fig, alt='A line "rises" & <ends>', caption="It rises, 1 < 2.")
    (data, metadata), (caption, _) = shown
    assert metadata["image/png"] == {"width": 500, "alt": 'A line "rises" & <ends>'}
    png = data["image/png"]
    height, width, _ = mpl_image.imread(
        io.BytesIO(base64.b64decode(png) if isinstance(png, str) else png)
    ).shape
    assert (width, height) == (750, 375)  # sharp at 150 % zoom
    assert "It rises, 1 &lt; 2." in caption["text/html"]
    assert "<details>" in caption["text/html"] and "&lt;ends&gt;" in caption["text/html"]
    assert not plot.plt.fignum_exists(fig.number), (
        "an open figure is drawn twice, and keeps its memory"
    )


def check_tile(plot):
    """Image i stands in line i // columns, column i % columns, with two blank pixels between."""
    x = torch.rand(7, 12) + 1
    picture = plot.tile(x.reshape(7, 12)[:, :9], columns=3, side=3, gap=2)
    assert picture.shape == (3 * 3 + 2 * 2, 3 * 3 + 2 * 2)
    covered = np.zeros_like(picture, bool)
    for i in range(7):
        place = np.s_[5 * (i // 3) : 5 * (i // 3) + 3, 5 * (i % 3) : 5 * (i % 3) + 3]
        assert np.array_equal(picture[place], x[i, :9].reshape(3, 3).numpy())
        covered[place] = True
    assert (picture[~covered] == 0).all()


def test_tile():
    check_tile(plot)


MUTANTS = {
    "columns first": (
        "(i // columns) * (side + gap), (i % columns)",
        "(i % columns) * (side + gap), (i // columns)",
    ),
    "transposed": ("] = image", "] = image.T"),
    "no gap": ("(i % columns) * (side + gap)", "(i % columns) * side"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_caught(name):
    assert not survives(check_tile, plot, *MUTANTS[name])


def test_images_take_gradients_blocks_and_titles(shown):
    x = torch.rand(13, 784, requires_grad=True)
    fig = plot.images([x, x[:5]], columns=5, titles=["data", "model"])
    assert len(fig.axes) == 2
    assert [ax.images[0].get_array().shape for ax in fig.axes] == [(88, 148), (28, 148)]
    assert [ax.texts[0].get_text() for ax in fig.axes] == ["data", "model"]
    assert fig.axes[0].images[0].get_clim() == (0, 1)  # the same grey in every figure
    plot.show(fig, alt="digits")


def test_overlapping_texts_are_found_and_only_those():
    fig, (ax, right) = plot.plt.subplots(1, 2)
    ax.set(xlim=(0, 1), title="a title")
    right.set_axis_off()
    right.text(0, 0, "on a tick of the hidden axis")
    ax.text(0.5, 0.5, "here")
    assert plot.overlapping_texts(fig) == []
    ax.text(0.55, 0.52, "there")
    ax.text(0.5, 0.5, "unseen").set_visible(False)
    assert plot.overlapping_texts(fig) == [("here", "there")]
    place = fig.transFigure.inverted().transform(ax.texts[1].get_window_extent().p0)
    fig.text(*place, "in no axis")
    assert {("there", "in no axis"), ("in no axis", "there")} & set(plot.overlapping_texts(fig))


@pytest.mark.parametrize("ticks", [["a long one", "beside it"], ["a", "b"]])
def test_ticks_are_texts(ticks):
    fig, ax = plot.plt.subplots(figsize=(2, 1))
    ax.set_xticks([0, 0.1], ticks)
    ax.set_xlim(0, 1)
    assert bool(plot.overlapping_texts(fig)) == (len(ticks[0]) > 1)
    ax.set_xlim(0.05, 1)  # one of them is not there any more
    assert plot.overlapping_texts(fig) == []


def test_texts_are_measured_where_they_stand_after_a_picture_of_another_resolution():
    fig, ax = plot.plt.subplots(figsize=(3, 2))
    ax.set(xlabel="along", ylabel="up", xlim=(0, 1000))
    plot.png(fig, scale=2)
    assert plot.overlapping_texts(fig) == []


def test_a_strict_build_is_warned_of_texts_that_overlap(monkeypatch):
    def draw():
        fig = plot.plt.figure()
        fig.text(0.5, 0.5, "one")
        fig.text(0.51, 0.5, "other")
        plot.png(fig)

    draw()
    monkeypatch.setenv("DGMCOURSE_STRICT", "1")
    with pytest.warns(UserWarning, match="overlap: 'one' and 'other'"):
        draw()


def test_names_of_crowded_points_meet_no_text_and_no_point_and_stay_near():
    fig, ax = plot.plt.subplots(figsize=(plot.WIDTH, 3.2))
    x, y = [0, 0.15, 0.2, 0.3, 0.31, 9.8], [1, 1.02, 1.04, 0.98, 1.1, 0]
    names = [f"the point {i}" for i in range(len(x))]
    ax.plot(x, y, "o", ms=9)
    ax.text(0.5, 1.1, "already here")
    ax.set(xlim=(-1, 10), ylim=(0, 1.5))
    plot.label_points(ax, x, y, names)
    assert plot.overlapping_texts(fig) == []
    points = ax.transData.transform(np.column_stack([x, y]))
    for text in ax.texts[1:]:
        i = names.index(text.get_text())
        box = plot.Text.get_window_extent(text)
        middle = (box.p0 + box.p1) / 2
        assert not any(box.contains(*point) for point in points)
        assert np.linalg.norm(middle - points[i]) < 120
        assert ax.bbox.contains(*box.p0) and ax.bbox.contains(*box.p1)


def test_faint_images_are_drawn_black():
    x = torch.linspace(0, 0.1, 784).expand(2, -1) * torch.tensor([[1.0], [3.0]])
    full = plot.full_contrast(x)
    assert (full.amax(-1) == 1).all() and (full[0] - full[1]).abs().max() < 1e-6
    assert full[0, 392] == pytest.approx(0.5 / 0.99, abs=2e-3)
    assert (plot.full_contrast(torch.zeros(1, 784)) == 0).all()


def history_of(epochs=2):
    history = History(labels=VAE.parts)
    history.epochs = [{"epoch": i + 1, "valid": -100.0 + i} for i in range(epochs)]
    history.steps = [
        {"step": i + 1, "elbo": -120.0 + i, "reconstruction": -100.0 + i, "kl": 20.0}
        for i in range(10)
    ]
    return history


def test_curves_show_what_was_measured():
    fig, ax = plot.plt.subplots()
    plot.draw_curves(ax, history_of())
    lines = {line.get_label(): line.get_xydata() for line in ax.get_lines()}
    assert set(lines) == {"ELBO", "reconstruction", "-KL", "validation"}
    assert np.array_equal(lines["ELBO"], [[i + 1, -120 + i] for i in range(10)])
    assert (lines["-KL"][:, 1] == -20).all()
    assert np.array_equal(lines["validation"], [[5, -100], [10, -99]])
    assert ax.get_xlabel() == "step" and ax.get_ylabel() == "nats per image"
    plot.plt.close(fig)
    fig, ax = plot.plt.subplots()
    plot.draw_curves(ax, History())  # stopped before the first point
    plot.plt.close(fig)


def test_a_part_that_no_list_knows_has_a_curve_with_its_models_label():
    rows = [{"step": i, "rate": 2.0 * i, "elbo": -i, "distortion": 1.0 * i} for i in range(1, 4)]
    fig, ax = plot.plt.subplots()
    plot.draw_curves(ax, History(steps=rows, labels={"rate": "rate R(z)", "elbo": "ELBO"}))
    lines = {line.get_label(): list(line.get_ydata()) for line in ax.get_lines()}
    assert lines == {"ELBO": [-1, -2, -3], "rate R(z)": [2, 4, 6]}
    plot.plt.close(fig)
    fig, ax = plot.plt.subplots()
    plot.draw_curves(ax, History(steps=rows))  # nothing is declared: all there is
    assert {line.get_label() for line in ax.get_lines()} == {"rate", "elbo", "distortion"}
    assert len({line.get_color() for line in ax.get_lines()}) == 3
    plot.plt.close(fig)


def test_live_draws_in_a_notebook_one_picture_that_is_updated(monkeypatch):
    class Handle:
        updates = []

        def update(self, image):
            self.updates.append(image)

    first = []
    monkeypatch.setattr(plot, "display", lambda image, display_id: first.append(image) or Handle())
    live, model = plot.Live(samples=10), VAE(2, 8)
    live(model, History())
    assert not first  # nothing to show yet
    torch.manual_seed(1)
    before = torch.get_rng_state()
    live(model, history_of())
    live(model, history_of())
    assert len(first) == 1 and len(Handle.updates) == 1
    assert first[0].data == Handle.updates[0].data  # the samples are those of one fixed set of z
    assert "nats per image: ELBO -111" in first[0].alt and "10 generated images" in first[0].alt
    assert torch.equal(torch.get_rng_state(), before)


def test_live_shows_a_game(monkeypatch):
    shown, axes = [], []
    monkeypatch.setattr(plot, "display", lambda image, display_id: shown.append(image))
    monkeypatch.setattr(
        plot,
        "draw_images",
        lambda ax, x, columns, title: axes.append((tuple(x.shape), columns, title)),
    )
    rows = [{"step": 10 * i, "real": 0.9 - 0.01 * i, "fake": 0.1 + 0.02 * i} for i in range(1, 6)]
    live = plot.Live(
        parts=plot.VERDICTS,
        unit="mean verdict",
        draw=lambda game: torch.rand(6, 784),
        columns=3,
        title="fakes",
    )
    live(None, History(steps=rows, labels=GAN.parts))
    left = live.figure.axes[0]
    assert [list(line.get_ydata()) for line in left.get_lines()] == [
        [row[k] for row in rows] for k in ("real", "fake")
    ]
    assert (left.get_xlabel(), left.get_ylabel()) == ("step", "mean verdict")
    assert axes == [((6, 784), 3, "fakes")]
    assert (
        "50 steps, in mean verdict: D of real ones 0.85, D of fakes 0.2; and 6 generated images"
        in shown[0].alt
    )


def test_live_works_outside_a_notebook(capsys):
    x = (torch.rand(20, 784) < 0.3).float()
    history = fit(VAE(2, 8), x, epochs=1, batch_size=10, live=plot.Live(), progress=False)
    assert history.stopped == "finished"
    assert plot.plt.get_fignums() == []


def test_colours_are_told_apart_in_greyscale_or_by_their_line():
    """The six meanings have six colours, each dark enough on white for a line (contrast 2:1)."""
    colours = [plot.DATA, plot.MODEL, plot.PRIOR, plot.POSTERIOR, plot.NOISE, plot.CRITIC]
    assert len(set(colours)) == 6
    for colour in colours:
        rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        luminance = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ [
            0.2126,
            0.7152,
            0.0722,
        ]
        assert 1.05 / (luminance + 0.05) > 2


@pytest.mark.parametrize(("data_dim", "images"), [(25, True), (3, False)])
def test_live_shows_square_images_of_any_size_and_else_the_curve_alone(
    data_dim, images, monkeypatch
):
    shown = []
    monkeypatch.setattr(plot, "display", lambda image, display_id: shown.append(image))
    x = torch.randn(20, data_dim)
    model = VAE(2, 8, likelihood="gaussian", data_dim=data_dim)
    fit(model, x, epochs=1, batch_size=10, live=plot.Live(), progress=False)
    assert ("generated images" in shown[0].alt) is images


def test_a_row_that_is_no_square_image_is_named():
    assert plot.tile(torch.rand(4, 25), columns=2, gap=0).shape == (10, 10)
    with pytest.raises(ValueError, match="a row of 3 numbers is no square image"):
        plot.tile(torch.rand(4, 3))


@pytest.mark.parametrize("size", [10, 15.5])
@pytest.mark.parametrize(
    "title", ["vamp_conv_hvae", "mmmm mmmm mmmm", "two lines, the\nlonger one is this", "i"]
)
def test_no_title_beside_images_is_cut_off(title, size):
    with plot.plt.rc_context({"font.size": size}):
        fig = plot.images([torch.rand(4, 784)] * 2, 4, ["short", title])
        fig.draw_without_rendering()
        for ax in fig.axes:
            for text in ax.texts:
                box = text.get_window_extent()
                assert box.x0 >= 0 and box.x1 <= ax.get_window_extent().x0 - 0.05 * fig.dpi
    plot.plt.close(fig)


def check_standard_error(plot):
    values = [3.0, -1.0, 4.0, 1.5, 9.0]
    for kind in (list, np.array, torch.tensor, lambda v: torch.tensor(v, dtype=torch.float64)):
        assert plot.standard_error(kind(values)) == pytest.approx(sem(values), rel=1e-6)
    flags = torch.tensor([True, False, True, True])  # shares are means of zeros and ones
    assert plot.standard_error(flags) == pytest.approx(sem(flags.numpy().astype(float)))
    assert np.isnan(plot.standard_error([5.0]))


def test_standard_error():
    check_standard_error(plot)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("values.std()", "values.std(correction=0)"),
        ("/ len(values) ** 0.5", ""),
        ("/ len(values) ** 0.5", "/ (len(values) - 1) ** 0.5"),
        ("if len(values) > 1 else math.nan", "if len(values) > 1 else 0.0"),
    ],
)
def test_a_wrong_standard_error_is_caught(old, new):
    assert not survives(check_standard_error, plot, old, new)


def test_a_mean_and_its_error_in_words():
    values = [999.0, 1001.0, 1003.0, 1005.0]  # mean 1002, standard deviation 2.582
    assert plot.mean_and_error(values) == "1002.0 ± 1.3"
    assert plot.mean_and_error(values, ",.2f") == "1,002.00 ± 1.29"
    assert plot.mean_and_error(values, "+.0f", r"$\pm$") == r"+1002 $\pm$ 1"
    assert plot.mean_and_error([0.25, 0.75], ".0%") == "50% ± 25%"
    assert plot.value_and_error(-2.5, 0.26, "+.1f") == "-2.5 ± 0.3"
    assert plot.value_and_error(2.0, float("nan"), ".2f") == "2.00"  # a single run


def test_lines_findings_and_claims_are_markdown(shown):
    plot.markdown("| a |", "|:--|", "| 1 |")
    plot.measured("it falls by 2")
    plot.on_request("More", "two", "lines")
    plot.claims_table({3: "it helps", 5: "it draws"}, {"claim-5": "yes", "claim-3": "by 2 ± 1"})
    assert [data["text/markdown"] for data, _ in shown] == [
        "| a |\n|:--|\n| 1 |",
        "**Measured.** It falls by 2.",
        "<details><summary>More</summary>\n\ntwo\nlines\n\n</details>",
        "| the lecture says | you measured |\n|:--|:--|\n"
        "| it helps | by 2 ± 1 |\n| it draws | yes |",
    ]


def test_progress_counts_on_standard_output(capsys):
    assert list(plot.progress("abc", desc="letters")) == ["a", "b", "c"]
    bar = plot.progress(desc="steps", total=7)
    bar.update(5)
    bar.close()
    out, err = capsys.readouterr()
    assert "letters |" in out and "| 3/3" in out and "| 5/7" in out and not err


def test_the_hidden_ticks_of_an_inset_overlap_nothing():
    fig, ax = plot.plt.subplots(figsize=(3, 2))
    plot.draw_images(ax.inset_axes([0.02, 0.7, 0.3, 0.3]), torch.rand(1, 784), 1)
    assert plot.overlapping_texts(fig) == []
    for word in ("one", "other"):
        ax.text(0.5, 0.5, word)
    assert plot.overlapping_texts(fig) == [("one", "other")]
