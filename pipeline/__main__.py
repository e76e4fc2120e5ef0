"""The `pipeline` command, and `python -m pipeline`."""

import sys

from pipeline import interruption


def main() -> None:
    """Run the command line. A signal ends it quietly even while its modules are still being imported."""
    try:
        interruption.listen()
        from pipeline.cli import main as run

        run()
    except KeyboardInterrupt as stop:
        sys.stderr.write(f"{interruption.word(stop)}\n")
        sys.exit(interruption.exit_code(stop))
    finally:
        interruption.stop_listening()


if __name__ == "__main__":
    main()
