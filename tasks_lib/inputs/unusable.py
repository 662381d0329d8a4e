"""Why an input cannot be used, as values and errors of this package alone."""


class Unusable(Exception):
    """An input that is not there, cannot be had or is not what it must be; its text is for the reader."""


class Refused(Unusable):
    """An input that may not be had: no fallback text stands in for it, since the user can set it right."""
