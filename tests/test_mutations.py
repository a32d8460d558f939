"""The list of mutations fits the code and the tests; `mutations.py` tries them."""

import shutil
from pathlib import Path

import mutations
import pytest
from mutations import ROOT, Mutation, read_mutations

MUTATIONS = read_mutations()


def test_at_least_thirty_have_names_of_their_own():
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS) >= 30


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_each_can_be_applied_and_names_tests(mutation, tmp_path):
    target = tmp_path / mutation.file
    target.parent.mkdir(parents=True)
    shutil.copy(ROOT / mutation.file, target)
    mutation.apply(tmp_path)
    assert target.read_bytes() != (ROOT / mutation.file).read_bytes()
    compile(target.read_text("utf-8"), mutation.file, "exec")
    assert mutation.tests
    for test in mutation.tests:
        file, _, name = test.partition("::")
        text = Path(ROOT, "tests", file).read_text("utf-8")
        assert not name or f"\ndef {name}(" in text


def test_moved_code_is_noticed(tmp_path):
    mutation = MUTATIONS[0]._replace(file="code.py")
    for text in ("", 2 * mutation.old):
        Path(tmp_path, "code.py").write_text(text)
        with pytest.raises(LookupError, match=r"code\.py holds .* (0|2) times"):
            mutation.apply(tmp_path)


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """Two mutations of a repository of one function; its test catches the first."""
    files = {
        "room/numbers.py": "def double(x):\n    return 2 * x\n",
        "tests/test_double.py": "from room.numbers import double\n\n"
        "def test_double():\n    assert double(2) == 4\n",
    }
    for name, text in files.items():
        Path(tmp_path, name).parent.mkdir()
        Path(tmp_path, name).write_text(text)

    def mutation(name, new):
        return Mutation(name, "room/numbers.py", "2 * x", new, ["test_double.py"])

    found = [mutation("a sum", "2 + x + x"), mutation("a square", "x**2")]
    monkeypatch.setattr(mutations, "ROOT", tmp_path)
    monkeypatch.setattr(mutations, "read_mutations", lambda: found)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "status", "printed"),
    [
        (["--only", "sum"], 0, ["a sum | test_double.py::test_double |", "1 of 1"]),
        ([], 1, ["a sum | test_double.py::test_double |", "a square | SURVIVES |"]),
    ],
)
def test_a_survivor_is_named_and_gives_status_1(
    repository, capsys, arguments, status, printed
):
    assert mutations.main(arguments) == status
    output = capsys.readouterr().out
    assert all(text in output for text in printed)


def test_tests_that_fail_without_a_mutation_give_status_2(repository, capsys):
    code = repository / "room/numbers.py"
    code.write_text(code.read_text() + "raise ImportError\n")
    assert mutations.main([]) == 2
    assert "ImportError" in capsys.readouterr().out
    assert "def double" in code.read_text()  # the files are as they were
