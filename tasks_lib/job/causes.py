"""What an error comes down to."""


def sole_cause(error: BaseException) -> BaseException:
    """The one error that a group of groups comes down to; a group that holds several stays one."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def first_cause(error: BaseException) -> BaseException:
    """The first of the errors that a group of groups holds."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def is_all(error: BaseException, kind: type[BaseException]) -> bool:
    """Whether an error, or every one of a group of groups, is of a kind."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(kind)[1] is None
    return isinstance(error, kind)
