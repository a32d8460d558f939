"""RNN4Music: holds the weights, trains them, evaluates and generates."""

import math
import sys
import warnings

import numpy as np
import pytensor
from tqdm import tqdm

from lstmmusic import checks, network, parameterfile, parameters
from lstmmusic.backend import choose_mode
from lstmmusic.batches import check_dataset, draw_minibatch, mean_over_tunes
from lstmmusic.costs import COSTS
from lstmmusic.functions import Functions
from lstmmusic.store import Store


class TrainingError(ValueError, ArithmeticError):
    """Training has left the finite numbers; the last finite weights are kept."""


class RNN4Music:
    """A three-layer peephole LSTM that predicts each step of a tune from those before.

    Parameters
    ----------
    h1_length, h2_length, h3_length : int
        Cells in each layer.
    io_length : int
        Notes: the width of the piano-rolls.
    R1, R2, R3, Rout : float
        Training rates of the layers and of the output.
    cost : {'cross-entropy', 'squared-error'}
        In nats, or halved squares; summed over steps and notes, mean over tunes.
    epsilon : float
        Lower bound of RMSprop's mean of squares, before the root.
    gradClip : float
        Each element of the gradient is clipped to ±gradClip.
    sigRand : float
        Standard deviation of the first weights.
    muRand : float
        The state at step −1 is drawn from U[0, muRand].
    genProbThreshold : float
        In generation, smaller probabilities count as zero.
    seed : int, optional
        Same seed, same backend, same bits; None draws a new one.
    originalForward : bool
        Layer 1's output gate looks at a_g, as in the original program (D3).
    mode : {None, 'JAX', 'NUMBA'}
        PyTensor's backend; None is JAX where installed, otherwise Numba.

    Attributes
    ----------
    R1, R2, R3, Rout, epsilon, gradClip, genProbThreshold : float
        May be set at any time; the next call uses them, without compiling again.
    instantaneousCost : list of float
        The minibatch's cost before each update so far.
    loss : float
        The last of them; NaN before the first update.

    Raises
    ------
    ValueError
        For a value outside what is allowed; the message names both.

    Notes
    -----
    Numbers are float32, or float64 if ``pytensor.config.floatX`` says so when the
    object is made.  Not safe for use by several threads at once.

    References
    ----------
    A. Graves, "Generating sequences with recurrent neural networks", 2013,
    arXiv:1308.0850, eqs. 1-4 and 7-11.
    """

    R1 = checks.Checked(checks.real)
    R2 = checks.Checked(checks.real)
    R3 = checks.Checked(checks.real)
    Rout = checks.Checked(checks.real)
    epsilon = checks.Checked(checks.real)
    gradClip = checks.Checked(checks.real)
    genProbThreshold = checks.Checked(checks.real, high=1.0, low_allowed=True)

    sigRand = checks.Checked(checks.real, **parameterfile.LIMITS["sigRand"])
    muRand = checks.Checked(checks.real, **parameterfile.LIMITS["muRand"])
    h1_length, h2_length, h3_length = checks.Fixed(), checks.Fixed(), checks.Fixed()
    io_length, cost, originalForward = checks.Fixed(), checks.Fixed(), checks.Fixed()
    mode, dtype = checks.Fixed(), checks.Fixed()

    #: The symbolic passes, equation by equation: what every function here compiles.
    #: Their weights are a `network.Network` of symbolic variables, or of arrays made by
    #: `parameters.pack(model.parameters())`.
    forwardPass = staticmethod(network.forward_pass)
    backwardPass = staticmethod(network.backward_pass)

    def __init__(
        self,
        h1_length=200,
        h2_length=200,
        h3_length=200,
        io_length=88,
        R1=0.0001,
        R2=0.0001,
        R3=0.0001,
        Rout=0.0001,
        *,
        cost="cross-entropy",
        epsilon=1e-5,
        gradClip=30.0,
        sigRand=0.1,
        muRand=0.01,
        genProbThreshold=0.1,
        seed=None,
        originalForward=False,
        mode=None,
    ):
        most = checks.LONGEST
        self.h1_length = checks.whole("h1_length", h1_length, high=most)
        self.h2_length = checks.whole("h2_length", h2_length, high=most)
        self.h3_length = checks.whole("h3_length", h3_length, high=most)
        self.io_length = checks.whole("io_length", io_length, high=most)
        self.R1, self.R2, self.R3, self.Rout = R1, R2, R3, Rout
        self.epsilon, self.gradClip = epsilon, gradClip
        self.genProbThreshold = genProbThreshold
        self.sigRand, self.muRand = sigRand, muRand
        self.cost = checks.one_of("cost", cost, COSTS)
        self.originalForward = checks.truth("originalForward", originalForward)
        self.mode = choose_mode(mode)
        if seed is not None:
            checks.whole("seed", seed, low=0)
        self.rng = np.random.default_rng(seed)
        self.dtype = np.dtype(pytensor.config.floatX)
        self.instantaneousCost = []
        self.loss = float("nan")

        first = parameters.first_weights(
            self.rng, self.h_lengths, io_length, self.sigRand
        ) | parameters.first_state(self.rng, self.h_lengths, self.muRand)
        self._store = Store(first, self.dtype)
        self._functions = Functions(
            self._store, self.cost, self.originalForward, self.mode
        )

    @property
    def h_lengths(self):
        """The three layers' numbers of cells."""
        return self.h1_length, self.h2_length, self.h3_length

    def __repr__(self):
        shapes = parameters.weight_shapes(self.h_lengths, self.io_length)
        weights = sum(map(math.prod, shapes.values()))
        return (
            f"<RNN4Music {self.h1_length}-{self.h2_length}-{self.h3_length} cells, "
            f"{self.io_length} notes, {weights} weights, {self.dtype}, {self.mode}; "
            f"{self.cost}, rates {self.R1:g} {self.R2:g} {self.R3:g} {self.Rout:g}; "
            f"{len(self.instantaneousCost)} updates, last cost {self.loss:g}>"
        )

    # Training

    def train(
        self,
        dataset,
        noOfEpochPerMB,
        noOfEpoch,
        sizeOfMiniBatch,
        lengthOfMB,
        lam=0.0,
        *,
        progress=True,
    ):
        """Train by gradient descent with RMSprop; step t predicts step t+1.

        An epoch draws ``sizeOfMiniBatch`` tunes at random, without replacement, repeats
        a shorter tune and truncates a longer one to ``lengthOfMB`` steps, and makes
        ``noOfEpochPerMB`` updates on that minibatch.

        Parameters
        ----------
        dataset : sequence of array_like (steps, io_length)
            Piano-rolls with values in [0, 1], or what `midi.midiread` returns.
        noOfEpochPerMB, noOfEpoch, sizeOfMiniBatch : int
        lengthOfMB : int
            Steps, at least 2.
        lam : float
            Factor of the L1 norm of matrices and peepholes.
        progress : bool
            Show a progress bar with the cost, on a terminal or in a notebook.

        Returns
        -------
        list of float
            The history so far, `instantaneousCost`: an entry per update, the mean over
            tunes of the summed cost.

        Raises
        ------
        ValueError
            Before any work is done, for data or numbers outside what is allowed.
        TrainingError
            When the cost, or a weight, is no longer finite.  The message says at which
            update; the weights are those before it.
        """
        noOfEpochPerMB = checks.whole("noOfEpochPerMB", noOfEpochPerMB)
        noOfEpoch = checks.whole("noOfEpoch", noOfEpoch)
        size = checks.whole("sizeOfMiniBatch", sizeOfMiniBatch)
        length = checks.whole("lengthOfMB", lengthOfMB, low=2)
        lam = checks.real("lam", lam, low_allowed=True)
        tunes = check_dataset(dataset, self.io_length, self.dtype)
        if len(tunes) < size:
            raise ValueError(
                f"sizeOfMiniBatch is {size}, but the dataset has {len(tunes)} tunes; "
                f"allowed are 1 to {len(tunes)}"
            )
        settings = [self.R1, self.R2, self.R3, self.Rout, self.epsilon, self.gradClip]
        with np.errstate(over="ignore"):  # an update then says that it is not finite
            settings = np.array([*settings, lam], dtype=self.dtype)
        if not settings[:-1].all():
            values = ", ".join(f"{value:g}" for value in settings[:-1])
            raise ValueError(
                f"R1, R2, R3, Rout, epsilon, gradClip are {values} in {self.dtype}; "
                "allowed are numbers that it does not round to 0"
            )
        with progress_bar(noOfEpoch * noOfEpochPerMB, progress) as bar:
            for _ in range(noOfEpoch):
                minibatch = draw_minibatch(self.rng, tunes, size, length)
                for _ in range(noOfEpochPerMB):
                    self._record(self._functions.update(minibatch, settings))
                    bar.set_postfix_str(f"cost {self.loss:.4g}", refresh=False)
                    bar.update()
        return list(self.instantaneousCost)

    def _record(self, cost):
        if not np.isfinite(cost):
            raise TrainingError(
                f"update {len(self.instantaneousCost) + 1} gave a cost or weights that "
                "are not finite; the weights are those before it. Smaller rates (R1, "
                f"R2, R3, Rout are {self.R1:g}, {self.R2:g}, {self.R3:g}, "
                f"{self.Rout:g}) or a smaller gradClip ({self.gradClip:g}) may help."
            )
        self.instantaneousCost.append(cost)
        self.loss = cost

    def setNewRates(self, R1, R2, R3, Rout):
        """Set the training rates of the three layers and the output."""
        rates = zip(("R1", "R2", "R3", "Rout"), (R1, R2, R3, Rout), strict=True)
        for name, value in [(name, checks.real(name, R)) for name, R in rates]:
            setattr(self, name, value)

    def resetStates(self):
        """Draw the state at step −1 anew, from U[0, muRand] (D9)."""
        self._store.set(parameters.first_state(self.rng, self.h_lengths, self.muRand))

    def resetRMSgrads(self):
        """Set RMSprop's running means of squares to zero."""
        self._store.set_means()

    # Looking inside

    def probabilities(self, tune):
        """Return the network's y over a tune.

        Parameters
        ----------
        tune : array_like of shape (T, io_length)
            Values in [0, 1].

        Returns
        -------
        ndarray of shape (T, io_length)
            Row t is the probability of each note at step t+1, given rows 0…t, from the
            state at step −1.
        """
        tune = checks.roll("tune", tune, self.io_length, self.dtype)
        return self._functions.probabilities(tune[:, None])[:, 0]

    def gradients(self, inputs, targets):
        """Return the cost of a minibatch and its gradient, by the hand-written pass.

        Parameters
        ----------
        inputs, targets : array_like of shape (B, T, io_length)
            Values in [0, 1].

        Returns
        -------
        cost : float
            Mean over the B tunes of the cost summed over steps and notes.
        gradients : dict
            {original name: ndarray of the original's shape}; unclipped, without L1,
            from the state at step −1.
        """
        x, k = (
            checks.minibatch(name, rolls, self.io_length, self.dtype)
            for name, rolls in (("inputs", inputs), ("targets", targets))
        )
        if x.shape != k.shape:
            raise ValueError(
                f"inputs and targets have shapes {np.shape(inputs)} and "
                f"{np.shape(targets)}; they must be the same"
            )
        cost, packed = self._functions.gradients(mean_over_tunes(x, k))
        packed = iter(packed)
        gradients = network.each(lambda _: next(packed), self._store.weights)
        return cost, parameters.unpack(gradients)

    def parameters(self):
        """Return {original name: array} of all weights, and of the state at step −1."""
        return self._store.get()

    def setParameters(self, values):
        """Set all or some of what `parameters` returns.

        Raises
        ------
        ValueError
            For an unknown name, a wrong shape, or a value that is not finite; then
            nothing is set.
        """
        self._store.set(values)

    def printWeights(self):
        """Print the shape, mean, standard deviation and range of each parameter."""
        print_table(self.parameters())

    def printDerivatives(self):
        """Print the same of RMSprop's running root mean squares of the gradients."""
        means = self._store.get_means()
        print_table({f"D{name}": np.sqrt(mean) for name, mean in means.items()})

    # Generating

    def genMusic(self, startVectors, noOfSamps, *, seed=None):
        """Run a primer through the network, then feed its own samples back.

        Parameters
        ----------
        startVectors : array_like of shape (steps, io_length)
            The primer, values in [0, 1]; or (tunes, steps, io_length) for as many
            tunes at once.
        noOfSamps : int
            Steps to generate.
        seed : int, optional
            Makes the samples repeatable, whatever was drawn before; None goes on with
            the object's own random numbers.

        Returns
        -------
        tune, probabilities : ndarray of shape (noOfSamps, io_length)
            Zeros and ones, and the probability that each was sampled with, zero where
            it was below ``genProbThreshold``.  With a leading axis for many tunes.
        """
        noOfSamps = checks.whole("noOfSamps", noOfSamps)
        primer = getattr(startVectors, "piano_roll", startVectors)
        primer = checks.array("startVectors", primer, self.dtype)
        many = primer.ndim == 3
        if many:
            primer = checks.minibatch(
                "startVectors", primer, self.io_length, self.dtype
            )
        else:
            primer = checks.roll("startVectors", primer, self.io_length, self.dtype)
            primer = primer[:, None]
        if seed is not None:
            checks.whole("seed", seed, low=0)
        rng = self.rng if seed is None else np.random.default_rng(seed)
        uniform = rng.random((noOfSamps, *primer.shape[1:]), dtype=self.dtype)
        threshold = np.array(self.genProbThreshold, dtype=self.dtype)
        tune, y = (
            roll.swapaxes(0, 1)
            for roll in self._functions.generate(primer, uniform, threshold)
        )
        return (tune, y) if many else (tune[0], y[0])

    # Keeping

    def saveParameters(self, fileName):
        """Save all that training and generation go on from, as the original's .npz.

        ``.npz`` is appended when missing.  A failed or killed save leaves an older file
        of that name whole.
        """
        parameterfile.write(fileName, self._saved())

    def _saved(self):
        names = (
            "R1 R2 R3 Rout epsilon gradClip genProbThreshold "
            "sigRand muRand cost originalForward"
        )
        weights = parameters.weight_shapes(self.h_lengths, self.io_length)
        values = self.parameters()
        return parameterfile.Saved(
            h_lengths=self.h_lengths,
            io_length=self.io_length,
            weights={name: values.pop(name) for name in weights},
            state=values,
            means=self._store.get_means(),
            settings={name: getattr(self, name) for name in names.split()},
            loss=self.loss,
            history=list(self.instantaneousCost),
            rng_state=self.rng.bit_generator.state,
        )

    def loadParameters(self, fileName):
        """Load what `saveParameters`, here or of the original program, has written.

        Weights, state at step −1, RMSprop's means, random state, rates and other
        settings, and the history; not the cost and the form of the forward pass, which
        stay the object's own, with a warning.  ``.npz`` is appended when missing.

        Of the original's files the RMSprop state, no running mean of squares (D4), is
        set aside with a warning; the state at step −1, which training ignored (D9),
        becomes zero; Rout, which they lack, stays the object's own.

        Raises
        ------
        FileNotFoundError
        ParameterFileError
            A ValueError: not such a file, or damaged.
        ValueError
            If the file's sizes differ from the object's; both are named.

        In each case the object stays as it was.
        """
        saved = parameterfile.read(fileName)
        ours = (*self.h_lengths, self.io_length)
        theirs = (*saved.h_lengths, saved.io_length)
        if ours != theirs:
            raise ValueError(
                f"{fileName} holds a network of sizes {theirs}, this one has {ours} "
                "(h1_length, h2_length, h3_length, io_length); RNN4Music.fromFile "
                "makes one of the file's own sizes"
            )
        self._take(saved, fileName)

    @classmethod
    def fromFile(cls, fileName, *, mode=None):
        """Make an object of a file's own sizes and settings, and load the file.

        A file of the original program gives an object with ``originalForward=True``:
        the form that its weights were trained in.
        """
        saved = parameterfile.read(fileName)
        return cls._of(saved, fileName, mode, pytensor.config.floatX)

    @classmethod
    def _of(cls, saved, source, mode, dtype):
        with pytensor.config.change_flags(floatX=dtype):
            model = cls(*saved.h_lengths, saved.io_length, mode=mode, **saved.settings)
        model._take(saved, source)
        return model

    def __reduce__(self):
        """Copy and pickle what a file would hold; functions are compiled anew."""
        return self._of, (self._saved(), repr(self), self.mode, self.dtype.name)

    def _take(self, saved, fileName):
        if saved.means is None:
            warnings.warn(
                f"{fileName} is of the original program: its RMSprop state is set "
                "aside (D4), and the state at step −1 is zero (D9)",
                stacklevel=3,
            )
        for name in ("cost", "originalForward"):
            theirs = saved.settings.get(name, getattr(self, name))
            if theirs != getattr(self, name):
                warnings.warn(
                    f"{fileName} was trained with {name}={theirs!r}; this object has "
                    f"and keeps {getattr(self, name)!r}, so that its numbers differ",
                    stacklevel=3,
                )
        state = saved.state or {
            name: np.zeros(shape)
            for name, shape in parameters.state_shapes(self.h_lengths).items()
        }
        self._store.check(saved.means or {})  # before anything is set
        self._store.set(saved.weights | state)
        self._store.set_means(saved.means)
        for name, value in saved.settings.items():
            if name not in ("cost", "originalForward"):
                setattr(self, name, value)
        if saved.rng_state is not None:
            self.rng.bit_generator.state = saved.rng_state
        self.instantaneousCost = list(saved.history)
        self.loss = saved.loss


def progress_bar(total, wanted):
    """Make a progress bar that shows itself on a terminal or in a notebook only."""
    on_terminal = sys.stderr is not None and sys.stderr.isatty()
    seen = on_terminal or "ipykernel" in sys.modules
    return tqdm(total=total, unit="update", disable=not (wanted and seen))


def print_table(arrays):
    """Print a line for each array: name, shape, mean, deviation, range."""
    for name, a in arrays.items():
        print(
            f"{name:8} {a.shape!s:12} mean {a.mean():+.4e}  std {a.std():.4e}  "
            f"from {a.min():+.4e} to {a.max():+.4e}"
        )
