"""Streams of examples/main.py that are closed, full or without a reader."""

import os
import shlex
import subprocess
import sys

import pytest
from journeys import EXAMPLES, ROOT, TINY, run_main

ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize(
    ("options", "closed"),
    [
        *(("--help", closed) for closed in (">&- 2>&-", ">&-", "2>&-", "<&-")),
        pytest.param(" ".join(TINY), "<&- >&-", marks=pytest.mark.slow),
        pytest.param(" ".join(TINY), "2>&-", marks=pytest.mark.slow),
    ],
)
def test_closed_streams_do_not_end_the_run(midi_folder, tmp_path, closed, options):
    words = [sys.executable, EXAMPLES / "main.py", "--midi", midi_folder]
    words += ["--out", tmp_path / "out", *options.split()]
    done = subprocess.run(
        ["bash", "-c", f"{shlex.join(map(str, words))} {closed}"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out" / "index.html").is_file() == (options != "--help")


@pytest.mark.slow
def test_closed_pipe_does_not_end_the_run(midi_folder, tmp_path):
    # `main.py … | head -1`. Fails on a traceback, or if the run ends with its reader.
    arguments = ["--midi", midi_folder, "--out", tmp_path / "out", *TINY]
    with subprocess.Popen(
        [sys.executable, EXAMPLES / "main.py", *map(str, arguments)],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
    assert (tmp_path / "out" / "index.html").is_file()


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_full_output_does_not_end_the_run(midi_folder, tmp_path):
    arguments = ["--midi", midi_folder, "--out", tmp_path / "out", *TINY]
    with open("/dev/full", "w") as full:
        done = run_main(
            *arguments, capture_output=False, stdout=full, stderr=subprocess.PIPE
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out" / "index.html").is_file()


def test_help_into_a_closed_pipe():
    read, write = os.pipe()
    os.close(read)
    done = run_main(
        "--help", capture_output=False, stdout=write, stderr=subprocess.PIPE
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


CTRL_C_WHILE_IMPORTING = """
import signal, sys

class Finder:
    def find_spec(self, name, *_):
        if name == "lstmmusic":
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Finder())
sys.path.insert(0, sys.argv.pop(1))
import main
main.main()
"""


def test_ctrl_c_during_the_imports_is_one_line():
    done = subprocess.run(
        [sys.executable, "-c", CTRL_C_WHILE_IMPORTING, EXAMPLES],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (130, "main.py: stopped\n")
