"""``python -m distilabel.testing --port 8000 --latency-median 0.5``: a simulated endpoint.

With ``--options-from-stdin`` the options come as one line of JSON (so that a key is not shown in
the list of processes), and the endpoint ends when its standard input does.
"""

import sys

import msgspec

from distilabel.testing.serving import ServeOptions, parse_arguments, serve

__all__: list[str] = []


def _options(arguments: list[str]) -> ServeOptions:
    if arguments == ["--options-from-stdin"]:
        return msgspec.json.decode(sys.stdin.buffer.readline(), type=ServeOptions)
    return parse_arguments(arguments)


def _main() -> int:
    try:
        serve(_options(sys.argv[1:]))
    except (ValueError, OSError) as error:
        print(f"distilabel.testing: {error}", file=sys.stderr)  # noqa: T201 - a command's answer
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(_main())
