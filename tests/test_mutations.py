"""The list of mutations fits the code and the tests; `mutations.py` tries them."""

import shutil
from pathlib import Path

import pytest
from mutations import ROOT, read_mutations

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
