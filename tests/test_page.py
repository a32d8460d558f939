"""The page that examples/main.py leaves, as Chromium sees it from file://.

Needs a Chromium of the system's: elsewhere these tests skip.
"""

import importlib
import shutil
from pathlib import Path

import numpy as np
import pytest

from midi.utils import midiread, midiwrite

EXAMPLES = Path(__file__).parents[1] / "examples"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
R, DT, STEPS = (50, 62), 0.25, 30
PLAY = """async audio => {
    audio.muted = true;
    await audio.play();
    while (audio.currentTime < 0.1)
        await new Promise(done => setTimeout(done, 20));
    audio.pause();
}"""
LOADED = "image => image.complete && image.naturalWidth > 0"
CAN_PLAY = "audio => audio.readyState >= 3 || audio.error"  # HAVE_FUTURE_DATA


@pytest.fixture(scope="module")
def browser():
    """Return a headless Chromium, the one that is installed here."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not there")
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f"none of {', '.join(NAMES)} is there: apt-get install chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, timeout=120_000)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return the folder of a run that made two tunes, without the run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        main = importlib.import_module("main")
    folder = tmp_path_factory.mktemp("a folder & 50%")
    arguments = ["--out", str(folder), "--range", *map(str, R), "--dt", str(DT)]
    arguments += ["--sizes", "5", "4", "3", "--seed", "3", "--temperature", "0.5", "2"]
    options = main.make_parser().parse_args(arguments)
    options.command = main.typed_command(arguments)
    model = main.make_model(options)
    model.instantaneousCost = [10 / (n + 1) for n in range(60)]
    roll = np.random.default_rng(0).choice([0, 0, 0, 1], (STEPS, 12))
    midiwrite(folder / "tune.mid", roll, R, DT)
    original = midiread(folder / "tune.mid", R, DT, steps=STEPS)
    made = {
        "0.5": main.Generated(roll[:20], roll[:20] / 2, []),
        "2": main.Generated(roll[5:], roll[5:] / 2, ["it got <stuck>"]),
    }
    main.write_results(model, original, [original], made, options)
    return folder


def open_page(browser, folder):
    """Open index.html; return the page and what it complained of on its way."""
    page = browser.new_page(viewport={"width": 1000, "height": 800})
    page.set_default_timeout(120_000)  # ms: for a machine with much else to do
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto((folder / "index.html").as_uri(), wait_until="load")
    return page, complaints


def test_page_shows_its_pictures_and_complains_of_nothing(browser, folder):
    """Fails if a picture is not there or broken, or if anything is on the console."""
    page, complaints = open_page(browser, folder)
    pictures = page.locator("img")
    assert pictures.count() == 6
    for picture in pictures.all():
        assert picture.evaluate(LOADED), picture.get_attribute("src")
        assert picture.bounding_box()["width"] > 500
    assert page.locator("text=it got <stuck>").count() == 1
    assert complaints == []
    page.close()


def test_page_plays_its_tunes(browser, folder):
    """Fails if a sound cannot be decoded, is of another length, or stands still."""
    page, complaints = open_page(browser, folder)
    tunes = page.locator("audio").all()
    assert len(tunes) == 3
    for tune, steps in zip(tunes, (STEPS, 20, STEPS - 5), strict=True):
        handle = tune.element_handle()
        page.wait_for_function(CAN_PLAY, arg=handle)
        assert tune.evaluate("audio => audio.error && audio.error.message") is None
        assert tune.evaluate("audio => audio.duration") == pytest.approx(steps * DT)
        tune.evaluate(PLAY)
    assert complaints == []
    page.close()


def test_page_fits_a_narrow_window(browser, folder):
    """Fails if a long command or path makes a telephone scroll sideways."""
    page, _ = open_page(browser, folder)
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.close()


def test_what_is_broken_is_seen(browser, folder, tmp_path):
    """The same looks at a page with a picture missing and a sound that is none."""
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    (broken / "cost.png").unlink()
    (broken / "original.wav").write_bytes(b"RIFF, but no sound")
    page, complaints = open_page(browser, broken)
    seen = [picture.evaluate(LOADED) for picture in page.locator("img").all()]
    assert sorted(seen) == [False, *[True] * 5]
    tune = page.locator("audio").first.element_handle()
    page.wait_for_function(CAN_PLAY, arg=tune)
    assert tune.evaluate("audio => audio.error !== null")
    assert any("cost.png" in text or "ERR_FILE" in text for text in complaints)
    page.close()
