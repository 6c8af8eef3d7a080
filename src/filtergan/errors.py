"""The one exception that the command line turns into a sentence."""

GO_ON = (
    "continue with `filtergan study --config RUN/config.yaml --out RUN --resume`, on any number of "
    "processes"
)


class UserError(Exception):
    """A user's mistake, or the world's misfortune, told in one sentence with what to do.

    Args:
        message: What was wrong and what to do about it.
        exit_code: 2 for a user's mistake, 1 for the world's (a full disk, a loss that is NaN).

    Examples:
        >>> import filtergan as fg
        >>> try:
        ...     fg.load_dataset("no/such/folder")
        ... except fg.UserError as error:
        ...     print(error.exit_code)
        2
    """

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class LostProcess(UserError):
    """One of several processes has ended, so the others cannot go on.

    Args:
        reason: What happened.
        where: What the run was at, to follow the reason; how to go on is added.
    """

    def __init__(self, reason: str, where: str = "") -> None:
        super().__init__(f"{reason}{where}; {GO_ON}.", exit_code=1)
        self.reason, self.where = reason, where
