"""The `pipeline` command, and `python -m pipeline`."""

import sys

from pipeline import interruption
from pipeline.errors import MissingDependencyError
from pipeline.startup import own_process
from pipeline.startup.installed import told_what_to_install


def main() -> None:
    """Run the command line. A signal ends it quietly even while its modules are still being imported."""
    departure = own_process.begin()
    try:
        interruption.listen()
        with told_what_to_install(), own_process.importing():
            from pipeline.cli import main as run

        run()
    except MissingDependencyError as error:  # click itself; all else is told by the commands
        sys.stderr.write(f"error: {error}\n")
        sys.exit(1)
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
