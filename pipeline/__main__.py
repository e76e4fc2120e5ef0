"""The `pipeline` command, and `python -m pipeline`."""

import sys


def main() -> None:
    """Run the command line. Ctrl-C ends it quietly even while its modules are still being imported."""
    try:
        from pipeline.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
