"""A page gives what it is about, and nothing of what stands around it; whatever it is made of, it ends."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ingest.formats.decoding import UnreadableError
from pipeline.ingest.formats.html.main_content import everything, main_content
from pipeline.ingest.formats.html.tree import DEEPEST, parse
from pipeline.ingest.formats.html.writer import Writer
from tests.ingest.conftest import Read

ARTICLE = "<h1>Rakes</h1><p>A rake gathers leaves.</p><h2>Care</h2><p>Dry it.</p>"
WRITTEN = "# Rakes\n\nA rake gathers leaves.\n\n## Care\n\nDry it."
MENU = '<ul class="x">' + "".join(f"<li><a href=/{i}>Shop {i}</a>" for i in range(9)) + "</ul>"


def markdown(page: str, base: str = "") -> str:
    return Writer(10**6, base).write(everything(parse(page)))


@pytest.mark.parametrize(
    "page",
    [
        f"<body><nav>{MENU}</nav><main>{ARTICLE}</main><footer>Imprint</footer></body>",
        f"<body>{MENU}{ARTICLE}<aside>Also read</aside></body>",
        f'<body><div id=sidebar><p>News</p></div><div role="banner">Buy</div><div>{ARTICLE}</div></body>',
        f'<div class="page-footer">Imprint</div><p class="cookies">Yes</p><section>{ARTICLE}</section>',
        f"<header>The shop</header>{ARTICLE}<script>alert('x < y')</script><style>p</style><noscript>No</noscript>",
        ARTICLE.replace("</h2>", '<a class="headerlink" href="#care">¶</a></h2>') + "<p hidden>secret</p>",
        f"<div class=navheader><table><tr><td>Prev</table><hr></div>{ARTICLE}<div class=navfooter>Home</div>",
        f"<p>Next: <a rel=next href=a>Spades</a>, Up: <a rel=up href=b>Tools</a></p>{ARTICLE}",
        ARTICLE.replace("Rakes", 'Rakes<a href=x.py><span class="viewcode-link">[source]</span></a>'),
        f'<div role=main>{ARTICLE}</div><div style="display: none">secret</div><form><button>Go</button></form>',
    ],
)
def test_what_stands_around_is_left_out(page: str) -> None:
    assert Writer(10**6).write(main_content(parse(page))) == WRITTEN


def test_too_little_is_not_believed() -> None:
    page = f"<main><p>Loading</p></main><div class=content>{ARTICLE * 9}</div><nav>{MENU}</nav>"
    assert "A rake gathers leaves." in Writer(10**6).write(main_content(parse(page)))
    only_links = f"<body><h1>Index</h1>{MENU}</body>"
    assert "Shop 8" in Writer(10**6).write(main_content(parse(only_links)))


def test_all_of_a_page_if_asked_for(read: Read, tmp_path: Path) -> None:
    (tmp_path / "src/a.html").write_text(f"<nav>The menu</nav>{ARTICLE}")
    assert read()[0][0].text == WRITTEN
    assert read({"html": "all"})[0][0].text == f"The menu\n\n{WRITTEN}"


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("<p>one<p>two<br>three", "one\n\ntwo\nthree"),
        ("<ul><li>a<li>b<ul><li>c</ul><li><p>d</ul>", "- a\n- b\n  - c\n- d"),
        ("<ol><li>a<li><p>b</p><p>c</p></ol>", "1. a\n2. b\n   c"),
        ("<table><tr><th>k<th>v<tr><td>1<td>2|3</table>", "| k | v |\n|-|-|\n| 1 | 2\\|3 |"),
        ("<table><tr><td colspan=2>k<td>v<tr><td>1<td>2<td>3</table>", "| k |  | v |\n|-|-|-|\n| 1 | 2 | 3 |"),
        (
            "<table><tr><th>k<th>v<tr><td rowspan=2>a<td>1<tr><td>2<tr><td>b<td>3</table>",
            "| k | v |\n|-|-|\n| a | 1 |\n| a | 2 |\n| b | 3 |",
        ),
        (
            "<table><tr><td>x<td rowspan=9 colspan=2>y<td>z<tr><td>1<td>2<tr><td>3</table>",
            "| x | y |  | z |\n|-|-|-|-|\n| 1 | y |  | 2 |\n| 3 | y |  |  |",
        ),
        (
            f"<table><tr><td rowspan=2>{'long ' * 50}<td>1<tr><td>2</table>",
            f"| {'long ' * 49}long | 1 |\n|-|-|\n|  | 2 |",
        ),
        ("<table><tr><td>left</td><td><h2>Head</h2></td></tr><tr><td>x</table>", "left\n\n## Head\n\nx"),
        ('<pre class="language-py">if x:\n    y  &lt; <b>z</b>\n</pre>', "```py\nif x:\n    y  < z\n```"),
        ("<pre>```</pre>", "````\n```\n````"),
        ("<pre><code>a = 1\nb</code><code>c</code></pre>", "```\na = 1\nb\n\nc\n```"),
        ("<pre><code>a</code> <code>b</code></pre>", "```\na\nb\n```"),
        ("<pre><code>a</code> = <code>b</code></pre>", "```\na = b\n```"),
        ("<pre>a<br>b<div>c</div>\n<div></div><div>d<br></div><b>e</b></pre>", "```\na\nb\nc\n\nd\ne\n```"),
        (
            "<table><tr><td class=linenos><div class=linenodiv><pre>1\n2</pre></div><td><pre>a\nb</pre></table>",
            "```\na\nb\n```",
        ),
        (
            "<table summary=Note><tr><td rowspan=2><img alt='[Note]'><th>Note<tr><td><p>One.<p>Two.</table>",
            "Note\n\nOne.\n\nTwo.",
        ),
        ("<table><tr><td><img alt=A><td>b<tr><td>c<td>d</table>", "| A | b |\n|-|-|\n| c | d |"),
        ("<blockquote><p>a<p>b</blockquote>", "> a\n>\n> b"),
        ("<dl><dt>rake<dd>gathers</dl>", "**rake**\n\ngathers"),
        ("<p>a <b> bold </b><i>x</i> <code>f()</code> <s></s>", "a **bold** *x* `f()`"),
        (
            "<dl><dt><b>on</b><span class=classifier>str, <b>**more</b></span><dd>x</dl>",
            "**on : str, **more**\n\nx",
        ),
        ("<dl><dt>a <span class=classifier-delimiter>:</span> <span class=classifier>b</span></dl>", "**a : b**"),
        ('<h2>Rakes<span><a href="#rakes">#</a></span></h2>', "## Rakes"),
        ('<h2><a href="#rakes">§</a>Rakes</h2><p>Part <a href="#2">2</a> of C#', "## Rakes\n\nPart 2 of C#"),
        ("<p># no heading<p>&gt; no quote", "\\# no heading\n\n\\> no quote"),
        ("<h2>Of <em>rakes</em>\n and <a href=x>more</a></h2>", "## Of rakes and more"),
        ("<p>a<img alt='a rake' src=x>b<ruby>漢<rp>(<rt>kan</ruby>", "a a rake b漢"),
        ("text <div>block</div> tail", "text\n\nblock\n\ntail"),
    ],
)
def test_markdown_of(page: str, expected: str) -> None:
    assert markdown(page) == expected


@pytest.mark.parametrize(
    ("href", "address"),
    [
        ("../b c.html", "http://h.org/x/b%20c.html"),
        ("//cdn.org/a_(b)", "http://cdn.org/a_%28b%29"),
        ("?q=1", "http://h.org/x/y/z?q=1"),
        ("https://o.org", "https://o.org"),
        ("mailto:a@b.c", "mailto:a@b.c"),
    ],
)
def test_links_are_resolved(href: str, address: str) -> None:
    assert markdown(f"<p><a href='{href}'>go</a>", "http://h.org/x/y/z") == f"[go]({address})"


@pytest.mark.parametrize("href", ["#top", "", "javascript:alert(1)", "data:text/html,x", "http://[broken"])
def test_what_leads_nowhere_is_its_text(href: str) -> None:
    assert markdown(f"<p><a href='{href}'>go</a>") == "go"
    assert markdown("<a href='http://a.b'>http://a.b</a>") == "http://a.b"
    assert markdown("<a href='x/y'>rel</a>") == "[rel](x/y)"


def test_title_language_and_address_are_metadata(read: Read, tmp_path: Path) -> None:
    (tmp_path / "src/a.html").write_text(
        "<html lang=ko><head><title> 갈퀴 &amp;\n낙엽 </title><base href='/docs/'>"
        "<link rel=canonical href='https://h.org/a'></head><body><p>본문 <a href=b>b</a>"
    )
    (tmp_path / "src/b.html").write_bytes(
        '<meta http-equiv=x content="text/html; charset=euc-kr"><p>갈퀴'.encode("cp949")
    )
    (tmp_path / "src/c.html").write_text("<title></title><html lang=''><link rel=canonical href='/c'><p>words")
    (a, b, c), rejections = read()
    assert rejections == []
    assert a.metadata == {"title": "갈퀴 & 낙엽", "lang": "ko", "url": "https://h.org/a"}
    assert a.text == "본문 [b](https://h.org/docs/b)"
    assert (b.text, b.metadata) == ("갈퀴", {})
    assert (c.text, c.metadata) == ("words", {})


def test_what_is_broken_has_its_reason(read: Read, tmp_path: Path) -> None:
    (tmp_path / "src/a.html").write_bytes(b"<p>\x00\x01")
    (tmp_path / "src/b.html").write_bytes(b"")
    (tmp_path / "src/c.html").write_text("<script>only()</script>")
    (tmp_path / "src/d.html").write_text("<table><tr>" + "<td colspan=9999>x" * 400 + "<tr><td>y<td>z</table>")
    (tmp_path / "src/e.html").write_text("<table><tr>" + "<td rowspan=9999>wide" * 99 + "<tr>" * 999 + "</table>")
    docs, rejections = read({"max_document_mb": 0.05})
    assert docs == []
    assert [one.reason.split(":")[0] for one in rejections] == [
        "NUL byte in line 1",
        "empty",
        "empty",
        *["text is longer than 0.05 MB; raise ingest.max_document_mb to read it"] * 2,
    ]


def test_depth_and_size_are_bounded() -> None:
    deep = "<div><ul><li><span>" * (DEEPEST * 3) + "the bottom"
    assert "the bottom" in markdown(deep)
    with pytest.raises(UnreadableError, match="longer than"):
        Writer(100).write(parse("<p>" + "x" * 200))


TAGS = st.sampled_from(["p", "div", "li", "ul", "td", "tr", "table", "b", "a", "h1", "pre", "br", "script", "body"])
PIECES = st.one_of(
    TAGS.map(lambda tag: f"<{tag}>"),
    TAGS.map(lambda tag: f"</{tag}>"),
    st.text(st.characters(exclude_characters="<"), max_size=4),
    st.just("word "),
)


@given(st.lists(PIECES, max_size=40))
def test_any_soup_is_written(pieces: list[str]) -> None:
    page = "".join(pieces)
    root = parse(page)
    assert Writer(10**6).write(main_content(root)) is not None
    shown = Writer(10**6).write(everything(root))
    if "script" not in page and "body" not in page:
        assert shown.count("word") == page.count("word")
