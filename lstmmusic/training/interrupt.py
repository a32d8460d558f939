"""Ctrl-C while training: the first requests a stop, the second interrupts."""

import signal
import threading
from contextlib import contextmanager


class Interruption:
    """While it is entered, Ctrl-C asks to stop, and a second Ctrl-C interrupts.

    Not in the middle of what is ``postponed``: the weights are whole after it.  Only
    the main thread can be asked, and not where Ctrl-C is ignored.
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
