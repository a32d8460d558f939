"""The example of docs/explanation/mathematics.md, repeated in plain numbers and by the
library: one cell, one note, two steps.
"""

import re
from math import exp, log, sqrt, tanh
from pathlib import Path

import numpy as np
import pytensor
import pytest

PAGE = Path(__file__).parents[1] / "docs" / "explanation" / "mathematics.md"
TEXT = PAGE.read_text(encoding="utf-8").split("## One cell, worked in numbers")[1]
TEXT = TEXT.replace("−", "-")
PROSE = " ".join(TEXT.split())
HALF = 0.5e-4  # the page rounds to four digits
STEPS = (0, 1)
X, K = (1.0, 0.0), (0.0, 1.0)
# The page's weights, as the library calls them: gate g is the original's c.
NAMES = {f"W_h{q}": f"Wh{q}_1" for q in "ifco"} | {"W_hy": "Why_1", "b_y": "by"}
NAMES |= {f"W_x{q}": f"Wx{q}_1" for q in "ifco"} | {f"b_{q}": f"b{q}_1" for q in "ifco"}
NAMES |= {f"w_c{q}": f"Wc{q}_1" for q in "ifo"}


def table(heading):
    """Return {first cell: the other cells} of the table with this heading."""
    lines = TEXT.split(f"\n| {heading} |")[1].split("\n\n")[0].splitlines()[2:]
    rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return {first: rest for first, *rest in rows}


def columns(heading):
    """Return {symbol: its number at t = 0 and at t = 1} of a table of both steps."""
    rows = table(heading).items()
    return {label.split(" = ")[0]: tuple(map(float, row)) for label, row in rows}


def weights():
    """Return {symbol: number}, as the page's table and the line below it say."""
    found = re.findall(r"(\w+) = (-?[\d.]+\d|\d)", TEXT)
    return {name: float(number) for name, number in found if name in NAMES}


def sigma(a):
    return 1 / (1 + exp(-a))


def forward(w):
    """Return a dict of numbers for each step: eqs. 7-11, and the cost."""
    steps, h, c = [], 0.0, 0.0
    for x, k in zip(X, K, strict=True):
        s = {"x": x, "h_prev": h, "c_prev": c}
        a = {q: w[f"W_x{q}"] * x + w[f"W_h{q}"] * h + w[f"b_{q}"] for q in "ifco"}
        s["i"] = sigma(a["i"] + w["w_ci"] * c)
        s["f"] = sigma(a["f"] + w["w_cf"] * c)
        s["g"] = tanh(a["c"])
        s["c"] = c = s["f"] * c + s["i"] * s["g"]
        s["o"] = sigma(a["o"] + w["w_co"] * c)
        s["h"] = h = s["o"] * tanh(c)
        s["Y"] = w["W_hy"] * h + w["b_y"]
        s["y"] = sigma(s["Y"])
        s["cost"] = log(1 + exp(s["Y"])) - k * s["Y"]
        s["dY"] = s["y"] - k
        steps.append(s)
    return steps


def backward(w, steps):
    """Add the derivatives to the steps, the last one first."""
    da, dc_next = dict.fromkeys("ifco", 0.0), 0.0
    for s in reversed(steps):
        dh = w["W_hy"] * s["dY"] + sum(w[f"W_h{q}"] * da[q] for q in "ifco")
        da_o = dh * tanh(s["c"]) * s["o"] * (1 - s["o"])
        dc = dc_next + dh * s["o"] * (1 - tanh(s["c"]) ** 2) + da_o * w["w_co"]
        da_g = dc * s["i"] * (1 - s["g"] ** 2)
        da_f = dc * s["c_prev"] * s["f"] * (1 - s["f"])
        da_i = dc * s["g"] * s["i"] * (1 - s["i"])
        dc_next = dc * s["f"] + da_i * w["w_ci"] + da_f * w["w_cf"]
        da = {"i": da_i, "f": da_f, "c": da_g, "o": da_o}
        s |= {"dh": dh, "dc": dc, "dc_prev": dc_next, "da_g": da_g}
        s |= {"da_i": da_i, "da_f": da_f, "da_o": da_o, "da": da}


def gradients(steps):
    """Return {symbol: gradient}, summed over the steps."""
    found = {
        f"{name}{q}": sum(s["da"][q] * (s[of] if of else 1) for s in steps)
        for name, of in (("W_x", "x"), ("W_h", "h_prev"), ("b_", None))
        for q in "ifco"
    }
    for q, of in (("i", "c_prev"), ("f", "c_prev"), ("o", "c")):
        found[f"w_c{q}"] = sum(s["da"][q] * s[of] for s in steps)
    found["W_hy"] = sum(s["dY"] * s["h"] for s in steps)
    return found | {"b_y": sum(s["dY"] for s in steps)}


@pytest.fixture(scope="module")
def by_hand():
    """Return the weights, the steps and the gradients, in plain numbers."""
    w = weights()
    steps = forward(w)
    backward(w, steps)
    return w, steps, gradients(steps)


@pytest.fixture(scope="module")
def by_library():
    """Run the page's code in float64; return its names."""
    pytest.importorskip("jax")
    names = {}
    (code,) = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    with pytensor.config.change_flags(floatX="float64"):
        exec(code, names)
    return names


def test_the_page_has_every_weight_and_every_step(by_hand):
    w, _, _ = by_hand
    assert w.keys() == NAMES.keys()
    assert len(columns("forward")) == len(columns("backward")) + 3 == 11


def test_the_tables_are_those_of_plain_numbers(by_hand):
    # Fails if a digit on the page is wrong.
    _, steps, _ = by_hand
    for symbol, numbers in (columns("forward") | columns("backward")).items():
        for t in STEPS:
            assert steps[t][symbol] == pytest.approx(numbers[t], abs=HALF), symbol


def test_the_gradients_are_those_of_plain_numbers(by_hand):
    _, steps, found = by_hand
    for q, row in zip("ifco", table("gradient").values(), strict=True):
        symbols = f"W_x{q}", f"W_h{q}", f"w_c{q}", f"b_{q}"
        assert len(row) == len(symbols)
        for symbol, number in zip(symbols, row, strict=True):
            if number:
                assert found[symbol] == pytest.approx(float(number), abs=HALF), symbol
    stated = dict(re.findall(r"d(W_hy|b_y) = (-?[\d.]+\d)", PROSE))
    for symbol in ("W_hy", "b_y"):
        assert found[symbol] == pytest.approx(float(stated[symbol]), abs=HALF)
    wrong = sum(s["da_i"] * x for s, x in zip(steps, reversed(X), strict=True))
    assert f"dW_xi would be {wrong:.4f}" in PROSE  # D1


def test_the_library_gives_the_same(by_hand, by_library):
    # Float64: fails if the page's equations, or the library's, are off by anything.
    w, steps, wanted = by_hand
    found = by_library["gradients"]
    for symbol, name in NAMES.items():
        assert by_library["first"][name] == w[symbol]
        assert found[name].item() == pytest.approx(wanted[symbol], rel=1e-12, abs=1e-15)
    cost = sum(s["cost"] for s in steps)
    assert by_library["cost"] == pytest.approx(cost, rel=1e-12)
    assert f"cost {cost:.4f}, dw_co {wanted['w_co']:.4f}`" in PROSE
    y = by_library["model"].probabilities([[x] for x in X])
    np.testing.assert_allclose(y[:, 0], [s["y"] for s in steps], rtol=1e-12)


def test_an_update_is_what_the_page_says(by_hand, by_library):
    w, steps, g = by_hand
    means = {name: 0.1 * g[name] ** 2 for name in w}
    new = {n: w[n] - 0.01 * g[n] / sqrt(max(means[n], 1e-5)) for n in w}
    before, after = (sum(s["cost"] for s in run) for run in (steps, forward(new)))
    assert f"from 0.6 to {new['w_co']:.4f}" in PROSE
    assert f"from {before:.4f} to {after:.4f}" in PROSE
    model = by_library["model"]
    model.train([[[1], [0], [1]]], 1, 1, 1, 3, progress=False)
    values = model.parameters()
    for symbol, name in NAMES.items():
        assert values[name].item() == pytest.approx(new[symbol], rel=1e-12, abs=1e-15)
    others = [n for n in values if n not in NAMES.values()]
    assert not any(values[n].any() for n in others)
