"""`python -m picie_core` is `picie`."""

from picie_core.cli import main

main()
