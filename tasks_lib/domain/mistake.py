"""What is wrong outside the program, and what sets it right."""


class Mistake(Exception):
    """Something in a file, a setting or a place that keeps a batch from being run.

    Its text is the one message that the user sees: where it is, what is wrong, and the remedy. Every error
    that is not a bug is one of these, and is raised before any money is spent wherever that can be.
    """
