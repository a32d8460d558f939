"""Train on MIDI files, generate music, and show it all on a page.

Without arguments: Bach's chorales, in under three minutes on two cores.  journey.py
holds the steps in order, options.py the options, results.py and page.py the output.
"""

import sys

from command import discard_stdout, replace_closed_streams


def main(arguments=None):
    """Run the journey; ``--help`` lists the options."""
    try:
        from journey import main as journey  # takes seconds, in which Ctrl-C may come

        journey(arguments)
    except KeyboardInterrupt:
        sys.stderr.write("main.py: stopped\n")
        sys.exit(130)


if __name__ == "__main__":
    replace_closed_streams()
    try:
        main()
    finally:
        try:
            sys.stdout.flush()  # argparse prints the help without `say`
        except OSError:
            discard_stdout()
