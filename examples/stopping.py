"""End a run of main.py early: save the training, name the command that resumes it."""

import contextlib
import os
import signal
import tempfile
import threading

from command import join_words, resume_command, without_resume

from lstmmusic.checks import counted
from lstmmusic.training import parameter_file

INTERRUPTED = 130  # the exit code that shells give to Ctrl-C


def stop(parser, message, next_step):
    """Exit after Ctrl-C with a line that names the next command."""
    parser.exit(INTERRUPTED, f"{parser.prog}: {message}; {next_step}\n")


def save_and_stop(parser, model, before, options):
    """Exit after Ctrl-C, the training saved.

    ``before`` is how many updates the network had when the run began.
    """
    done = len(model.instantaneousCost)
    if done == before:
        stop(parser, "stopped", start_again(options))
    whole = "all " if model.trainingOver else ""
    message = f"stopped after {whole}{counted(done, 'update')}"
    stop(parser, message, save_training(model, options))


class CtrlC:
    """Remembers Ctrl-C, whose KeyboardInterrupt is lost where Python ignores errors.

    JAX's hook in the garbage collector is such a place.
    """

    def __enter__(self):
        self.pressed = False
        self.usual = signal.getsignal(signal.SIGINT)
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and self.usual is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._raise)
        return self

    def __exit__(self, *_):
        if signal.getsignal(signal.SIGINT) == self._raise:
            signal.signal(signal.SIGINT, self.usual)

    def _raise(self, *_):
        self.pressed = True
        raise KeyboardInterrupt

    def check(self):
        """Raise KeyboardInterrupt if Ctrl-C was pressed."""
        if self.pressed:
            raise KeyboardInterrupt


def start_again(options):
    """Return the message that names the command of this run."""
    return f"to start again: {join_words(options.typed)}"


def saved_to(path, command):
    """Return the message that names a saved file and the command that resumes."""
    return f"saved to {path}; to resume: {command}"


def save_training(model, options):
    """Save a training that ended early, in the temporary folder if need be.

    Returns
    -------
    str
        Where the file is, why it is not at ``--save``, and the command that resumes.
    """
    try:
        model.saveParameters(options.save)
        return saved_to(options.save, resume_command(options))
    except OSError as error:
        problem = f"--save is {options.save}: {error.strerror}"
    name = None
    try:
        handle, name = tempfile.mkstemp(prefix="lstmmusic-", suffix=".npz")
        os.close(handle)
        model.saveParameters(name)
    except OSError as error:
        if name is not None:
            os.unlink(name)
        folder = tempfile.gettempdir()
        return f"{problem}; {folder}: {error.strerror}; the training is lost"
    return f"{problem}; {saved_to(name, resume_command(options, '--save', name))}"


def save_diverged(model, options):
    """Save the weights before a divergence; name a command with lower rates."""
    try:
        model.saveParameters(options.save)
    except OSError as error:
        return f"The weights are lost: --save is {options.save}: {error.strerror}"
    rates = [f"{rate / 10:g}" for rate in model.rates]
    more = ["--load", str(options.save), "--rates", *rates]
    command = join_words([*without_resume(options.typed), *more])
    return f"To go on from there at a tenth of the rates: {command}"


@contextlib.contextmanager
def output_folder(path):
    """Make a folder, and remove it in the end if it is empty."""
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for folder in made:
            with contextlib.suppress(OSError):  # it is not empty
                folder.rmdir()


def refuse_to_overwrite(path, load=None):
    """Raise ValueError if a new training would overwrite a stopped one.

    Nothing is lost, and nothing refused, if the stopped one has no update, or only
    those of the file ``load``.
    """
    try:
        saved = read_unfinished(path)
    except parameter_file.ParameterFileError:
        raise ValueError(
            f"{path} would be overwritten, but is no parameter file; allowed are "
            "another --out or --save, and to move that file away"
        ) from None
    if not saved or not saved.training.costs:
        return
    other = None
    with contextlib.suppress(parameter_file.ParameterFileError):  # `fromFile` raises it
        other = read_unfinished(parameter_file.with_suffix(load)) if load else None
    if not other or other.training.costs != saved.training.costs:
        done = counted(len(saved.training.costs), "update")
        raise ValueError(
            f"{path} holds a training that was stopped after {done}; allowed are "
            "--resume, which continues it, another --out or --save, and to remove "
            "that file first"
        )


def read_unfinished(path):
    """Return the contents of a stopped training's file; None for any other file."""
    if not path.is_file():
        return None
    saved = parameter_file.read(path)
    return None if saved.training.over else saved
