"""The page that examples/main.py leaves: what it says, what lies beside it.

Those tests that look at it as Chromium does, from file://, need one of the system's:
elsewhere they skip.
"""

import html
import importlib
import os
import re
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote_to_bytes

import numpy as np
import pytest

from lstmmusic import atomic
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


def module(name):
    """Return one of the modules in examples/."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        return importlib.import_module(name)


def make_model(**attributes):
    """Return as much of a trained network as the page asks for."""
    training = {
        "command": "main.py <first>",
        "updates": 60,
        "R1": 0.01,
        "lengthOfMB": 9,
    }
    defaults = {
        "cost": "cross-entropy",
        "costPerStep": [10 / (n + 1) for n in range(60)],
        "trainingOver": True,
        "trainings": [training],
        "wasTrainedOn": lambda tune: False,
    }
    return SimpleNamespace(**defaults | attributes)


def make_roll(steps=STEPS):
    return np.random.default_rng(0).choice([0, 0, 0, 1], (steps, 12))


def make_original(roll, name="tune.mid"):
    """Return a roll as `midiread` returns it from a file of that name."""
    with tempfile.TemporaryDirectory() as folder:
        midiwrite(Path(folder, name), roll, R, DT)
        return midiread(Path(folder, name), R, DT, steps=len(roll))


def write(folder, model=None, temperatures=("1",), roll=None, arguments=(), name="t"):
    """Write a run's results to a folder, without the run; return what is printed.

    Of each tune a note that never sounds has a probability.
    """
    main = module("journey")
    typed = ["--out", str(folder), "--range", *map(str, R), "--dt", str(DT), *arguments]
    options = main.make_parser().parse_args(typed)
    options.save = options.save or folder / "parameters.npz"
    options.command = main.as_typed(main.typed_words(typed))
    roll = make_roll() if roll is None else roll
    original = make_original(roll, name)
    probabilities = roll / 2
    probabilities[:, 0] = 0.1
    made = {
        temperature: main.Generated(
            roll[5 * n :], probabilities[5 * n :], ["it got <stuck>"] * n
        )
        for n, temperature in enumerate(temperatures)
    }
    return main.write_results(
        model or make_model(), original, [original], made, options
    )


def page_of(folder):
    return (folder / "index.html").read_bytes().decode()


def named(page):
    """Return the names of the files that a page shows or links to."""
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    return {os.fsdecode(unquote_to_bytes(link)) for link in links if link != "data:,"}


def words(page):
    return html.unescape(re.sub("<[^>]*>", " ", page.split("<body>")[1]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return the folder of a run that made two tunes, without the run."""
    folder = tmp_path_factory.mktemp("a folder & 50%")
    write(folder, temperatures=("0.5", "2"))
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
    for tune, steps in zip(tunes, (STEPS, STEPS, STEPS - 5), strict=True):
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


@pytest.mark.parametrize("width", [390, 1280])
def test_numbers_and_lettering_can_be_read(browser, folder, width):
    """Fails if a number is broken into two lines, or a picture's letters are small.

    The pictures' letters have 10 points, at 120 pixels to the inch.
    """
    page, _ = open_page(browser, folder)
    page.set_viewport_size({"width": width, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    line = page.locator(".numbers tr").nth(1).bounding_box()["height"]
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


# What it says


def test_page_says_what_its_pictures_show(tmp_path):
    """Fails if a part of a tune is shown for the whole, or units are left out."""
    write(tmp_path, roll=make_roll(400), arguments=["--primer", "20"])
    text = " ".join(words(page_of(tmp_path)).split())
    assert "the first 37.5 s of 100 s. Below: the primer, up to the orange line" in text
    assert (
        "at 5 s, and after it what the network wrote, the first 37.5 s of 105" in text
    )
    assert "begin after the primer, where the orange line stands" in text
    assert "below the threshold of 0.05 is drawn as 0" in text
    assert "The cost of each update, in nats per step" in text
    assert "sees neither harmony nor melody" in text
    assert "data set" not in text
    write(tmp_path, arguments=["--threshold", "0"])
    text = words(page_of(tmp_path))
    assert "threshold of" not in text
    assert "the original, all 7.5 s." in text


def test_tune_and_probabilities_have_the_same_scales(tmp_path, monkeypatch):
    """Fails if the two pictures cannot be laid one upon the other."""
    results, scales = module("results"), {}
    draw = results.Files.draw

    def note_scales(files, part, ax, name, caption):
        scales[name] = *ax.get_xlim(), *ax.get_ylim()
        draw(files, part, ax, name, caption)

    monkeypatch.setattr(results.Files, "draw", note_scales)
    roll = make_roll(40)
    roll[:, :4] = roll[:, 9:] = 0
    roll[0, 9] = 1  # in the original alone
    write(tmp_path, roll=roll, temperatures=("1", "2"))
    assert scales["rolls-2.png"] == scales["probabilities-2.png"]
    assert scales["rolls-2.png"] == (0, 55 * DT, R[0] - 0.5, R[0] + 11.5)


def test_page_has_the_shares_of_harmony_and_melody(folder):
    """Fails if a share has not the training data's own beside it."""
    table = re.search(
        '<table class="numbers">(.*?)</table>', page_of(folder), re.DOTALL
    )
    rows = re.findall("<tr><th>(.*?)</th>(.*?)</tr>", table[1])
    cells = {name: re.findall("<td>(.*?)</td>", cells) for name, cells in rows}
    assert cells[""] == ["original", "generated-0.5", "generated-2", "training data"]
    assert len(cells) == 13
    assert "pitches" in cells
    assert cells["steps with exactly 4 notes"][0].endswith("%")
    assert cells["chords that occur in the training data"] == ["100.0%"] * 3 + ["0.0%"]
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
    assert said in module("results").summary(make_model(**attributes), False)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (True, "It was among the tunes trained on."),
        (False, "It was not trained on this tune, as it is read here."),
        (None, "Whether it was trained on this tune is not known: the parameter file"),
    ],
)
def test_page_says_whether_it_was_trained_on_the_original(tmp_path, answer, said):
    """Fails if this run's selection is taken for what was trained on."""
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


def test_page_tells_of_each_training(tmp_path):
    """Fails if a second run makes how the network was trained be forgotten."""
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


def test_one_tune_is_counted_once(tmp_path):
    """Fails if the only tune, which is both primer and training data, counts twice."""
    write(tmp_path)
    assert f"1 tune, {STEPS} steps, SHA-256" in page_of(tmp_path)


def test_settings_are_the_options_and_no_more(tmp_path):
    """Fails if what main.py keeps in its options for itself is shown as an option."""
    main, page = module("journey"), module("page")
    options = main.make_parser().parse_args([])
    options.kept_for_later, options.command = object(), "main.py"
    used = page.settings(make_model(), make_original(make_roll()), [], options)
    assert "--kept-for-later" not in used
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


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
@pytest.mark.parametrize("name", NAMES_OF_FILES)
def test_any_name_can_be_on_the_page(tmp_path, monkeypatch, name):
    """Fails if a file's name ends the writing, or its link leads elsewhere."""
    out = tmp_path / name.removesuffix(".npz")
    out.mkdir()
    (out / name).write_bytes(b"")
    monkeypatch.chdir(out)
    arguments = ["--midi", str(out), "--save", str(out / name)]
    model = make_model(trainings=[{"command": f"main.py --load {name}", "updates": 60}])
    printed = write(out, model, arguments=arguments, name=name)
    printed.encode("utf-8")
    page = page_of(out)
    assert {file.name for file in out.iterdir()} == named(page) | {"index.html"}
    seen = html.unescape(re.search("<h2>The original: (.*?)</h2>", page)[1])
    assert seen == re.sub(
        "[\udce9\n\x1b\u202e\u2028]", "\N{REPLACEMENT CHARACTER}", name
    )
    assert "<b>" not in page
    assert re.search("To repeat this.*<pre>.*npz.*</pre>", page, re.DOTALL)
    assert not re.search("[\x1b\u202e\u2028]", page)
    for setting in ("working folder", "--midi", "--save", "--out"):
        assert f"<th>{setting}</th>" in page


def test_folder_that_is_gone_does_not_end_the_writing(tmp_path, monkeypatch):
    gone, out = tmp_path / "gone", tmp_path / "out"
    gone.mkdir()
    out.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    write(out)
    assert "No such file or directory" in page_of(out)


# What it leaves beside it

FIRST = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>LSTMmusic</title>
"""  # of a page before there was a generator in it
OURS = FIRST.replace(
    "<meta name", '<meta name="generator" content="LSTMmusic 0">\n<meta name', 1
)
ONE = {f"generated{kind}" for kind in (".mid", ".wav")} | {
    "rolls.png",
    "probabilities.png",
}
ALWAYS = {"original.mid", "original.wav", "statistics.png", "cost.png", "index.html"}


def files_in(folder):
    return {file.name for file in folder.iterdir()}


def test_another_runs_files_go_and_a_users_stay(tmp_path):
    """Fails if a run leaves more than the page and what it names, or less."""
    write(tmp_path, temperatures=("0.7", "1e-05"))
    first = files_in(tmp_path)
    assert {"generated-0.7.wav", "rolls-1e-05.png"} < first
    assert named(page_of(tmp_path)) == first - {"index.html"}
    mine = {
        "notes.txt",
        "generated-mine.mid",
        "rolls.jpg",
        "parameters.npz",
        "cost.png.old",
    }
    for name in mine:
        (tmp_path / name).write_bytes(b"mine")
    write(tmp_path)
    assert files_in(tmp_path) == ONE | ALWAYS | mine
    assert named(page_of(tmp_path)) == ONE | ALWAYS - {"index.html"} | {
        "parameters.npz"
    }
    write(tmp_path, make_model(costPerStep=[], trainings=[]), temperatures=("0.7", "2"))
    assert "generated.mid" not in files_in(tmp_path)
    assert "cost.png" not in files_in(tmp_path)
    assert all((tmp_path / name).read_bytes() == b"mine" for name in mine)


@pytest.mark.parametrize("beginning", [FIRST, OURS])
def test_only_what_a_run_writes_is_removed(tmp_path, beginning):
    """Fails if a page can have a file removed that no run has written."""
    out = tmp_path / "out"
    (out / "cost.png").mkdir(parents=True)
    links = [
        "../generated.mid", "..%2Fgenerated.mid", "/generated.mid", "mine.mid",
        f"{tmp_path}/generated.mid", "generated.mid%00", "parameters.npz", "page.html",
        "original.mid", "generated-0.7.wav", "cost.png", "gone/../statistics.png",
    ]  # fmt: skip
    page = beginning + "".join(f'<a href="{link}">' for link in links)
    kept = ["mine.mid", "parameters.npz", "page.html", "statistics.png"]
    for name in (*kept, "original.mid", "generated-0.7.wav", "../generated.mid"):
        (out / name).write_bytes(b"")
    (out / "index.html").write_text(page)
    left = module("page").write_folder(out, {"rolls.png": b"new"}, OURS, set())
    assert files_in(out) == {*kept, "cost.png", "index.html", "rolls.png"}
    assert (tmp_path / "generated.mid").is_file()
    (line,) = left
    assert line.startswith("cost.png, of an earlier run, is not removed: ")


@pytest.mark.parametrize("earlier", [False, True])
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failure_leaves_no_page_without_its_files(
    tmp_path, monkeypatch, earlier, error
):
    """Fails if a page names what is not there, or a file is left that no page names.

    Of three writes each fails in turn, before and after it has put its file in place.
    """
    page, whole = module("page"), atomic.write
    files = {"original.mid": b"new", "rolls.png": b"new"}
    new = OURS + '<img src="rolls.png"><a href="original.mid">'
    for fatal in range(6):
        out = tmp_path / str(fatal)
        out.mkdir()
        if earlier:
            old = OURS + '<img src="original.mid"><img src="cost.png">'
            for name in ("original.mid", "cost.png"):
                (out / name).write_bytes(b"old")
            (out / "index.html").write_text(old)
        calls = []

        def fail(path, content, calls=calls, fatal=fatal):
            calls.append(path)
            if len(calls) * 2 - 2 == fatal:
                raise error
            whole(path, content)
            if len(calls) * 2 - 1 == fatal:
                raise error

        monkeypatch.setattr(atomic, "write", fail)
        with pytest.raises(error):
            page.write_folder(out, files, new, {"generated.wav"})
        there = files_in(out)
        names = named(page_of(out)) if "index.html" in there else set()
        assert names <= there
        assert there - names - {"index.html"} <= ({"cost.png"} if fatal == 5 else set())
        assert bool(names) == (earlier or fatal == 5)


def test_a_users_own_files_are_not_written_over(tmp_path):
    """Fails if what no run has written is found out after the training, or never."""
    check = module("results").check_folder
    check(tmp_path / "nothing there yet")
    check(tmp_path)
    (tmp_path / "generated-0.5.mid").write_bytes(b"mine")
    check(tmp_path)
    check(tmp_path, [0.5])
    with pytest.raises(ValueError, match=r"generated-0.5.mid would be .*another --out"):
        check(tmp_path, [0.5, 1])
    (tmp_path / "rolls.png").symlink_to("nothing")
    with pytest.raises(ValueError, match=r"rolls.png would be written over"):
        check(tmp_path)
    page = tmp_path / "index.html"
    page.write_text("<!DOCTYPE html><title>LSTMmusic</title><img src='rolls.png'>")
    with pytest.raises(ValueError, match=r"index.html is not a page of an earlier run"):
        check(tmp_path)
    page.write_text(OURS + '<img src="rolls.png"><a href="generated-0.5.mid">')
    check(tmp_path, [0.5, 1])
    page.unlink()
    page.mkdir()
    with pytest.raises(ValueError, match=r"index.html is not a page of an earlier run"):
        check(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_a_page_that_is_no_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "index.html")
    with pytest.raises(ValueError, match="is not a page of an earlier run"):
        module("results").check_folder(tmp_path)


def test_a_run_may_write_over_its_own_results(folder, tmp_path):
    """Fails if check_folder refuses what write_results has left."""
    check = module("results").check_folder
    check(folder, [0.5, 2])
    check(folder)
    silent = tmp_path / "silent"
    silent.mkdir()
    write(
        silent, temperatures=("1", "2"), roll=np.eye(12, dtype=int) * 0 + make_roll(12)
    )
    for temperatures in ([1], [1, 2], [0.3, 0.4, 1]):
        check(silent, temperatures)
