"""A run of main.py that ends early: what is kept of it, and how to go on."""

import contextlib
import os
import signal
import tempfile
import threading

from command import as_typed, going_on, without_resume

from lstmmusic.checks import counted

INTERRUPTED = 130  # the exit code of what Ctrl-C has stopped


def stop(parser, message, way_on):
    """Leave after Ctrl-C with a line that says how to go on."""
    parser.exit(INTERRUPTED, f"{parser.prog}: {message}; {way_on}\n")


def stop_at_once(parser, model, before, options):
    """Leave after Ctrl-C, but save what was learnt.

    ``before`` is how many updates the network had when the run began.
    """
    done = len(model.instantaneousCost)
    if done == before:
        stop(parser, "stopped", again(options))
    whole = "all " if model.trainingOver else ""
    message = f"stopped after {whole}{counted(done, 'update')}"
    stop(parser, message, keep_training(model, options))


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
        """Raise KeyboardInterrupt if Ctrl-C has been pressed."""
        if self.pressed:
            raise KeyboardInterrupt


def again(options):
    """Say how to begin a run again."""
    return f"this begins again: {as_typed(options.typed)}"


def keep_training(model, options):
    """Save a training that has ended early, in the temporary folder if need be.

    Returns
    -------
    str
        Where it is, if not at ``--save``, and the command that goes on with it.
    """
    try:
        model.saveParameters(options.save)
        return f"saved to {options.save}; this goes on: {going_on(options)}"
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
        return f"{problem}; {folder}: {error.strerror}; what was learnt is lost"
    way_on = going_on(options, "--save", name)
    return f"{problem}; saved to {name}; this goes on: {way_on}"


def keep_weights(model, options):
    """Save weights from which a training diverged; say how to go on, at lower rates."""
    try:
        model.saveParameters(options.save)
    except OSError as error:
        return f"They are lost: --save is {options.save}: {error.strerror}"
    rates = [f"{rate / 10:g}" for rate in model.rates]
    more = ["--load", str(options.save), "--rates", *rates]
    command = as_typed([*without_resume(options.typed), *more])
    return f"This goes on from them at a tenth of the rates: {command}"


@contextlib.contextmanager
def output_folder(path):
    """Make a folder, and take it away in the end where nothing has come into it."""
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for folder in made:
            with contextlib.suppress(OSError):  # it is not empty
                folder.rmdir()
