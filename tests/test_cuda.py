"""Compare device='cuda' with the CPU; skipped where JAX has no GPU."""

import numpy as np
import pytest

from lstmmusic import RNN4Music

jax = pytest.importorskip("jax")
RATES = dict.fromkeys(("R1", "R2", "R3", "Rout"), 0.003)
TUNES = [(np.random.default_rng(n).random((n, 9)) < 0.3) * 1.0 for n in range(20, 60)]
STRIKES = [np.random.default_rng(len(tune)).random(tune.shape) < 0.4 for tune in TUNES]
EXACT = {"float32": 2e-5, "float64": 1e-11}


def has_gpu():
    try:
        return bool(jax.devices("cuda"))
    except RuntimeError:
        return False


pytestmark = pytest.mark.skipif(not has_gpu(), reason="JAX has no NVIDIA GPU here")


def pair(dtype, **settings):
    """Return the same network on the CPU and on the GPU."""
    settings = {"seed": 4, "sigRand": 0.3, "dtype": dtype} | RATES | settings
    columns = 18 if settings.get("restruck") else 9
    return [
        RNN4Music(31, 17, 24, columns, **settings, device=device)
        for device in ("cpu", "cuda")
    ]


def tunes_of(form):
    """Return the tunes, with columns of notes struck again where the form has them."""
    if not form.get("restruck"):
        return TUNES
    tunes = []
    for tune, strikes in zip(TUNES, STRIKES, strict=True):
        sounded = np.vstack([np.zeros(9), tune[:-1]])
        tunes.append(np.hstack([tune, tune * sounded * strikes]))
    return tunes


FORMS = [
    {},
    {"cost": "squared-error", "originalForward": True},
    {"optimizer": "Adam", "dropout": 0.3, "gradNorm": 1.0},
    {"output": "joint", "jointUnits": 7, "noteOrder": "down"},
    {"output": "joint", "jointUnits": 0},
    {"output": "joint", "jointUnits": 7, "restruck": True},
]
OUTPUTS = [FORMS[0], *FORMS[3:]]


@pytest.mark.parametrize("dtype", EXACT)
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_training_is_the_same(dtype, form):
    # Fails if a GPU computes another gradient, update or draw than the CPU.
    on_cpu, on_gpu = pair(dtype, **form)
    tunes = tunes_of(form)
    others = [tune[:-1] for tune in tunes[:5]]
    for model in (on_cpu, on_gpu):
        for plan in ((1, 4, 8, 20), (1, 2, 8, None), (1, 2, 3, 150)):
            model.train(tunes, *plan, validation=others, progress=False)
    tolerance = EXACT[dtype] * 30
    np.testing.assert_allclose(
        on_gpu.instantaneousCost, on_cpu.instantaneousCost, rtol=tolerance
    )
    np.testing.assert_allclose(
        on_gpu.validationCost, on_cpu.validationCost, rtol=tolerance
    )
    for name, value in on_cpu.parameters().items():
        np.testing.assert_allclose(
            on_gpu.parameters()[name], value, atol=100 * tolerance, err_msg=name
        )


@pytest.mark.parametrize("dtype", EXACT)
@pytest.mark.parametrize("form", OUTPUTS, ids=str)
def test_gradients_evaluation_and_probabilities_are_the_same(dtype, form):
    on_cpu, on_gpu = pair(dtype, **form)
    tunes = tunes_of(form)
    x, k = (np.stack([tune[n : n + 19] for tune in tunes[:6]]) for n in (0, 1))
    cost, gradients = on_gpu.gradients(x, k)
    wanted, by_name = on_cpu.gradients(x, k)
    assert cost == pytest.approx(wanted, rel=EXACT[dtype])
    for name, value in by_name.items():
        scale = max(1.0, np.abs(value).max())
        np.testing.assert_allclose(
            gradients[name], value, atol=EXACT[dtype] * scale, err_msg=name
        )
    found, wanted = on_gpu.evaluate(tunes), on_cpu.evaluate(tunes)
    assert found.nll == pytest.approx(wanted.nll, rel=EXACT[dtype])
    np.testing.assert_allclose(
        on_gpu.probabilities(tunes[0]), on_cpu.probabilities(tunes[0]),
        atol=EXACT[dtype], equal_nan=True,
    )  # fmt: skip


@pytest.mark.parametrize("form", OUTPUTS, ids=str)
def test_the_same_seed_generates_the_same_tunes(form):
    on_cpu, on_gpu = pair("float64", **form)
    primer = tunes_of(form)[0]
    notes = np.full((100, primer.shape[1]), np.nan)
    notes[::3, 4:] = 0
    given = {"seed": 3, "noOfTunes": 5, "maxNotes": 3, "given": notes}
    tunes, y = on_gpu.genMusic(primer, 100, **given)
    wanted, y_wanted = on_cpu.genMusic(primer, 100, **given)
    np.testing.assert_array_equal(tunes, wanted)
    np.testing.assert_allclose(y, y_wanted, atol=1e-9, equal_nan=True)


def test_a_training_on_a_gpu_resumes_from_its_file(tmp_path):
    whole, stopped = pair("float32")[1], pair("float32")[1]
    whole.train(TUNES, 1, 6, 8, None, progress=False)
    stopped.train(
        TUNES, 1, 6, 8, None, checkpoint=tmp_path / "run.npz", checkpointEvery=7,
        progress=False,
    )  # fmt: skip
    again = RNN4Music.fromFile(tmp_path / "run.npz", device="cuda")
    assert again.instantaneousCost == stopped.instantaneousCost
    np.testing.assert_allclose(
        whole.instantaneousCost, again.instantaneousCost, rtol=1e-4
    )


def test_tf32_is_near():
    exact, rounded = (
        RNN4Music(64, 64, 64, 9, seed=1, dtype="float32", device="cuda", tf32=tf32)
        for tf32 in (False, True)
    )
    found = rounded.evaluate(TUNES).nll
    assert found == pytest.approx(exact.evaluate(TUNES).nll, rel=1e-2)
