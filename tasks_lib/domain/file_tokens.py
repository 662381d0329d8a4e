"""How many tokens a file is to a model that is sent it: nobody tells before the call, so it is bounded.

Images. OpenAI cuts an image into at most 8 tiles of 170 tokens and 85 (gpt-4o), 8 of 5,667 and 2,833
(gpt-4o-mini), or at most 10,000 patches of 32 pixels; Anthropic takes at most some 4,800, Google some 2,300.
PDFs. A page is read as text and shown as an image: at most 3,000 tokens for the text of a dense page.
Everything else is text, of which a byte is a token at most, or sound, of which it is far less.
"""

from typing import Final

from tasks_lib.domain.files import Attachment
from tasks_lib.domain.inputs import PDF

_MOST_OF_AN_IMAGE: Final = 10_000
_MOST_OF_A_TILED_IMAGE: Final = 50_000  # of a model whose tiles are priced in tokens that it does not read
_TILED: Final = "4o-mini"
_MOST_OF_A_PAGE: Final = 3_000 + _MOST_OF_AN_IMAGE
_MOST_PAGES: Final = 100  # of a PDF whose pages nobody counted; the providers take no more of most models

_LIKELY_OF_AN_IMAGE: Final = 1_500
_LIKELY_OF_A_PAGE: Final = 2_500
_LIKELY_PAGE_BYTES: Final = 50_000  # of a PDF whose pages nobody counted


def most_tokens(file: Attachment, model: str) -> int:
    """A bound of what a file adds to a call's input, as this model counts."""
    if file.is_image:
        return _MOST_OF_A_TILED_IMAGE if _TILED in model else _MOST_OF_AN_IMAGE
    if file.mime_type == PDF:
        return (_MOST_PAGES if file.pages is None else max(1, file.pages)) * _MOST_OF_A_PAGE
    return len(file.content)


def likely_tokens(file: Attachment) -> float:
    """What a file is likely to add, before anything is known of a task's calls."""
    if file.is_image:
        return _LIKELY_OF_AN_IMAGE
    if file.mime_type == PDF:
        pages = file.pages if file.pages is not None else 1 + len(file.content) / _LIKELY_PAGE_BYTES
        return pages * _LIKELY_OF_A_PAGE
    return len(file.content) / 4
