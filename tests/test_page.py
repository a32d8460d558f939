"""The page that examples/main.py writes: what it shows, plays and says.

The tests that open it in Chromium, from file://, skip if none is installed.
"""

import html
import os
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from journeys import DT, R, load_module
from matplotlib.image import imread
from pages import (
    STEPS,
    files_in,
    make_model,
    make_original,
    make_roll,
    named,
    page_of,
    words,
    write,
    write_tunes,
)

from midi import RollArray, RollFormat

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PLAY = """async audio => {
    audio.muted = true;
    await audio.play();
    while (audio.currentTime < 0.1)
        await new Promise(done => setTimeout(done, 20));
    audio.pause();
}"""
LOADED = "image => image.complete && image.naturalWidth > 0"
CAN_PLAY = "audio => audio.readyState >= 3 || audio.error"  # HAVE_FUTURE_DATA
NO_PICTURES = pytest.mark.usefixtures("no_pictures", "no_sounds")


@pytest.fixture(scope="module")
def browser():
    """Return the system's Chromium, headless."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is missing")
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(
            f"none of {', '.join(NAMES)} is installed: apt-get install chromium"
        )
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, timeout=120_000)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return the folder of a page about two generated tunes."""
    folder = tmp_path_factory.mktemp("a folder & 50%")
    write(folder, temperatures=("0.5", "2"))
    return folder


def open_page(browser, folder):
    """Open index.html; return the page and the list of its errors."""
    page = browser.new_page(viewport={"width": 1000, "height": 800})
    page.set_default_timeout(120_000)  # ms: for a busy machine
    errors = []
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((folder / "index.html").as_uri(), wait_until="load")
    return page, errors


def test_page_shows_its_pictures_without_errors(browser, folder):
    """Fails if a picture is missing or broken, or if the console has a message."""
    page, errors = open_page(browser, folder)
    pictures = page.locator("img")
    assert pictures.count() == 7
    for picture in pictures.all():
        assert picture.evaluate(LOADED), picture.get_attribute("src")
        assert picture.bounding_box()["width"] > 500
    assert page.locator("text=it got <stuck>").count() == 1
    assert errors == []
    page.close()


def test_page_plays_its_tunes(browser, folder):
    """Fails if a sound cannot be decoded, has another length, or does not play."""
    page, errors = open_page(browser, folder)
    tunes = page.locator("audio").all()
    assert len(tunes) == 3
    for tune, steps in zip(tunes, (STEPS, STEPS, STEPS - 5), strict=True):
        handle = tune.element_handle()
        page.wait_for_function(CAN_PLAY, arg=handle)
        assert tune.evaluate("audio => audio.error && audio.error.message") is None
        assert tune.evaluate("audio => audio.duration") == pytest.approx(steps * DT)
        tune.evaluate(PLAY)
    assert errors == []
    page.close()


SEEK = """async ([audio, to]) => {
    audio.currentTime = to;
    await new Promise(done => audio.addEventListener("seeked", done, {once: true}));
    await new Promise(requestAnimationFrame);
}"""
WHERE = """line => {
    const box = line.parentElement.getBoundingClientRect();
    const own = line.getBoundingClientRect();
    return [(own.left + own.right) / 2 - box.left, own.top - box.top,
            own.bottom - box.top, box.width, box.height];
}"""


def frames(name, folder):
    """Return left, right, top and bottom of each axes' frame, as shares of a picture.

    A frame is the black lines that no roll is long enough for.
    """
    grey = imread(folder / name)[..., :3].mean(axis=2)
    height, width = grey.shape
    across = np.flatnonzero((grey < 0.2).mean(axis=1) > 0.8)
    tops = across[np.diff(across, prepend=-9) > 2]
    found = []
    for top, bottom in tops.reshape(-1, 2):
        inside = (grey[top:bottom] < 0.2).all(axis=0)
        left, right = np.flatnonzero(inside)[[0, -1]]
        found.append((left / width, right / width, top / height, bottom / height))
    return found


@pytest.mark.parametrize("width", [390, 1280])
def test_a_line_moves_over_each_roll_while_it_sounds(browser, folder, width):
    """Fails if the line stands at another time than the sound, or over another roll."""
    page, errors = open_page(browser, folder)
    page.set_viewport_size({"width": width, "height": 844})
    lines = page.locator("section i")
    assert [line.is_visible() for line in lines.all()] == [False] * 5
    sections = page.locator("section:has(audio)").all()
    pictures = (
        ["original.png"],
        *([f"rolls-{t}.png", f"probabilities-{t}.png"] for t in ("0.5", "2")),
    )
    for section, names in zip(sections, pictures, strict=True):
        audio = section.locator("audio")
        page.wait_for_function(CAN_PLAY, arg=audio.element_handle())
        audio.evaluate(PLAY)
        audio.evaluate("audio => new Promise(requestAnimationFrame)")
        for seek in (None, 1.0, 4.5):
            if seek is not None:  # the sound is paused, the line moves nevertheless
                page.evaluate(SEEK, [audio.element_handle(), seek])
            time = audio.evaluate("audio => audio.currentTime")
            assert seek is None or time == seek
            for line, name in zip(section.locator("i").all(), names, strict=True):
                x, top, bottom, whole, height = line.evaluate(WHERE)
                left, right, above, below = frames(name, folder)[-1]
                # The primer is 20 steps, the longer of the pictures' rolls 30 + 20.
                steps = STEPS if name == "original.png" else shown_steps(name)
                first = 0 if name == "original.png" else 20
                expected = left + (right - left) * (first + time / DT) / steps
                late = 0 if seek is not None else 0.1 * (right - left)
                assert expected - late - 0.004 < x / whole < expected + 0.004
                assert top / height == pytest.approx(above, abs=0.01)
                assert bottom / height == pytest.approx(below, abs=0.01)
                box = line.locator("xpath=../..").bounding_box()
                at = line.bounding_box()["x"]
                assert box["x"] - 2 <= at <= box["x"] + box["width"], "out of sight"
    assert errors == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


def shown_steps(name):
    """Return the steps on the time axis of a generated tune's picture."""
    return 20 + (STEPS if "0.5" in name else STEPS - 5)


def test_the_line_ends_where_the_picture_does(browser, tmp_path):
    """Fails if the line of a tune that goes on runs over the margin."""
    write(tmp_path, roll=make_roll(200))
    page, _ = open_page(browser, tmp_path)
    section = page.locator("section:has(audio)").first
    audio = section.locator("audio").element_handle()
    page.wait_for_function(CAN_PLAY, arg=audio)
    seen = []
    for seek in (1, 37, 38, 49, 2):  # 150 of 200 steps are shown, 37.5 s
        page.evaluate(SEEK, [audio, seek])
        seen.append(section.locator("i").is_visible())
    assert seen == [True, True, False, False, True]
    page.close()


def test_without_javascript_the_page_shows_and_plays_all(browser, folder):
    """Fails if a line stands still on a page that cannot move it."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((folder / "index.html").as_uri())
    assert page.locator("audio[controls]").count() == 3
    assert page.locator("img").count() == 7
    lines = page.locator("section i").all()
    assert len(lines) == 5
    assert not any(line.is_visible() for line in lines)
    context.close()


@NO_PICTURES
def test_a_page_in_beats_says_beats(tmp_path):
    """Fails if beats are called seconds."""
    format = RollFormat(R, DT, "beats")
    roll = RollArray.of(make_roll(400), format)
    tune = SimpleNamespace(name="t", piano_roll=roll, format=format)
    generated = {"1": (np.asarray(roll), roll / 2, [])}
    more = ["--primer", "20", "--unit", "beats"]
    write_tunes(tmp_path, [tune, tune], generated, more)
    text = " ".join(words(page_of(tmp_path)).split())
    assert "its first 20 steps, 5 beats, and continued" in text
    assert "The original, the first 37.5 beats of 100 beats." in text
    assert "up to the orange line at 5 beats, and after it what" in text
    assert re.search(r"held longest \S+, [\d.]+ beats", text)
    sounding = np.asarray(roll).any(axis=1).sum()
    longest = (
        f"longest run that occurs in the training data in any key {sounding} steps"
    )
    assert longest in text


def test_page_fits_a_narrow_window(browser, folder):
    """Fails if a long command or path makes a phone scroll sideways."""
    page, _ = open_page(browser, folder)
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.close()


def test_broken_files_are_detected(browser, folder, tmp_path):
    """Fails if the checks above pass a missing picture or a sound that is none."""
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    (broken / "cost.png").unlink()
    (broken / "original.wav").write_bytes(b"RIFF, but no sound")
    page, errors = open_page(browser, broken)
    seen = [picture.evaluate(LOADED) for picture in page.locator("img").all()]
    assert sorted(seen) == [False, *[True] * 6]
    tune = page.locator("audio").first.element_handle()
    page.wait_for_function(CAN_PLAY, arg=tune)
    assert tune.evaluate("audio => audio.error !== null")
    assert any("cost.png" in text or "ERR_FILE" in text for text in errors)
    page.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_numbers_and_letters_are_legible(browser, folder, width):
    """Fails if a number wraps, or if the letters of a picture are under 10 pixels.

    They have 10 points, at 120 pixels to the inch.
    """
    page, _ = open_page(browser, folder)
    page.set_viewport_size({"width": width, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    row = page.locator(".numbers tr", has_text="notes per step")
    line = row.bounding_box()["height"]
    for cell in page.locator(".numbers td").all():
        text = cell.evaluate(
            "cell => { const range = document.createRange();"
            "range.selectNodeContents(cell); return range.getClientRects().length }"
        )
        assert text == 1, cell.inner_text()
    assert line < 40
    for picture in page.locator("img").all():
        scale = picture.bounding_box()["width"] / picture.evaluate(
            "p => p.naturalWidth"
        )
        assert scale * 10 / 72 * 120 > 10, picture.get_attribute("src")
    page.close()


@NO_PICTURES
def test_captions_say_what_the_pictures_show(tmp_path):
    """Fails if an excerpt is passed off as the whole tune, or if units are missing."""
    arguments = ["--primer", "20", "--threshold", "0.05"]
    write(tmp_path, roll=make_roll(400), arguments=arguments)
    text = " ".join(words(page_of(tmp_path)).split())
    assert "the first 37.5 s of 100 s. Below: the primer, up to the orange line" in text
    assert (
        "at 5 s, and after it what the network wrote, the first 37.5 s of 105" in text
    )
    assert "begin after the primer, where the orange line stands" in text
    assert "below the threshold of 0.05 are drawn as 0" in text
    assert "The cost of each update, in nats per step" in text
    assert "a share is the mean over tunes" in text
    assert "data set" not in text
    write(tmp_path, arguments=["--threshold", "0"])
    text = words(page_of(tmp_path))
    assert "threshold of" not in text
    assert "the original, all 7.5 s." in text


@NO_PICTURES
def test_tune_and_probabilities_have_the_same_scales(tmp_path, monkeypatch):
    """Fails if the two pictures do not line up."""
    results, scales = load_module("results"), {}
    draw = results.Files.draw

    def note_scales(files, part, ax, name, *others):
        scales[name] = *ax.get_xlim(), *ax.get_ylim()
        draw(files, part, ax, name, *others)

    monkeypatch.setattr(results.Files, "draw", note_scales)
    roll = make_roll(40)
    roll[:, :4] = roll[:, 9:] = 0
    roll[0, 9] = 1  # in the original alone
    write(tmp_path, roll=roll, temperatures=("1", "2"))
    assert scales["rolls-2.png"] == scales["probabilities-2.png"]
    assert scales["rolls-2.png"] == (0, 55 * DT, R[0] - 0.5, R[0] + 11.5)


def test_page_has_the_shares_of_harmony_and_melody(folder):
    """Fails if a share is wrong, or lacks that of the training data beside it."""
    table = re.search(
        '<table class="numbers">(.*?)</table>', page_of(folder), re.DOTALL
    )
    rows = re.findall("<tr><th>(.*?)</th>(.*?)</tr>", table[1])
    cells = {name: re.findall("<td>(.*?)</td>", cells) for name, cells in rows}
    assert cells[""] == ["original", "generated-0.5", "generated-2", "training data"]
    assert len(cells) == 15
    silent = np.mean(~make_roll().any(axis=1))
    assert cells["silent steps"][0] == f"{silent:.1%}"
    assert "pitches" in cells
    assert cells["steps with exactly 4 notes"][0].endswith("%")
    for what in ("chords", "stretches of 8 steps"):
        known = cells[f"{what} that occur in the training data"]
        assert known == ["100.0%"] * 3 + ["0.0%"]
    for name in ("notes of one step", "moves of the top line of over 7 semitones"):
        assert len(cells[name]) == 4


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        (
            {},
            "Trained for 60 updates; cost per step: 10.00 nats at first, 0.20 nats in",
        ),
        ({"costPerStep": [3.0]}, "Trained for 1 update; cost per step: 3.00 nats at"),
        ({"costPerStep": []}, "Not trained."),
        ({"trainingOver": False}, "60 updates, stopped before its end; cost"),
        ({"cost": "squared-error"}, "10.00 halved squares at first"),
        ({"costPerStep": [np.nan] * 7}, "7 updates; cost per step: not known."),
        ({"costPerStep": [np.nan, 4, 2]}, "not known at first, 3.00 nats in the end."),
    ],
)
def test_summary_is_true(attributes, said):
    assert said in load_module("results").summary(make_model(**attributes), False)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (True, "It was among the tunes trained on."),
        (False, "This tune was not trained on (as read with this --dt and --range)."),
        (None, "Whether it was trained on this tune is not known: the parameter file"),
    ],
)
@NO_PICTURES
def test_page_says_whether_it_was_trained_on_the_original(tmp_path, answer, said):
    """Fails if the tunes of this run pass for those trained on."""
    asked = []

    def answer_about(tune):
        asked.append(Path(tune.name).name)
        return answer

    model = make_model(wasTrainedOn=answer_about)
    write(tmp_path, model, arguments=["--epochs", "0"], name="asked.mid")
    assert said in page_of(tmp_path)
    assert set(asked) == {"asked.mid"}
    tunes = "training data" if answer else "other tunes"
    assert f"<th></th><td>original</td><td>generated</td><td>{tunes}</td>" in page_of(
        tmp_path
    )


@NO_PICTURES
def test_page_shows_each_training(tmp_path):
    """Fails if a second run hides the training before it."""
    trainings = [
        {"command": "main.py --epochs '5\n'", "updates": 5, "rates": [0.25, 0.5]},
        {"command": None, "updates": 55, "lengthOfMB": None},
    ]
    write(tmp_path, make_model(trainings=trainings), arguments=["--epochs", "0"])
    page = page_of(tmp_path)
    how, repeat = page.split("How it was trained")[1].split("To repeat this")
    first, second = how.split("Training 2 of 2")
    assert (
        html.unescape(re.search("<pre>(.*?)</pre>", first, re.DOTALL)[1])
        == (trainings[0]["command"])
    )
    assert "<tr><th>rates</th><td>0.25 0.5</td></tr>" in first
    assert "<pre>" not in second
    assert "<tr><th>updates</th><td>55</td></tr>" in second
    assert "--epochs 0" in repeat
    assert f"--out {tmp_path}" in repeat
    write(tmp_path, make_model(trainings=[], costPerStep=[np.nan] * 3))
    text = words(page_of(tmp_path))
    assert "Its cost per step is not in the parameter file." in text
    assert "Its settings are not in the parameter file." in text
    assert "cost.png" not in page_of(tmp_path)


@NO_PICTURES
def test_one_tune_is_counted_once(tmp_path):
    """Fails if a single tune, both primer and training data, counts twice."""
    write(tmp_path)
    assert f"1 tune, {STEPS} steps, SHA-256" in page_of(tmp_path)


def test_settings_are_the_options_alone(tmp_path):
    """Fails if an attribute that main.py adds to its options passes for an option."""
    main, page = load_module("journey"), load_module("page")
    options = main.make_parser().parse_args([])
    options.internal, options.command = object(), "main.py"
    used = page.settings(make_model(), make_original(make_roll()), [], options)
    assert "--internal" not in used
    assert "--command" not in used
    assert used["--steps"] == 300


NAMES_OF_FILES = [
    os.fsdecode(b"caf\xe9.npz"),
    "<b>&amp;\"'.npz",
    "$summary ${parts} $.npz",
    "a\nb\x1b[31m\u202e\u2028.npz",
    "http:x?y#z %41.npz",
    "日本 é.npz",
]


@pytest.mark.skipif(os.name == "nt", reason="Windows forbids such names")
@pytest.mark.parametrize("name", NAMES_OF_FILES)
@NO_PICTURES
def test_any_name_can_be_on_the_page(tmp_path, monkeypatch, name):
    """Fails if a file's name raises an error, or if its link is wrong."""
    out = tmp_path / name.removesuffix(".npz")
    out.mkdir()
    (out / name).write_bytes(b"")
    monkeypatch.chdir(out)
    arguments = ["--midi", str(out), "--save", str(out / name)]
    model = make_model(trainings=[{"command": f"main.py --load {name}", "updates": 60}])
    printed = write(out, model, arguments=arguments, name=name)
    printed.encode("utf-8")
    page = page_of(out)
    assert files_in(out) == named(page) | {"index.html"}
    seen = html.unescape(re.search("<h2>The original: (.*?)</h2>", page)[1])
    assert seen == re.sub(
        "[\udce9\n\x1b\u202e\u2028]", "\N{REPLACEMENT CHARACTER}", name
    )
    assert "<b>" not in page
    assert re.search("To repeat this.*<pre>.*npz.*</pre>", page, re.DOTALL)
    assert not re.search("[\x1b\u202e\u2028]", page)
    for setting in ("working folder", "--midi", "--save", "--out"):
        assert f"<th>{setting}</th>" in page


@NO_PICTURES
def test_page_is_written_when_the_working_folder_is_gone(tmp_path, monkeypatch):
    gone, out = tmp_path / "gone", tmp_path / "out"
    gone.mkdir()
    out.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    write(out)
    assert "No such file or directory" in page_of(out)
