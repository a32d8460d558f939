"""From MIDI files to new music: read, train, generate, and show all on a page.

With no arguments: Bach's chorales, in under three minutes on two cores.  journey.py
does it; options.py has the options, results.py and page.py what is shown.
"""

import sys

from command import let_go_of_stdout, open_closed_streams


def main(arguments=None):
    """Do the whole journey; the options are those of ``--help``."""
    try:
        from journey import main as journey  # takes seconds: Ctrl-C may come in them

        journey(arguments)
    except KeyboardInterrupt:
        sys.stderr.write("main.py: stopped\n")
        sys.exit(130)


if __name__ == "__main__":
    open_closed_streams()
    try:
        main()
    finally:
        try:
            sys.stdout.flush()  # the help, too, may have lost its reader
        except OSError:
            let_go_of_stdout()
