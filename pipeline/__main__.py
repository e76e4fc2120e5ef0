"""The `pipeline` command, and `python -m pipeline`."""

import sys

from pipeline import interruption, own_process


def main() -> None:
    """Run the command line. A signal ends it quietly even while its modules are still being imported."""
    departure = own_process.begin()
    try:
        interruption.listen()
        with own_process.importing():
            from pipeline.cli import main as run

        run()
    except KeyboardInterrupt as stop:
        sys.stderr.write(f"{interruption.word(stop)}\n")
        sys.exit(interruption.exit_code(stop))
    except SystemExit as stop:
        departure.status = stop.code
        raise
    finally:
        interruption.stop_listening()


if __name__ == "__main__":
    main()
