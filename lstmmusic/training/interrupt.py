"""Ctrl-C while training: the first requests a stop, the second interrupts."""

import signal
import threading
from contextlib import contextmanager


class Interruption:
    """The first Ctrl-C requests a stop; the second raises KeyboardInterrupt.

    Within ``postponed`` the second waits for its end, so that the weights are whole.
    Main thread only; where SIGINT is ignored, it stays ignored.
    """

    def __init__(self):
        self.wanted = False
        self.at_once = False
        self.busy = False

    def __enter__(self):
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
    def postponed(self):
        self.busy = True
        try:
            yield
        finally:
            self.busy = False
        if self.at_once:
            raise KeyboardInterrupt
