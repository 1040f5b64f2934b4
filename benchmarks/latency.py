"""From a key press to its picture in JupyterLab: the latent-space traversal against `interact` with
an inline figure.

    python benchmarks/latency.py [--presses 60]

One notebook, one VAE with 40 latent dimensions (784 pixels, 300 gated units a layer), one Chromium;
blocks of presses of the two alternate. Clocks run in the page, from the key event's own time stamp:
    changed until the pixels on the canvas (or the figure's image) are other ones; shown until the
    frame with them has been drawn: never less than what is left of the 16.7 ms of a frame.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "browser"))
from conftest import Lab, Server, chromium  # noqa: E402

OURS = """
import torch
from dgmcourse.models import VAE
from dgmcourse.widgets.latent import latent_traversal
torch.manual_seed(0)
torch.set_num_threads(1)
model = VAE(40).half().float()
for parameter in model.parameters():
    parameter.data *= 2  # an untrained network hardly answers
latent_traversal(model)
"""
INTERACT = """
%matplotlib inline
import ipywidgets, matplotlib.pyplot as plt
def picture(value=0.0):
    z = torch.zeros(40)
    z[0] = value
    with torch.no_grad():
        x = model.decoder(z).mean
    plt.figure(figsize=(2.24, 2.24))
    plt.imshow(x.view(28, 28), cmap="gray_r")
    plt.axis("off")
    plt.show()
ipywidgets.interact(picture, value=ipywidgets.FloatSlider(min=-3, max=3, step=0.01, value=-3))
"""
# Watches from the key event on; `look` returns something that differs when the picture does.
WATCH = """([name, look]) => {
    const see = eval(look), presented = () => new Promise((done) => requestAnimationFrame(() => {
        const channel = new MessageChannel(); // its message comes after the frame has been painted
        channel.port1.onmessage = () => done(performance.now());
        channel.port2.postMessage(0);
    }));
    window[name] = () => new Promise((done) => {
        const before = see();
        addEventListener('keydown', (event) => {
            const start = event.timeStamp;
            const poll = async () => {
                if (see() === before) return void setTimeout(poll, 0);
                const changed = performance.now();
                done([changed - start, await presented() - start]);
            };
            queueMicrotask(poll);
        }, { once: true, capture: false });
    });
}"""
CANVAS = """() => { const c = document.querySelector('.dgm-latent .picture');
    return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.join(); }"""
FIGURE = (
    "() => { const i = document.querySelector('.widget-output img'); return i?.complete ? i.src :"
    " window.last; }"
)


def measure(page, name, presses):
    """(presses, 2) milliseconds: changed, shown."""
    times = []
    for k in range(presses):
        page.evaluate(f"() => {{ window.result = window.{name}(); }}")
        page.keyboard.press("ArrowRight" if k % 20 < 10 else "ArrowLeft")
        times.append(page.evaluate("() => window.result"))
        page.wait_for_timeout(37)  # not in step with the frames
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--presses", type=int, default=60, help="per widget")
    presses = parser.parse_args().presses
    from playwright.sync_api import sync_playwright

    server = Server(Path(tempfile.mkdtemp()))
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=chromium.find(), args=chromium.FLAGS
            )
            lab = Lab(server, browser)
            page = lab.open([OURS, INTERACT])
            lab.run_all()
            page.wait_for_selector(".dgm-latent")
            page.wait_for_selector(".widget-output img")
            page.evaluate(WATCH, ["pressOurs", CANVAS])
            page.evaluate(WATCH, ["pressInteract", FIGURE])
            places = {"pressOurs": ".dgm-latent .pad", "pressInteract": ".noUi-handle"}
            times = {name: [] for name in places}
            for block in range(4):  # of which the first warms up
                for name, place in places.items():
                    page.locator(place).focus()
                    block_times = measure(page, name, presses // 3)
                    times[name] += block_times if block else []
            decode = page.evaluate("""() => {
                const { decode } = document.querySelector('.dgm-latent'), z = new Float32Array(40), times = [];
                for (let k = 0; k < 300; k++) {
                    z[k % 40] = Math.sin(k);
                    const start = performance.now();
                    for (let r = 0; r < 5; r++) decode(z); // the page's clock has steps of 0.1 ms
                    times.push((performance.now() - start) / 5);
                }
                return times; }""")
            browser.close()
    finally:
        server.stop()
    row = "{:44s}{:>9.1f}{:>9.1f}".format
    print(f"{'ms, ' + str(presses // 3 * 3) + ' key presses each':44s}{'median':>9s}{'95th %':>9s}")
    for name, title in (
        ("pressOurs", "traversal, 40 dimensions"),
        ("pressInteract", "interact, inline figure"),
    ):
        for k, what in enumerate(("changed", "shown")):
            print(row(f"{title}: {what}", *np.quantile(np.array(times[name])[:, k], (0.5, 0.95))))
    print(row("decoding alone, in JavaScript", *np.quantile(decode, (0.5, 0.95))))


if __name__ == "__main__":
    main()
