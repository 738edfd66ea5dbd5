"""Becomes one program of the native stack: `python -m lab.stack.launch NAME`, run by the supervisor.

The settings are read here, at every start, so a changed `.env` holds from the next restart on.
"""

import os
import sys

from lab import settings
from lab.errors import LabError
from lab.stack.programs import note_launch, programs


def main() -> None:
    try:
        current = settings.load()
        name = sys.argv[1]
        command = programs(current)[name].command(current)
        note_launch(current, name, command)
    except LabError as error:
        sys.exit(str(error))
    os.execvpe(command.argv[0], command.argv, os.environ | command.environment)


if __name__ == "__main__":
    main()
