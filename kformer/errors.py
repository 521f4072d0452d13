"""The one error that a user is meant to see."""


class KformerError(Exception):
    """A mistake that the user can mend.

    The message is one line: which file and place, what is wrong there, what to do about it.
    The command line prints it without a traceback and exits with status 1.
    """
