"""Handle Ctrl-C while training: the first requests a stop, the second interrupts."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Interruption:
    """Request a stop at the first Ctrl-C; raise KeyboardInterrupt at the second.

    Within `postponed` the second waits, so that the weights are whole.  Only the main
    thread handles signals; an ignored SIGINT stays ignored.

    Attributes
    ----------
    wanted : bool
        A stop was requested.
    """

    def __init__(self):
        self.wanted = False
        self.at_once = False
        self.busy = False

    def __enter__(self) -> "Interruption":
        self.usual = None
        if threading.current_thread() is threading.main_thread():
            usual = signal.getsignal(signal.SIGINT)
            if usual not in (signal.SIG_IGN, None):  # None: not set by Python
                self.usual = usual
                signal.signal(signal.SIGINT, self._asked)
        return self

    def __exit__(self, *_):
        if self.usual is not None:
            signal.signal(signal.SIGINT, self.usual)

    def _asked(self, *_):
        self.at_once, self.wanted = self.wanted, True
        if self.at_once and not self.busy:
            raise KeyboardInterrupt

    @contextmanager
    def postponed(self) -> Iterator[None]:
        """Return a context at whose end, not within it, a second Ctrl-C interrupts."""
        self.busy = True
        try:
            yield
        finally:
            self.busy = False
        if self.at_once:
            raise KeyboardInterrupt
