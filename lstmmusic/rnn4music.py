"""Hold a network's weights, train, evaluate and generate: `RNN4Music`."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import attrgetter
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from lstmmusic import checks, stuck
from lstmmusic.checks import Checked, Fixed, check_float, check_int
from lstmmusic.data.batches import check_tune, mean_over_tunes
from lstmmusic.data.formats import FormatCheck, check_format
from lstmmusic.engine import forks
from lstmmusic.engine.backend import Backend, choose_device, choose_dtype, choose_mode
from lstmmusic.engine.functions import Functions
from lstmmusic.engine.store import OPTIMIZERS, Store
from lstmmusic.model import network, outputs, parameters
from lstmmusic.training import checkpoint as checkpoints
from lstmmusic.training import describe, evaluation, generation, memory, settings
from lstmmusic.training.inside import Influence, States, find_influence, find_states
from lstmmusic.training.log import Progress
from lstmmusic.training.loop import TrainingError
from lstmmusic.training.mpi import Ranks
from lstmmusic.training.parameter_file import read as read_file
from lstmmusic.training.parameter_file import write as write_file
from lstmmusic.training.prepare import check_targets, check_tunes, prepare_training
from lstmmusic.training.state import Arguments, TrainState, state_attribute

if TYPE_CHECKING:
    from midi.formats import RollFormat

SIZES = ("h1_length", "h2_length", "h3_length", "io_length")
RATES = ("R1", "R2", "R3", "Rout")
FileName = str | PathLike


class RNN4Music:
    """Predict each step of a tune from those before, by a three-layer peephole LSTM.

    An object is not safe for use by several threads at once.

    Parameters
    ----------
    h1_length, h2_length, h3_length, io_length : int
        Cells in each layer; notes, the width of the piano-rolls.
    R1, R2, R3, Rout : float
        Training rates of the layers and of the output.
    cost : {'cross-entropy', 'squared-error'}
        In nats, or halved squares; summed over steps and notes, mean over tunes.
    epsilon : float
        Lower bound of RMSprop's mean of squares, before the root.
    gradClip : float
        Each element of the gradient is clipped to ±gradClip.
    sigRand, muRand : float
        First weights have deviation sigRand, the state at step −1 is U[0, muRand].
    genProbThreshold : float
        In generation, smaller probabilities count as zero.
    seed : int, optional
        Same seed, same backend, as many CPUs: same bits.  None draws a new one.
    originalForward : bool
        Layer 1's output gate looks at a_g, as in the original program (D3).
    optimizer : {'RMSprop', 'Adam'}
        Adam's constants are its paper's; ``epsilon`` is RMSprop's.
    gradNorm : float, optional
        Limit of the norm of the whole gradient, before gradClip; None for none.
    dropout : float
        Share, from 0 to 0.99, of each layer's outputs that training hides from the
        next layer and the output.
    fixedMasks : bool
        Drop the same outputs at all steps of a tune, not others at each step.
    mode : {None, 'JAX', 'NUMBA'}
        PyTensor's backend; None is JAX.
    device : {'cpu', 'cuda'}
        'cuda' computes on an NVIDIA GPU, with JAX (``pip install 'lstmmusic[cuda]'``).
    tf32 : bool
        On a GPU, 10 bits, not 23, of fractions in float32 products: fast, less exact.
    dtype : {None, 'float32', 'float64'} or numpy.dtype
        Of all numbers; None is ``pytensor.config.floatX`` when the object is made.
    output : {'independent', 'joint'}
        'joint' predicts each note of a step from those drawn before it, too.
    jointUnits : int
        Its hidden units; 0 leaves the direct weights from note to note alone.
    noteOrder : {'up', 'down'}
        Whether it draws a step's lowest or highest note first.
    restruck : bool
        The second half of the columns marks notes struck again (`midi.RollFormat`);
        with the joint output alone.

    Attributes
    ----------
    R1, R2, R3, Rout, epsilon, gradClip, gradNorm, dropout, genProbThreshold : float
        May be set at any time; the next call uses them, without compiling again.
    instantaneousCost : list of float
        The minibatch's cost before each update so far; ``loss`` is the last, or NaN.
    stepsOfCost, costPerStep : list of float
        The steps that each cost sums up (for whole tunes their mean length), and the
        cost divided by them; NaN where not known, in files before version 3.
    validationCost : list of (int, float)
        After how many updates, and the validation's nats per step.
    trainings : list of dict
        Of each training, oldest first, ``command``, ``updates`` and settings.
    trainingOver : bool
        Whether no training is unfinished: none has begun, or the last has ended.
    rollFormat : midi.RollFormat or None
        Pitches and step of the tunes trained on, from MidiRoll, PackedRoll or
        RollArray.  Tunes of another format are then refused, and generated tunes carry
        it.  May be set; None lifts it.

    Raises
    ------
    ValueError
        For a value outside what is allowed, or, before any work, for a call that needs
        more memory than is free: the message names what is allowed or fits.

    References
    ----------
    A. Graves 2013, arXiv:1308.0850, eqs. 1-4, 7-11.  N. Srivastava et al. 2014
    (dropout); Y. Gal, Z. Ghahramani 2016, arXiv:1512.05287 (fixed masks);
    N. Boulanger-Lewandowski et al. 2012, arXiv:1206.6392 (joint output).

    Examples
    --------
    >>> import numpy as np
    >>> from lstmmusic import RNN4Music
    >>> scale = np.eye(12)[np.arange(48) % 12]  # (steps, notes)
    >>> model = RNN4Music(h1_length=5, h2_length=4, h3_length=3, io_length=12, seed=1)
    >>> costs = model.train(
    ...     [scale], noOfEpochPerMB=1, noOfEpoch=3, sizeOfMiniBatch=1, lengthOfMB=17
    ... )
    >>> tune, probabilities = model.genMusic(startVectors=scale[:4], noOfSamps=8)
    >>> len(costs), tune.shape
    (3, (8, 12))
    """

    h1_length, h2_length, h3_length, io_length = (
        Fixed(check_int, high=checks.LONGEST) for _ in SIZES
    )
    R1, R2, R3, Rout, epsilon, gradClip, sigRand, muRand, genProbThreshold, dropout = (
        Checked(settings.check_setting) for _ in settings.LIMITS
    )
    gradNorm = Checked(partial(checks.optional, check_float))
    fixedMasks = Checked(checks.truth)
    cost = Fixed(checks.one_of, allowed=outputs.COSTS)
    optimizer = Fixed(checks.one_of, allowed=OPTIMIZERS)
    output, jointUnits, noteOrder, restruck = (Fixed() for _ in settings.OUTPUT)
    originalForward, tf32 = (Fixed(checks.truth) for _ in range(2))
    mode, device, dtype = (Fixed() for _ in range(3))
    h_lengths = property(attrgetter(*SIZES[:3]), doc="The layers' numbers of cells.")
    rates = property(attrgetter(*RATES), doc="R1, R2, R3, Rout.")
    notes = property(describe.notes, doc="How many columns say what sounds.")

    instantaneousCost: list[float] = state_attribute("costs")
    stepsOfCost: list[float] = state_attribute("steps")
    costPerStep: list[float] = state_attribute("costs_per_step")
    validationCost: list[tuple[int, float]] = state_attribute("validation")
    trainings: list[dict] = state_attribute("records")
    trainingOver: bool = state_attribute("over")
    rollFormat: "RollFormat | None" = state_attribute(
        "roll_format",
        lambda model, value: check_format(value, model.io_length, model.restruck),
    )
    _in_callback = False  # of `train`
    loss: float = state_attribute("loss")
    rng: np.random.Generator = state_attribute("rng")

    #: The symbolic passes, on a ``Network`` of ``parameters.pack(model.parameters())``.
    forwardPass = staticmethod(network.forward_pass)
    backwardPass = staticmethod(network.backward_pass)

    def __init__(
        self, h1_length: int = 200, h2_length: int = 200, h3_length: int = 200,
        io_length: int = 88, R1: float = 0.0001, R2: float = 0.0001,
        R3: float = 0.0001, Rout: float = 0.0001, *, cost: str = "cross-entropy",
        epsilon: float = 1e-5, gradClip: float = 30.0, sigRand: float = 0.1,
        muRand: float = 0.01, genProbThreshold: float = 0.1, seed: int | None = None,
        originalForward: bool = False, optimizer: str = "RMSprop",
        gradNorm: float | None = None, dropout: float = 0.0, fixedMasks: bool = False,
        mode: str | None = None, device: str = "cpu", tf32: bool = False,
        dtype: str | None = None, output: str = "independent", jointUnits: int = 128,
        noteOrder: str = "up", restruck: bool = False,
    ):  # fmt: skip
        self.h1_length, self.h2_length, self.h3_length = h1_length, h2_length, h3_length
        self.io_length, self.cost, self.optimizer = io_length, cost, optimizer
        self.R1, self.R2, self.R3, self.Rout = R1, R2, R3, Rout
        self.epsilon, self.gradClip, self.gradNorm = epsilon, gradClip, gradNorm
        self.dropout, self.genProbThreshold = dropout, genProbThreshold
        self.sigRand, self.muRand, self.fixedMasks = sigRand, muRand, fixedMasks
        self.originalForward, self.tf32 = originalForward, tf32
        given = output, jointUnits, noteOrder, restruck
        wanted = dict(zip(settings.OUTPUT, given, strict=True))
        checked = settings.check_output(wanted, self.cost, self.io_length)
        self.output, self.jointUnits, self.noteOrder, self.restruck = checked.values()
        self.mode, self.dtype = choose_mode(mode), choose_dtype(dtype)
        self.device = choose_device(self.mode, device)
        self._train_state = TrainState(checks.generator("seed", seed))
        sizes = {name: getattr(self, name) for name in SIZES}
        units = settings.joint_units(checked)
        memory.check_network(sizes, self.dtype, self.optimizer, units)
        self._sizes = self.h_lengths, self.io_length, units
        deviations = self.sigRand, self.muRand
        first = parameters.first_values(self.rng, *self._sizes[:2], *deviations, units)
        self._store = Store(first, self.dtype, self.optimizer)
        backend = Backend(self.mode, self.device, self.tf32)
        form = self.output, self.cost, self.noteOrder, self.restruck
        output = outputs.make_output(*form)
        self._functions = Functions(self._store, output, self.originalForward, backend)

    __repr__ = describe.describe
    __reduce__ = checkpoints.reduce  # for copy and pickle

    def train(
        self, dataset: Sequence, noOfEpochPerMB: int, noOfEpoch: int,
        sizeOfMiniBatch: int, lengthOfMB: int | None, lam: float = 0.0, *,
        average: str = "tune", rateDecay: str | None = None,
        validation: Sequence | None = None, patience: int | None = None,
        checkpoint: FileName | None = None, checkpointEvery: int | None = None,
        checkpointMinutes: float = 5.0, resume: bool = False, progress: bool = True,
        comm: Any = None, sources: Sequence | None = None, command: str | None = None,
        rollFormat: "RollFormat | None" = None,
        callback: Callable[[Progress], object] | None = None,
        callbackEvery: int | None = None,
    ) -> list[float]:  # fmt: skip
        """Train by gradient descent (step t predicts t+1); return `instantaneousCost`.

        With a ``lengthOfMB`` an epoch draws ``sizeOfMiniBatch`` tunes at random,
        without replacement, repeats a shorter tune and truncates a longer one to
        ``lengthOfMB`` steps, and makes ``noOfEpochPerMB`` updates on that minibatch.
        With ``lengthOfMB=None`` an epoch is one pass over all tunes, each whole: padded
        to its minibatch's longest, and the padding left out of cost and gradient.

        The first Ctrl-C ends the training after the update at hand, and keeps all that
        it has learnt; the second interrupts at once.  A cost of over ten times its
        lowest for 20 updates gives one warning.

        Parameters
        ----------
        dataset : sequence of array_like (steps, io_length)
            Piano-rolls in [0, 1], joint 0 or 1, or what `midi.midiread` returns.
        noOfEpochPerMB, noOfEpoch, sizeOfMiniBatch : int
        lengthOfMB : int or None
            Steps, at least 2; None takes whole tunes: the longest pads its minibatch.
        lam : float
            Factor of the L1 norm of matrices and peepholes.
        average : {'tune', 'step'}
            The cost of a minibatch of whole tunes: mean over its tunes of their summed
            cost, or mean over all its steps.
        rateDecay : {None, 'cosine'}
            The rates fall from their full values to zero over the whole training, as
            half a cosine wave (I. Loshchilov, F. Hutter 2017, arXiv:1608.03983).
        validation : sequence of tunes, optional
            Evaluated after each epoch (`evaluate`, `validationCost`); at the end the
            network has the weights that did best.  Tunes of this training give a
            warning.
        patience : int, optional
            Stop after so many epochs without a better validation.
        checkpoint : path, optional
            Save there, as `saveParameters` does, as it goes and at the end, in place of
            what is there.
        checkpointEvery, checkpointMinutes : int, float
            Updates from one save to the next; if None, as by default, minutes.
        resume : bool
            Go on with a stopped training of the same arguments: of the file
            ``checkpoint`` if it is there and not behind this object's same training,
            otherwise of this object; with neither, ``checkpoint`` begins one.  It ends
            as if it had never stopped, bit for bit on as many CPUs.
        progress : bool
            Show a progress bar with the cost, on a terminal or in a notebook.
        comm : mpi4py.MPI.Comm, optional
            Train with all its ranks: each calls this with the same arguments and takes
            a part of each minibatch, all take the first rank's network, and it alone
            shows progress and writes.  The sums are those of one process, to rounding.
            An error of one rank alone ends the job.
        sources : sequence of tunes, optional
            The tunes that ``dataset`` was made from, by cutting, marking or
            transposing: recorded as trained on (`wasTrainedOn`); default ``dataset``.
        command : str, optional
            The typed command, for the training's record in `trainings`.
        rollFormat : midi.RollFormat, optional
            What the rows and columns of plain arrays stand for.
        callback : callable, optional
            Called with a `Progress` after each epoch; if it returns True, the training
            stops there as by Ctrl-C.  Its error ends the training, which can then be
            resumed; it must not train or load the same object.  With ``comm`` the first
            rank alone calls it, and its True stops all.  `log_to` makes one.
        callbackEvery : int, optional
            Call it after each so many updates of the training, not after each epoch;
            with a ``validation`` also after each epoch.

        Raises
        ------
        ValueError
            Before any work: for data or numbers outside what is allowed, tunes of
            different `midi.RollFormat`, or of another than ``rollFormat``, a
            ``checkpoint`` that cannot be written, other arguments than those of the
            resumed training, or too little memory (see docs/explanation/limits.md).
        TrainingError
            The cost or a weight is no longer finite, or a weight beyond ±1e6: training
            has diverged.  All is as before the update that the message names.
        CheckpointError
            An OSError, as on a full disk; ``resume=True`` goes on with the object.
        """
        forks.refuse("train", self.mode)
        ranks = Ranks(comm)
        less = "sizeOfMiniBatch and lengthOfMB"
        with memory.explained(less), ranks.together(agreed=TrainingError):
            arguments = Arguments(
                dataset, noOfEpochPerMB, noOfEpoch, sizeOfMiniBatch, lengthOfMB, lam,
                average, rateDecay, validation, patience, checkpoint, checkpointEvery,
                checkpointMinutes, resume, progress, sources, command, rollFormat,
                callback, callbackEvery,
            )  # fmt: skip
            training = prepare_training(self, ranks, arguments)
            training.begin(resume, checkpoint)
            training.run(progress)
        return list(self.instantaneousCost)

    def wasTrainedOn(self, tune: ArrayLike) -> bool | None:
        """Return whether the network was trained on a tune; None where not known.

        ``tune`` is array_like of shape (steps, io_length), MidiRoll or PackedRoll.
        Tunes are compared by a digest of 8 bytes, in the form they had in ``dataset``,
        or ``sources``, of `train`: a transposed tune is another tune.  None where
        matrices came from the original program, from a file before version 3 or from
        `setParameters`, and the tune was not trained on since.  ValueError if the tune
        has another format than `rollFormat`.
        """
        FormatCheck.of_model(self).check_roll("the tune", tune)
        checked = check_tune("tune", tune, self.io_length, self.dtype)
        return self._train_state.trained_on.holds(checked)

    def setNewRates(self, R1: float, R2: float, R3: float, Rout: float) -> None:
        """Set the training rates of the three layers and the output."""
        given = zip(RATES, (R1, R2, R3, Rout), strict=True)
        self.R1, self.R2, self.R3, self.Rout = [check_float(*rate) for rate in given]

    def resetStates(self) -> None:
        """Draw the state at step −1 anew, from U[0, muRand] (D9)."""
        self._store.set(parameters.first_state(self.rng, self.h_lengths, self.muRand))

    def resetRMSgrads(self) -> None:
        """Set the moments of the optimizer, RMSprop or Adam, to zero."""
        self._store.set_moments()

    def evaluate(
        self, dataset: Sequence, *, skipFirst: bool = True, sizeOfBatch: int = 32
    ) -> evaluation.Evaluation:
        """Return an `Evaluation`: nats per step and accuracy, pooled and of each tune.

        Parameters
        ----------
        dataset : sequence of array_like (steps, io_length)
            Values in [0, 1]; each at least 2 steps, or 1 without ``skipFirst``.
        skipFirst : bool
            Rows 0…T−2 go in and rows 1…T−1 are predicted (Bai et al. 2018,
            arXiv:1803.01271).  Otherwise a row of zeros goes in first, and every row is
            predicted.
        sizeOfBatch : int
            Tunes evaluated at once; it matters for time and memory alone.
        """
        forks.refuse("evaluate", self.mode)
        skip = checks.truth("skipFirst", skipFirst)
        size = check_int("sizeOfBatch", sizeOfBatch)
        tunes = check_tunes(self, dataset, "the dataset", least=1 + skip)
        memory.check_evaluation(self, tunes, size)
        with memory.explained("sizeOfBatch"):
            return evaluation.evaluate(self._functions, tunes, size, skip)

    def probabilities(self, tune: ArrayLike) -> np.ndarray:
        """Return the network's y over a tune (T, io_length), values in [0, 1].

        Row t, of T, is the probability of each note at step t+1, given rows 0…t, from
        the state at step −1; with the joint output, given also the tune's notes of step
        t+1 that come before in ``noteOrder``, so that the last row is NaN.  It is 0
        where a note cannot be struck again, not sounding in both row t and row t+1.

        From independent notes' last row ``genMusic(tune, 1)`` draws, but for threshold
        and rounding: 1e-6 in float32, more if the network amplifies differences.
        """
        forks.refuse("probabilities", self.mode)
        FormatCheck.of_model(self).check_roll("the tune", tune)
        roll = checks.roll("tune", tune, self.io_length, self.dtype)
        memory.check_probabilities(check_targets(self, "tune", roll))
        y = self._functions.probabilities(roll[:, None], np.roll(roll, -1, 0)[:, None])
        if self.output == "joint":
            y[-1] = np.nan  # the row that follows is not known
        return y[:, 0]

    def states(self, tune: ArrayLike) -> States:
        """Return what the network does over a tune: `States`, gates, memory and output.

        ``tune`` is array_like of shape (T, io_length), values in [0, 1]; the network
        reads it from the state at step −1.  ``states.layers[0].c``, (T, h1_length), is
        the memory of layer 1, ``states.Y`` what the layers send to the notes.
        """
        forks.refuse("states", self.mode)
        return find_states(self, tune)

    def influence(
        self, tune: ArrayLike, step: ArrayLike, note: ArrayLike,
        integrated: int | None = None,
    ) -> Influence:  # fmt: skip
        """Return which notes speak for one note of a tune, and which against it.

        That is the derivative of the note's log-odds, given all rows before and, with
        the joint output, the notes of its row drawn before: an `Influence`.

        Parameters
        ----------
        tune : array_like of shape (T, io_length)
            Values in [0, 1], joint 0 or 1.
        step, note : int, or sequence of int of shape (P,)
            Row and column of the note, which need not sound.  ``step`` is at least 1,
            and at most T, the row after the end; joint T − 1.  Of P notes the arrays
            get a leading axis, and ``past`` max(step) rows, zero from each step on.  A
            note struck again (``restruck``) must sound in this step and the one before.
        integrated : int, optional
            Number of points, such as 50, of the straight path from silence to the tune
            at which the derivative is taken; more where it changes fast.  ``past`` and
            ``chord`` add up to ``log_odds`` − ``baseline``, to 1 % and 1e-4 nats, or
            with a warning (M. Sundararajan et al. 2017, arXiv:1703.01365).

        Examples
        --------
        >>> import numpy as np
        >>> from lstmmusic import RNN4Music
        >>> scale = np.eye(12)[np.arange(48) % 12]  # (steps, notes)
        >>> model = RNN4Music(h1_length=5, h2_length=4, h3_length=3, io_length=12)
        >>> found = model.influence(scale, step=9, note=9)
        >>> found.past.shape, found.chord.shape
        ((9, 12), (12,))
        """
        forks.refuse("influence", self.mode)
        return find_influence(self, tune, step, note, integrated)

    def gradients(
        self, inputs: ArrayLike, targets: ArrayLike
    ) -> tuple[float, dict[str, np.ndarray]]:
        """Return the cost of a minibatch and its gradient, by the hand-written pass.

        ``inputs`` and ``targets`` are array_like of shape (B, T, io_length), values in
        [0, 1].  The cost is the mean over B tunes of its sum over steps and notes; the
        gradient is {original name: ndarray}, unclipped, without L1.  With ``restruck``
        a row of inputs (above ½) and its targets say where a note can be struck again.
        """
        forks.refuse("gradients", self.mode)
        given = {"inputs": inputs, "targets": targets}
        for name, rolls in given.items():
            FormatCheck.of_model(self).check_roll(name, rolls)
        x, rows_after = checks.minibatches(given, self.io_length, self.dtype)
        check_targets(self, "targets", rows_after.swapaxes(0, 1))
        memory.check_gradients(self, x)
        cost, leaves = self._functions.gradients(mean_over_tunes(x, rows_after))
        return cost, parameters.unpack(network.from_leaves(self._store.weights, leaves))

    def parameters(self) -> dict[str, np.ndarray]:
        """Return {original name: array} of all weights, and of the state at step −1."""
        return self._store.get()

    def setParameters(self, values: Mapping[str, ArrayLike]) -> None:
        """Set all or some of what `parameters` returns.

        An unknown name, a wrong shape or a value not finite raises a ValueError, and
        nothing is set.  `wasTrainedOn` may no longer know all after setting a matrix.
        """
        self._store.set(values)
        if any(np.ndim(value) == 2 for value in values.values()):
            self._train_state.set_foreign_weights()

    def printWeights(self) -> None:
        """Print the shape, mean, standard deviation and range of each parameter."""
        print(describe.table(self.parameters()))

    def printDerivatives(self) -> None:
        """Print the same of the gradients' running root mean squares."""
        means = self._store.get_moments().means
        print(describe.table({f"D{name}": np.sqrt(a) for name, a in means.items()}))

    def genMusic(
        self, startVectors: ArrayLike | None, noOfSamps: int, *,
        seed: int | None = None, temperature: float = 1.0, maxNotes: int | None = None,
        keepPrimer: bool = False, noOfTunes: int = 1, given: ArrayLike | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """Run a primer through the network, then feed its own samples back.

        A warning says what to turn if a tune has no note (and more than 8 steps), or
        none in more than 32 steps at its end, or holds one for more than 32 steps.

        Parameters
        ----------
        startVectors : array_like of shape (steps, io_length)
            The primer, values in [0, 1]; or (tunes, steps, io_length) for as many
            tunes at once.  None begins at the state at step −1 with one row of silence,
            which ``keepPrimer`` does not return.
        noOfSamps : int
            Steps to generate.
        seed : int, optional
            Makes the samples repeatable, whatever was drawn before; None goes on with
            the object's own random numbers.
        temperature : float
            At least 0.  Notes are drawn with σ(Y / temperature), where σ(Y) is the
            network's probability: 1 is the original, less is more certain, 0 takes the
            notes above ½.  At any temperature a note whose σ(Y) is below
            ``genProbThreshold`` stays silent.  The joint output has s in place of Y.
        maxNotes : int, optional
            Of the notes drawn at a step, at most so many sound, the most probable; of
            equally probable ones, the lowest.  They alone are fed back, and only
            they can be struck again.
        keepPrimer : bool
            Return the primer, too, in front of the tune.
        noOfTunes : int
            So many tunes after the one primer, each with its own samples.
        given : array_like of shape (noOfSamps, io_length), optional
            Or (tunes, noOfSamps, io_length).  1 sounds, 0 is silent, NaN is drawn.
            Given notes count for ``maxNotes``, and always stay.  A step is drawn
            exactly from the model if its free notes follow the given ones in
            ``noteOrder``, as below a melody with 'down': notes drawn before do not know
            of them, and no step looks ahead at what is given later.  A note given as
            struck again that does not sound in this step and the one before stays
            silent, and is a ValueError if that is known before.

        Returns
        -------
        tune, probabilities : ndarray of shape (noOfSamps, io_length)
            Zeros and ones, and the probability that each was drawn with, zero where
            the network's own was below ``genProbThreshold``.  A kept primer's steps
            come first, with the probability with which each would have been drawn, NaN
            in the first row; given notes likewise.  With a leading axis for many tunes.
            They are `midi.RollArray` if the network has a `rollFormat`.

        Raises
        ------
        ValueError
            For an argument outside what is allowed, a primer or ``given`` of another
            format than `rollFormat`, or too little memory.
        """
        forks.refuse("genMusic", self.mode)
        steering = seed, temperature, maxNotes, keepPrimer, noOfTunes, given
        wanted = generation.Wanted(startVectors, noOfSamps, *steering)
        tunes, y, many = generation.generate(self, wanted)
        stuck.warn_if_stuck(self, tunes[:, -noOfSamps:], float(temperature))
        return (tunes, y) if many else (tunes[0], y[0])

    def saveParameters(self, fileName: FileName) -> None:
        """Save all that training and generation go on from, as the original's .npz.

        ``.npz`` is appended when missing; if a folder has the name without it, a
        warning says so.  A failed or killed save leaves an older file of that name
        whole.  ValueError for a folder (``run/``, ``.``) or no regular file; OSError if
        the file cannot be written.
        """
        write_file(fileName, checkpoints.snapshot(self))

    def loadParameters(self, fileName: FileName) -> None:
        """Load a file of `saveParameters`, here or of the original program.

        It sets the weights, the state at step −1, the optimizer's means, the random
        state, rates and other settings, and the history.  The cost, the optimizer and
        the form of the forward pass stay the object's own, with a warning; the means
        of another optimizer become zero.  ``.npz`` is appended when missing.

        Of the original's files the RMSprop state, no running mean of squares (D4), is
        set aside with a warning; the state at step −1, which training ignored (D9),
        becomes zero; Rout, which they lack, stays the object's own.  After an error the
        object is as it was.

        Raises
        ------
        FileNotFoundError
        ParameterFileError
            A ValueError: not such a file, or damaged.
        ValueError
            If its sizes or output differ from the object's, but that a joint object
            takes up a finished training of independent notes.
        """
        checkpoints.restore(self, checkpoints.read_for(self, fileName), fileName)

    @classmethod
    def fromFile(
        cls, fileName: FileName, *, mode: str | None = None, device: str = "cpu",
        tf32: bool = False, dtype: str | None = None, output: str | None = None,
        jointUnits: int | None = None, noteOrder: str | None = None,
    ) -> "RNN4Music":  # fmt: skip
        """Make an object of a file's own sizes and settings, and load the file.

        ``mode``, ``device``, ``tf32`` and ``dtype`` are those of `RNN4Music`.  A file
        of the original program gives an object with ``originalForward=True``: the form
        that its weights were trained in.

        ``output='joint'`` takes up a network trained with independent notes: it has the
        same likelihood until its first update.  ValueError if its training is not over,
        or for another output than a file's joint one.
        """
        where = {"mode": mode, "device": device, "tf32": tf32, "dtype": dtype}
        wanted = {"output": output, "jointUnits": jointUnits, "noteOrder": noteOrder}
        saved = read_file(fileName)
        saved = checkpoints.with_output(saved, wanted, fileName)
        return checkpoints.make_model(cls, saved, fileName, where)
