"""Becomes one program of the native stack: `python -m lab.stack.native.launch NAME`, run by the supervisor.

The settings are read here, at every start, so a changed `.env` holds from the next restart on.
"""

import os
import sys

from lab import settings
from lab.errors import LabError
from lab.stack import addition
from lab.stack.native.programs import note_launch, programs


def main() -> None:
    try:
        current = settings.load()
        name = sys.argv[1]
        program = programs(current)[name]
        program.prepare(current)
        command = program.command(current)
        note_launch(current, name, command)
    except LabError as error:
        sys.exit(str(error))
    environment = os.environ | command.environment | addition.of(current, name)
    os.execvpe(command.argv[0], command.argv, environment)


if __name__ == "__main__":
    main()
