"""Break the code in one place after another; print which test catches each mutation.

``python tests/mutations.py`` applies each mutation of ``mutations.toml`` to a copy of
the repository and runs the tests that the mutation names, with those that nothing is
broken for first.  It ends with status 1 where a mutation survives, and with 2 where a
mutation cannot be applied or a test fails without one.  The table goes to stdout.

Each mutation states the code it replaces, so that moved code is noticed:
`test_mutations.py` holds that.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
LIST = Path(__file__).with_name("mutations.toml")
IGNORED = shutil.ignore_patterns(".git", ".venv*", "__pycache__", "*.egg-info", ".nox")
LONGEST_S = 600  # for the tests of one mutation
FAILED, PASSED = 1, 0  # pytest's exit status; others mean that tests did not run


class Mutation(NamedTuple):
    """Hold a fault, and the tests that must catch it.

    name : what is wrong
    file : path below the root
    old, new : text that the file holds once, and what takes its place
    tests : names of files in tests/, or of single tests: ``test_x.py::test_y``
    private : compile into a cache that no other mutation sees
    """

    name: str
    file: str
    old: str
    new: str
    tests: list
    private: bool = False

    def apply(self, root):
        """Change the file below ``root``; LookupError if ``old`` is not there once."""
        path = Path(root, self.file)
        text = path.read_text(encoding="utf-8")
        if (count := text.count(self.old)) != 1:
            raise LookupError(
                f"{self.name!r}: {self.file} holds {self.old!r} {count} times; "
                "allowed is 1"
            )
        path.write_text(text.replace(self.old, self.new), encoding="utf-8")


class Outcome(NamedTuple):
    """Hold the outcome of the tests of one mutation."""

    status: int | None  # pytest's; None if it did not end
    caught_by: str | None  # the first test that failed
    seconds: float
    output: str


def read_mutations(path=LIST):
    """Read the list of mutations."""
    with open(path, "rb") as file:
        return [Mutation(**entry) for entry in tomllib.load(file)["mutation"]]


def run_tests(root, tests, cache, longest_s=None):
    """Run tests of the copy ``root``, in one process, to the first that fails."""
    flags = f"base_compiledir={cache}"
    environment = os.environ | {
        "PYTHONPATH": str(root),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTENSOR_FLAGS": flags,
    }
    options = "-x -q -n 0 --tb=short -p no:cacheprovider -rfE".split()
    begun = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *(f"tests/{t}" for t in tests)],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=longest_s,
        )
    except subprocess.TimeoutExpired as error:
        output = (error.stdout or b"").decode(errors="replace")
        return Outcome(None, None, time.monotonic() - begun, output)
    found = re.search(r"^(?:FAILED|ERROR) (?:tests/)?(\S+)", done.stdout, re.MULTILINE)
    return Outcome(
        done.returncode,
        found and found[1],
        time.monotonic() - begun,
        done.stdout + done.stderr,
    )


def try_mutation(mutation, folder, cache, all_tests):
    """Apply a mutation to a copy of the repository below ``folder``; run its tests."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        root = Path(own, "repository")
        shutil.copytree(ROOT, root, ignore=IGNORED)
        mutation.apply(root)
        tests = [""] if all_tests else mutation.tests
        cache = Path(own, "cache") if mutation.private else cache
        return run_tests(root, tests, cache, LONGEST_S)


def main(arguments=None):
    """Try the mutations that the arguments name; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", metavar="TEXT", help="mutations whose name has it")
    parser.add_argument("--all-tests", action="store_true", help="run the whole suite")
    parser.add_argument("--jobs", type=int, default=1, help="mutations at once")
    options = parser.parse_args(arguments)
    mutations = [m for m in read_mutations() if (options.only or "") in m.name]
    for mutation in mutations:  # before the first test is run
        with tempfile.TemporaryDirectory() as folder:
            target = Path(folder, mutation.file)
            target.parent.mkdir(parents=True)
            shutil.copy(ROOT / mutation.file, target)
            mutation.apply(folder)

    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder, "cache")
        named = sorted({test for mutation in mutations for test in mutation.tests})
        print(f"without a mutation: {len(named)} tests or files …", flush=True)
        sound = run_tests(ROOT, named, cache)
        if sound.status != PASSED:
            print(sound.output)
            return 2

        def outcome_of(mutation):
            return try_mutation(mutation, folder, cache, options.all_tests)

        with ThreadPoolExecutor(options.jobs) as pool:
            outcomes = []
            for mutation, outcome in zip(
                mutations, pool.map(outcome_of, mutations), strict=True
            ):
                outcomes.append(outcome)
                print(row(mutation, outcome), flush=True)
    return report(mutations, outcomes)


def row(mutation, outcome):
    """Return a line of the table."""
    caught = {FAILED: outcome.caught_by, PASSED: "SURVIVES", None: "NO END"}
    verdict = caught.get(outcome.status, f"TESTS DID NOT RUN ({outcome.status})")
    return f"{mutation.name} | {verdict} | {outcome.seconds:.0f} s"


def report(mutations, outcomes):
    """Print what else there is to know; return the exit status."""
    status = 0
    for mutation, outcome in zip(mutations, outcomes, strict=True):
        if outcome.status not in (PASSED, FAILED):
            print(f"\n{mutation.name}:\n{outcome.output[-2000:]}")
            status = 2
        elif outcome.status == PASSED:
            status = max(status, 1)
    caught = sum(outcome.status == FAILED for outcome in outcomes)
    print(f"\n{caught} of {len(mutations)} mutations are caught")
    return status


if __name__ == "__main__":
    sys.exit(main())
