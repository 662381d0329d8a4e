"""What must be installed before answers of a modality can be made files."""

from importlib.util import find_spec
from typing import Final

from tasks_lib.domain.mistake import Mistake
from tasks_lib.domain.output import Modality

_FOR_PAGES: Final = ("typst", "markdown_it")


def check_needs(modality: Modality) -> None:
    """Make sure that answers of a modality can be made files.

    Raises:
        Mistake: the packages that do it are not installed.
    """
    if modality is Modality.PDF and any(find_spec(name) is None for name in _FOR_PAGES):
        raise Mistake(
            "answers of modality pdf are set by typst, which is not installed: pip install 'rowmill[files]', "
            "or ask for modality text instead."
        )
