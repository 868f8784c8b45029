"""Whether a page that was written has nothing but what xnn-report puts into one."""

from html.parser import HTMLParser

TAGS = frozenset(
    (
        *("html", "head", "meta", "title", "style", "body", "main", "footer", "header", "article", "section"),
        *("h1", "h2", "h3", "p", "a", "b", "i", "strong", "em", "span", "small", "br", "pre", "code", "ul", "ol", "li"),
        *("dl", "dt", "dd", "div", "details", "summary", "figure", "figcaption", "img"),
        *("table", "thead", "tbody", "tfoot", "tr", "th", "td", "caption", "colgroup", "col"),
        *("svg", "g", "path", "line", "polyline", "polygon", "circle", "rect", "text", "tspan", "desc"),
    )
)
ADDRESSES = ("href", "src", "xlink:href", "action", "formaction", "data", "srcset", "poster", "background")
PLANTED = "planted"
"""A part of the name of each tag and attribute that the mutations plant."""


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.faults: list[str] = []
        self.policies = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in TAGS:
            self.faults.append(f"a foreign tag <{tag[:40]}>")
        for name, value in attrs:
            self._attribute(tag, name, value or "")
        if dict(attrs).get("http-equiv") is not None:
            self.policies += 1

    def _attribute(self, tag: str, name: str, value: str) -> None:
        if name.startswith("on") or PLANTED in name:
            self.faults.append(f"a foreign attribute {name[:40]} of <{tag}>")
        if name in ADDRESSES and not value.startswith(("#", "data:image/png;base64,")):
            self.faults.append(f"an address in {name} of <{tag}>: {value[:40]!r}")
        if name == "http-equiv" and value != "Content-Security-Policy":
            self.faults.append(f"a meta tag for {value[:40]!r}")
        if name == "style" and ("url(" in value or "expression" in value):
            self.faults.append(f"an address in the style of <{tag}>")

    def handle_pi(self, data: str) -> None:
        self.faults.append("a processing instruction")

    def handle_comment(self, data: str) -> None:
        self.faults.append("a comment")


def faults_of_page(text: str) -> list[str]:
    """Return what should not be in a page."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    if reader.policies != 1:
        reader.faults.append(f"{reader.policies} policies, not one")
    return sorted(set(reader.faults))
