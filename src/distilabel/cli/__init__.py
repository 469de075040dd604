"""The command `distilabel`. What a verb needs is imported when the verb is used."""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line, and end the process with its exit code.

    0: well, or nobody reads any more; 1: a run failed; 2: what was asked for cannot work; 130:
    Ctrl-C.
    """
    from distilabel.cli.plain import has_lost_its_reader, keep_pipes_plain

    keep_pipes_plain()
    try:
        from distilabel.cli.app import app

        app()
    except KeyboardInterrupt:  # before a verb began; verbs see to it themselves
        sys.stderr.write("distilabel: stopped\n")
        sys.exit(130)
    except SystemExit as ended:
        sys.exit(0 if has_lost_its_reader(ended) else ended.code)
