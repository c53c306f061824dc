"""What every error that speaks to a person has in common."""


class WorkbookError(Exception):
    """Something a person can mend: the message says what was expected, what came, where, and what to do.

    The command shows the message alone; every other exception is a mistake of ours and keeps its traceback.
    """


class UnreadableError(WorkbookError, ValueError):
    """The folder of a finished run whose files are not those of one."""
