"""The files that examples/main.py writes beside its page, and those it leaves alone."""

import os

import pytest
from journeys import load_module
from pages import files_in, make_model, make_roll, named, page_of, write

from lstmmusic import atomic

pytestmark = pytest.mark.usefixtures("no_pictures", "no_sounds")

FIRST = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>LSTMmusic</title>
"""  # of the first versions, which wrote no generator


OURS = FIRST.replace(
    "<meta name", '<meta name="generator" content="LSTMmusic 0">\n<meta name', 1
)


ONE = {f"generated{kind}" for kind in (".mid", ".wav")} | {
    "rolls.png",
    "probabilities.png",
}


ALWAYS = {
    *("original.mid", "original.wav", "original.png"),
    *("statistics.png", "cost.png", "index.html"),
}


def test_files_of_an_earlier_run_are_removed_and_a_users_kept(tmp_path):
    """Fails if a run leaves other files than the page and those it names."""
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
def test_only_files_that_a_run_writes_are_removed(tmp_path, beginning):
    """Fails if a page can make a run remove a file that no run has written."""
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
    left = load_module("page").write_folder(out, {"rolls.png": b"new"}, OURS, set())
    assert files_in(out) == {*kept, "cost.png", "index.html", "rolls.png"}
    assert (tmp_path / "generated.mid").is_file()
    (line,) = left
    assert line.startswith("cost.png of an earlier run is not removed: ")


@pytest.mark.parametrize("earlier", [False, True])
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failure_leaves_no_page_without_its_files(
    tmp_path, monkeypatch, earlier, error
):
    """Fails if a page names a missing file, or if a file is left that no page names.

    Each of three writes fails in turn, before and after its file is in place.
    """
    page, whole = load_module("page"), atomic.write
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


def test_a_users_own_files_are_not_overwritten(tmp_path):
    """Fails if a user's own file is noticed after the training, or never."""
    check = load_module("page").check_folder
    check(tmp_path / "does not exist")
    check(tmp_path)
    (tmp_path / "generated-0.5.mid").write_bytes(b"mine")
    check(tmp_path)
    check(tmp_path, [0.5])
    with pytest.raises(ValueError, match=r"generated-0.5.mid would be .*another --out"):
        check(tmp_path, [0.5, 1])
    (tmp_path / "rolls.png").symlink_to("nothing")
    with pytest.raises(ValueError, match=r"rolls.png would be overwritten"):
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


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no FIFOs")
def test_a_fifo_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "index.html")
    with pytest.raises(ValueError, match="is not a page of an earlier run"):
        load_module("page").check_folder(tmp_path)


def test_a_run_may_overwrite_its_own_results(tmp_path):
    """Fails if check_folder refuses the files of write_results."""
    check = load_module("page").check_folder
    two, silent = tmp_path / "two", tmp_path / "silent"
    for folder in (two, silent):
        folder.mkdir()
    write(two, temperatures=("0.5", "2"))
    check(two, [0.5, 2])
    check(two)
    write(silent, temperatures=("1", "2"), roll=make_roll(12))
    for temperatures in ([1], [1, 2], [0.3, 0.4, 1]):
        check(silent, temperatures)
