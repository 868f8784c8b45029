"""Reading the HTML that objects show in notebooks."""

from html.parser import HTMLParser

from hypothesis import strategies as st

NASTY = st.text(max_size=30) | st.sampled_from(
    ["<script>alert(1)</script>", '"><img src=x onerror=y>', "&lt;", "'\"", "\x1b[0m"]
)
ALLOWED = {"p", "table", "thead", "tbody", "tr", "th", "td", "img", "figure", "figcaption", "div", "span"}


class Page(HTMLParser):
    """The elements, attributes and texts of a piece of HTML, which must be well-formed and hold nothing that runs."""

    def __init__(self, html):
        super().__init__()
        self.open, self.elements, self.texts = [], [], []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        assert tag in ALLOWED
        assert {name for name, _ in attributes} <= {"style", "src", "alt"}
        self.elements.append((tag, dict(attributes)))
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def images(self):
        return [attributes for tag, attributes in self.elements if tag == "img"]
