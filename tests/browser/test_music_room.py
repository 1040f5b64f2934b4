"""The room of music in a page of its own: what JavaScript computes is what torch computes; one
plays, stops, writes a melody by mouse and by keyboard, and no kernel is there.
"""

import base64
import json

import numpy as np
import pytest
import torch
from pages import controls, cut_off

from dgmcourse.data.music import SIZES, encode, known_voices
from dgmcourse.models.vrnn import ChoraleRNN, ChoraleVRNN
from dgmcourse.widgets import esm
from dgmcourse.widgets.music import music, notes

PIECE = torch.tensor([[72, 67, 64, 48]] * 4 + [[74, 67, 65, 47]] * 2 + [[72, 0, 64, 48]] * 10)
SHOW = """async ([source, css, spec, bytes]) => {
    const module = await import('data:text/javascript;base64,' + source);
    const numbers = Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0));
    const values = { _spec: spec, _numbers: new DataView(numbers.buffer) };
    const model = { get: (name) => values[name], on() {}, off() {}, send() {} };
    document.head.append(Object.assign(document.createElement('style'), { textContent: css }));
    const el = document.body.appendChild(document.createElement('div'));
    const widget = module.default();
    widget.initialize({ model });
    window.music = module;
    window.ended = await widget.render({ model, el });
}"""


def models():
    torch.manual_seed(3)
    made = {
        "VRNN": ChoraleVRNN(SIZES, 3, 8, 6).half().float().eval(),
        "RNN": ChoraleRNN(SIZES, 8, 6).half().float().eval(),
    }
    for model in made.values():
        model.decoder.net[-1].weight.data *= 3  # untrained ones hardly prefer anything
    return {name: model.half().float() for name, model in made.items()}


@pytest.fixture(scope="module")
def page(browser):
    page = browser.new_page(viewport={"width": 900, "height": 700})
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    w = music(
        {"a piece": PIECE, "a melody": PIECE * torch.tensor([1, 0, 0, 0])}, models(), steps=16
    )
    encoded = (
        base64.b64encode(part).decode() for part in (esm("networks", "music").encode(), w._numbers)
    )
    source, numbers = encoded
    page.evaluate(SHOW, [source, w._css, json.loads(json.dumps(w._spec)), numbers])
    yield page
    page.close()
    assert errors == []


def piece(page):
    return page.evaluate("document.querySelector('.dgm-music').piece()")


def picture(page):
    return page.evaluate("document.querySelector('.dgm-music canvas').toDataURL()")


def caption(page):
    return page.locator(".dgm-music .caption").inner_text()


def press(page, name):
    page.get_by_role("button", name=name).press("Enter")


def sounding(page):
    return page.evaluate("!!document.querySelector('.dgm-music').sounding()")


@pytest.mark.parametrize("name", ["VRNN", "RNN"])
def test_a_step_is_that_of_torch(page, name):
    """log p of each class given the state and z, after some steps that were read with given z."""
    model, x = models()[name], encode(PIECE)
    classes = [[int(part.argmax()) for part in step.split(SIZES)] for step in x]
    d = 3 if name == "VRNN" else 0
    z = torch.randn(len(x), d)
    run = """([name, steps, zs]) => {
        const m = document.querySelector('.dgm-music').players[name];
        let h = m.start();
        return steps.map((x, t) => {
            const z = zs[t].length ? Float32Array.from(zs[t]) : null, log_p = Array.from(m.predict(h, z));
            h = m.advance(h, x, z);
            return log_p;
        }); }"""
    found = np.array(page.evaluate(run, [name, classes, z.tolist()]))
    h, expected = model.start((1,)), []
    with torch.no_grad():
        for step, z_t in zip(x, z, strict=True):
            given = torch.cat([z_t[None], h], -1) if d else h
            expected.append(model.decoder(given).log_probs[0])
            h = model.advance(h, step[None], z_t[None])
    assert np.abs(found - torch.stack(expected).numpy()).max() < 1e-4


def test_priors_and_posteriors_have_torchs_moments(page):
    model, x = models()["VRNN"], encode(PIECE)
    run = """([steps, n]) => {
        const m = document.querySelector('.dgm-music').players.VRNN;
        let h = m.start();
        const draws = (f) => Array.from({ length: n }, () => Array.from(f()));
        return [draws(() => m.prior(h)), draws(() => m.posterior(h, steps[0]))]; }"""
    classes = [[int(part.argmax()) for part in x[0].split(SIZES)]]
    found = np.array(page.evaluate(run, [classes, 4000]))
    h = model.start((1,))
    with torch.no_grad():
        q = model.encoder(torch.cat([model.phi_x(x[:1]), h], -1))
        for draws, density in zip(found, (model.prior(h), q), strict=True):
            mean, std = density.mean[0].numpy(), (0.5 * density.log_var[0]).exp().numpy()
            assert np.abs(draws.mean(0) - mean).max() < 0.1 * std.max() + 1e-3
            assert np.abs(draws.std(0) / std - 1).max() < 0.1


def test_harmonising_weighs_as_torch_does(page):
    """The share of each first chord among many particles is that of `complete`."""
    model = models()["RNN"]
    x = encode(PIECE[:1])
    soprano = int(x[0, : SIZES[0]].argmax())
    run = """async ([s, n]) => (await Promise.all(Array.from({ length: n }, () =>
        window.music.harmonised(document.querySelector('.dgm-music').players.RNN, [s], 3)))).map((x) => x[0])"""
    found = torch.tensor(page.evaluate(run, [soprano, 1500]))
    assert (found[:, 0] == soprano).all()
    drawn, _ = model.complete(x, known_voices(0), 20000)
    for v, part in enumerate(drawn[:, 0].split(SIZES, -1)):
        share = torch.bincount(found[:, v], minlength=SIZES[v]) / len(found)
        assert (share - part.mean(0)).abs().max() < 0.07


def test_one_plays_and_stops(page):
    assert not sounding(page)
    press(page, "Play")
    assert sounding(page)
    before = picture(page)
    page.wait_for_function(
        "(b) => document.querySelector('.dgm-music canvas').toDataURL() !== b", arg=before
    )
    press(page, "Stop")
    assert not sounding(page)
    page.locator(".dgm-music canvas").press(" ")
    assert sounding(page)
    page.locator(".dgm-music canvas").press(" ")
    assert not sounding(page)


LISTEN = """() => {
    window.tones = [];
    const Real = window.AudioContext;
    window.AudioContext = class extends Real {
        constructor() { super(); window.context = this; window.ear = this.createAnalyser(); }
        createGain() { const gain = super.createGain(); if (!window.ear.fed) { window.ear.fed = true; gain.connect(window.ear); } return gain; }
        createOscillator() {
            const tone = super.createOscillator(), start = tone.start.bind(tone);
            tone.start = (at) => { window.tones.push([at, tone.frequency.value]); start(at); };
            return tone;
        }
    };
    return () => { window.AudioContext = Real; };
}"""
LOUD = """() => {
    const wave = new Float32Array(window.ear.fftSize);
    window.ear.getFloatTimeDomainData(wave);
    return Math.max(...wave.map(Math.abs)) > 0.01;
}"""


def test_each_note_sounds_at_its_time_and_pitch_until_stopped(page):
    page.get_by_role("combobox", name="piece").select_option("a piece")
    listening = page.evaluate_handle(LISTEN)
    press(page, "Play")
    page.wait_for_function(LOUD)
    tones = np.array(page.evaluate("window.tones"))
    expected = [(0.3 * t, 440 * 2 ** ((p - 69) / 12)) for _, t, _, p in notes(PIECE)]
    begin = tones[:, 0].min()
    assert len(tones) == len(expected) and begin > 0
    assert np.abs(tones - [begin, 0] - expected).max() < 0.01
    press(page, "Stop")
    page.wait_for_function("window.context.state === 'closed'")
    listening.evaluate("(restore) => restore()")


def test_it_draws_and_goes_on(page):
    page.get_by_role("combobox", name="piece").select_option("a piece")
    page.get_by_role("radio", name="VRNN", exact=True).check()
    press(page, "Go on")
    assert piece(page)[:8] == PIECE[:8].tolist() and len(piece(page)) == 16
    assert "by the VRNN" in caption(page)
    page.get_by_role("radio", name="RNN", exact=True).check()
    before = piece(page)
    press(page, "Draw")
    assert piece(page) != before and caption(page) == "drawn by the RNN"


def test_a_melody_by_keyboard_is_harmonised(page):
    press(page, "Clear")
    canvas = page.locator(".dgm-music canvas")
    canvas.focus()
    for key in ("Enter", "Enter", "ArrowUp", "ArrowRight", "ArrowDown", "ArrowRight", "Enter"):
        canvas.press(key)
    soprano = [row[0] for row in piece(page)]
    assert soprano[:5] == [72, 72, 73, 72, 72] and not any(soprano[5:])
    press(page, "Harmonise")
    page.wait_for_function(
        "document.querySelector('.dgm-music .caption').textContent.includes('harmonised by')"
    )
    assert [row[0] for row in piece(page)] == soprano
    assert any(any(row[1:]) for row in piece(page))
    canvas.focus()
    canvas.press("ArrowLeft")
    canvas.press("Delete")
    assert [row[0] for row in piece(page)] != soprano


def test_a_melody_by_mouse(page):
    press(page, "Clear")
    box = page.locator(".dgm-music canvas").bounding_box()
    page.mouse.click(box["x"] + 200, box["y"] + 40)
    notes = [row[0] for row in piece(page) if row[0]]
    assert len(notes) == 1 and 70 < notes[0] <= 84
    page.mouse.click(box["x"] + 200, box["y"] + 40)
    assert not any(row[0] for row in piece(page))


def test_without_a_soprano_it_says_so(page):
    press(page, "Clear")
    press(page, "Harmonise")
    assert "no soprano yet" in caption(page)


def test_every_control_has_a_name_and_nothing_is_cut_off(page):
    found = controls(page, ".dgm-music")
    assert {"button", "radio", "combobox"} <= {role for role, _ in found}
    assert [role for role, name in found if not name.strip()] == []
    for width in (900, 470):
        page.set_viewport_size({"width": width, "height": 700})
        page.wait_for_timeout(200)
        assert cut_off(page, ".dgm-music") == []
    page.set_viewport_size({"width": 900, "height": 700})


def test_the_end_is_silent(page):
    """The last test of this page."""
    page.get_by_role("combobox", name="piece").select_option("a piece")
    press(page, "Play")
    page.evaluate("window.ended()")
    assert not sounding(page)
