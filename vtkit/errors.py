"""The one exception that is meant for people."""


class UserError(Exception):
    """A mistake the user can mend: one line naming the file, the field and the remedy.

    Command lines print it as ``error: <message>`` and exit with 2; they never show a traceback for
    it.
    """
