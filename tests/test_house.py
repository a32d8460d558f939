"""Test CONTRIBUTING.md's rules for every file: sizes, docstrings, forbidden calls."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIBRARY = [*(ROOT / "lstmmusic").rglob("*.py"), *(ROOT / "midi").glob("*.py")]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
CODE = [*LIBRARY, *EXAMPLES]
TESTS = sorted((ROOT / "tests").glob("*.py"))
LONGEST_FILE = 350
LONGEST = {"lstmmusic/rnn4music.py": 600}
LONGEST_FUNCTION = 45  # lines without the docstring
MOST_PARAMETERS = 8  # self and cls not counted
# Whose arguments the original, or a user's call, fixes.
PUBLIC = {
    "RNN4Music.__init__", "RNN4Music.train", "RNN4Music.genMusic",
    "midiread", "midiwrite", "read_folder", "load_folder",
    "plot_roll", "plot_probabilities", "plot_tune",
    "plot_states", "plot_influence",
}  # fmt: skip
TO_PRINT = {
    "RNN4Music.printWeights", "RNN4Music.printDerivatives",
    "Ranks.together",  # to stderr
}  # fmt: skip


def functions(file):
    """Yield (qualified name, node) of each function of a file, with those within."""

    def walk(node, prefix):
        for child in ast.iter_child_nodes(node):
            name = prefix
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                name = f"{prefix}.{child.name}".lstrip(".")
            if isinstance(child, ast.FunctionDef):
                yield name, child
            yield from walk(child, name)

    yield from walk(ast.parse(file.read_text("utf-8")), "")


def lines_of(function):
    """Count a function's lines, without its docstring and decorators."""
    lines = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function, clean=False) is not None:
        docstring = function.body[0]
        lines -= docstring.end_lineno - docstring.lineno + 1
    return lines


def number_of_parameters(function):
    a = function.args
    names = [p.arg for p in (*a.posonlyargs, *a.args, *a.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls")])


def found_in(files, look):
    """Return {file: what ``look`` finds in it}, of the files in which it finds any."""
    found = {str(file.relative_to(ROOT)): look(file) for file in files}
    return {name: faults for name, faults in found.items() if faults}


def test_no_file_is_too_long():
    lengths = found_in(CODE, lambda file: len(file.read_text("utf-8").splitlines()))
    limits = {name: LONGEST.get(name, LONGEST_FILE) for name in lengths}
    assert {n: lines for n, lines in lengths.items() if lines > limits[n]} == {}


def test_no_function_is_too_long():
    def long(file):
        lengths = {name: lines_of(function) for name, function in functions(file)}
        return {n: lines for n, lines in lengths.items() if lines > LONGEST_FUNCTION}

    assert found_in(CODE, long) == {}


def test_no_function_has_too_many_parameters():
    def many(file):
        numbers = {name: number_of_parameters(f) for name, f in functions(file)}
        return {
            name: number
            for name, number in numbers.items()
            if number > MOST_PARAMETERS and name not in PUBLIC
        }

    assert found_in(CODE, many) == {}


def test_every_module_and_what_it_offers_has_a_docstring():
    def bare(file):
        tree = ast.parse(file.read_text("utf-8"))
        offered = [
            node
            for node in tree.body
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
            and not node.name.startswith("_")
        ]
        return [
            getattr(node, "name", "the module")
            for node in (tree, *offered)
            if not ast.get_docstring(node)
        ]

    assert found_in(LIBRARY, bare) == {}


def test_the_library_prints_nothing():
    def printing(file):
        owners = [(n, f) for n, f in functions(file) if n not in TO_PRINT]
        return [name for name, owner in owners if any(map(is_print, ast.walk(owner)))]

    assert found_in(LIBRARY, printing) == {}


def is_print(node):
    called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    return called and node.func.id == "print"


def test_jax_s_private_modules_are_used_in_one_module_and_no_test():
    private = "jax" + "._src"

    def reaching(file):
        return private in file.read_text("utf-8")

    assert found_in([*TESTS, *EXAMPLES], reaching) == {}
    assert len(found_in(LIBRARY, reaching)) <= 1


def test_no_module_of_tests_imports_another():
    def imported(file):
        nodes = ast.walk(ast.parse(file.read_text("utf-8")))
        modules = [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
        return [m for m in modules if m and m.startswith("test_")]

    assert found_in(TESTS, imported) == {}
