"""How large the file of a card may be, and how one that is none is refused."""

from palaver.errors import Code, Refused

FILE_BYTES_MAX = 10_485_760
JSON_BYTES_MAX = 2_097_152


def card_invalid(detail: str) -> Refused:
    """Why a file, or what is to be of a card, is none."""
    return Refused(Code.CARD_INVALID, detail)
