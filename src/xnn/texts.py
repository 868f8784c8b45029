"""Making text from outside safe to show: names of files and classes, errors, values of a stranger's files."""

import re

# Control characters (C0, DEL, C1), marks that change the direction of text, invisible characters, ends of lines, and
# halves of surrogate pairs, which Python makes from bytes that are not text. The joiners U+200C and U+200D stay: some
# scripts and emoji need them.
_UNSEEN = re.compile(
    r"[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    r"\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f]"
)


def printable(text: str, most: int | None = None) -> str:
    r"""Return text with escapes such as ``\x1b`` for what is invisible or would move a terminal's cursor.

    Parameters
    ----------
    text : str
        Text to show on one line: a line end becomes ``\n`` too.
    most : int, optional
        The most characters to return; longer text ends in an ellipsis.
    """
    if most is None:
        return _UNSEEN.sub(_escape, text)
    shown = _UNSEEN.sub(_escape, text[: most + 1])  # a text may have millions
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def _escape(found: re.Match[str]) -> str:
    return ascii(found[0])[1:-1]
