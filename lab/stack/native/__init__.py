"""The stack without Docker: real programs under supervisord, all state in one run folder."""
