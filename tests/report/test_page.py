"""The page as a file: what it holds is shown, and nothing else happens."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.report.html import rendered
from engine.report.page import (
    Code,
    Column,
    Facts,
    Finding,
    Page,
    Picture,
    Points,
    Section,
    Swatch,
    Table,
    Text,
)

PNG = b"\x89PNG\r\n\x1a\n rest"
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)> {{ 7 * 7 }} & \x00\udcff"
SVG = '<svg xmlns="http://www.w3.org/2000/svg"/>'


class Reader(HTMLParser):
    """Collects tags, texts and attributes, and sees that all tags are closed."""

    EMPTY = frozenset({"meta", "img", "br", "link"})

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.attributes, self.open = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data.strip())


def page(*blocks, text="Title"):
    return Page(text, text, (Section(text, blocks),), text)


def every_block(text):
    return (
        Text(text),
        Points((text, text)),
        Code(text),
        Facts(((text, text), (text, Swatch(text, text)), (text, None), (text, 12345.5))),
        Table((Column(text, text), Column(text, align="left")), ((text, 1), (None, 2.5)), text),
        Picture(PNG, text, text),
        Picture(SVG, text, text),
        Finding("fine", text, text),
        Finding("look", text),
        Finding("bad", text, text),
    )


def test_everything_is_shown():
    read = Reader(rendered(page(*every_block("word"), text="Title")))
    assert {"Title", "word", "–", "12\N{NARROW NO-BREAK SPACE}345.5"} <= set(read.texts)
    assert {"✓ OK", "! Check", "✗ Problem"} <= set(read.texts)
    assert read.tags.count("img") == 2
    assert dict(read.attributes)["lang"] == "en"


def test_hostile_text_is_only_text():
    text = rendered(page(*every_block(EVIL), text=EVIL))
    read = Reader(text)
    assert "script" not in read.tags
    assert not any(name.startswith("on") for name, _ in read.attributes)
    assert read.tags.count("img") == 2
    assert "{{ 7 * 7 }}" in "".join(read.texts)
    assert "\x00" not in text
    text.encode("utf-8")


@settings(deadline=None)
@given(st.text(min_size=1, max_size=60))
def test_any_text_leaves_the_tags_as_they_are(text):
    tags = Reader(rendered(page(*every_block("word")))).tags
    assert Reader(rendered(page(*every_block(text)))).tags == tags


def test_colours_that_are_none_do_not_get_into_the_style():
    swatches = (Swatch("#d7301f", "a"), Swatch("red; background: url(http://x)", "b"))
    read = Reader(rendered(page(Facts(tuple((s.name, s) for s in swatches)))))
    styles = [value for name, value in read.attributes if name == "style"]
    assert styles == ["background-color: #d7301f", "background-color: #999999"]


def test_the_file_needs_nothing_from_elsewhere():
    text = rendered(page(*every_block("word")))
    read = Reader(text)
    sources = [value for name, value in read.attributes if name in ("src", "href")]
    assert sources
    assert all(source.startswith("data:image/") for source in sources)
    assert "link" not in read.tags
    assert not re.search(r"https?:|@import|url\(", text)


@pytest.mark.parametrize(
    ("data", "kind"), [(PNG, "png"), (b"\xff\xd8\xff", "jpeg"), (SVG, "svg+xml")]
)
def test_pictures_are_part_of_the_file(data, kind):
    assert Picture(data, "", "").uri.startswith(f"data:image/{kind};base64,")


def test_neighbours_stand_together():
    pictures = [Picture(PNG, "", "")] * 3
    read = Reader(rendered(page(*pictures, Text("between"), pictures[0])))
    assert [v for n, v in read.attributes if v == "pictures"] == ["pictures"] * 2
    widths = [int(v) for n, v in read.attributes if n == "width"]
    assert widths == [290, 290, 290, 560], "for viewers that know no CSS"


def test_numbers_stand_right_and_have_their_units():
    table = Table((Column("Class", align="left"), Column("Area", "ha", 1)), (("a", 1234.56),))
    text = rendered(page(table))
    assert "1\N{NARROW NO-BREAK SPACE}234.6" in text
    assert '<span class="unit">(ha)</span>' in text
    assert re.search(r'<td class="right" align="right">\s*1', text)


def test_rows_must_fit():
    with pytest.raises(ValueError, match="cell for each column"):
        Table((Column("a"),), ((1, 2),))
