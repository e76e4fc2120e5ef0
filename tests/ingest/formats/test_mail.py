"""Messages say who, when and in which thread; quotes are dropped; attachments stand for themselves."""

from __future__ import annotations

import base64
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ingest.formats.mail.compressed_rtf import unpacked_rtf
from pipeline.ingest.formats.mail.quotes import without_quotes
from tests.ingest.conftest import Read
from tests.ingest.mails import message, outlook, outlook_inner, properties
from tests.ingest.test_archives import zipped


def test_a_message_says_who_when_and_in_which_thread(read: Read, tmp_path: Path) -> None:
    mail = message(In_Reply_To="<1@h.org>", References="<0@h.org> <1@h.org>", Cc="cy@h.org")
    (tmp_path / "src/a.eml").write_bytes(bytes(mail))
    (doc,), rejections = read()
    assert rejections == []
    assert (doc.doc_id, doc.text) == ("a.eml", "The rake is back.")
    assert doc.metadata == {
        "title": "갈퀴 of the shed",
        "subject": "갈퀴 of the shed",
        "from": "민수 <minsu@h.org>",
        "to": ["Ann <ann@h.org>", "bo@h.org"],
        "cc": ["cy@h.org"],
        "date": "2023-01-02T00:30:00Z",
        "message_id": "2@h.org",
        "in_reply_to": "1@h.org",
        "references": ["0@h.org", "1@h.org"],
        "thread": "0@h.org",
    }


def test_attachments_without_a_word_are_neither_documents_nor_rejections(read: Read, tmp_path: Path) -> None:
    mail = message()
    shell = b"<html><head><meta charset=us-ascii><title>x</title></head><body><div><br></div>&nbsp;</body></html>"
    for name, data in (
        ("att00001.htm", b""),
        ("ATT00002.txt", b"\xef\xbb\xbf\r\n \r\n"),
        ("ATT00003.htm", shell),
        ("a.htm", shell.replace(b"&nbsp;", b"One word")),
        ("broken.pdf", b"%PDF-1.4"),
    ):
        mail.add_attachment(data, maintype="application", subtype="octet-stream", filename=name)
    (tmp_path / "src/a.eml").write_bytes(bytes(mail))
    docs, (rejection,) = read()
    assert {doc.doc_id: doc.text for doc in docs} == {"a.eml": "The rake is back.", "a.eml!a.htm": "One word"}
    assert rejection.reason.startswith("broken.pdf: broken")


def test_the_first_of_a_thread_and_its_answers_are_in_one_thread(read: Read, tmp_path: Path) -> None:
    (tmp_path / "src/a.eml").write_bytes(bytes(message(Message_ID="<1@h.org>")))
    (tmp_path / "src/b.eml").write_bytes(bytes(message(In_Reply_To="<1@h.org>")))
    assert {doc.metadata["thread"] for doc in read()[0]} == {"1@h.org"}


def test_attachments_are_documents_with_a_link_to_their_mail(read: Read, tmp_path: Path) -> None:
    mail = message()
    mail.add_attachment(b"a,b\n", maintype="image", subtype="png", filename="x.png")
    mail.add_attachment("# 목록\n\nrakes", filename="목록.md")
    mail.add_attachment(zipped({"in.txt": b"packed words"}), maintype="a", subtype="zip", filename="../z.zip")
    mail.add_attachment(b"\x00\x01", maintype="a", subtype="b", filename="bad.txt")
    mail.add_attachment(message("An older one.", Message_ID="<0@h.org>"))
    (tmp_path / "src/a.eml").write_bytes(bytes(mail))
    docs, (rejection,) = read()
    assert {doc.doc_id: doc.text for doc in docs} == {
        "a.eml": "The rake is back.",
        "a.eml!목록.md": "# 목록\n\nrakes\n",
        "a.eml!z.zip!in.txt": "packed words",
        "a.eml!message-5.eml": "An older one.",
    }
    assert rejection.reason.startswith("bad.txt: NUL byte")
    assert docs[1].metadata["mail"] == "a.eml"
    assert docs[1].metadata["thread"] == "2@h.org"
    assert docs[0].metadata["attachments"][1] == "목록.md"  # type: ignore[index]


def test_html_alone_and_odd_charsets_are_read(read: Read, tmp_path: Path) -> None:
    mail = message()
    mail.set_content("<p>Hello <b>you</b><blockquote>old words</blockquote>", subtype="html")
    (tmp_path / "src/a.eml").write_bytes(bytes(mail))
    head = b"From: a@b.c\nContent-Type: text/plain; charset=%s\nContent-Transfer-Encoding: 8bit\n\n"
    (tmp_path / "src/b.eml").write_bytes(head % b"ks_c_5601-1987" + "갈퀴".encode("cp949"))
    (tmp_path / "src/c.eml").write_bytes(head % b"no-such" + "갈퀴를 빌립니다".encode("cp949"))
    docs, rejections = read()
    assert rejections == []
    assert [doc.text for doc in docs] == ["Hello **you**", "갈퀴", "갈퀴를 빌립니다"]


def test_headers_are_read_in_whatever_programs_write_them(read: Read, tmp_path: Path) -> None:
    word, name = base64.b64encode("펲시 똠양".encode("cp949")), "홍, 길동".encode("cp949")
    raw = "견적서 보냅니다".encode("cp949")
    halves = base64.b64encode(name[:1]), base64.b64encode(name[1:])
    (tmp_path / "src/a.eml").write_bytes(
        b"Subject: Re: =?euc-kr?B?%s?=\nFrom: =?ks_c_5601-1987?b?%s?=\n =?ks_c_5601-1987?b?%s?= <a@b.c>\n"
        % (word, *halves)
        + b"To: =?ks_c_5601-1987?Q?%s?= <d@e.f>, \xed\x99\x8d <g@h.i>\n\nwords"
        % b"".join(b"=%02X" % c for c in name)
    )
    (tmp_path / "src/b.eml").write_bytes(
        b"Subject: %s\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n" % raw
        + b"--x\nContent-Type: text/plain; charset=euc-kr\n\n%s\n" % "펲시".encode("cp949")
        + b'--x\nContent-Disposition: attachment; filename="%s.txt"\n\nwords\n--x--\n' % raw
    )
    (tmp_path / "src/c.eml").write_bytes(b"Subject: =?x-none?B?/w==?= =?idna?Q?=FF?= =?utf-8?Q?a?= b\n\nwords")
    docs, rejections = read()
    a, b, attached, c = docs
    assert rejections == []
    assert a.metadata["title"] == "Re: 펲시 똠양"
    assert (a.metadata["from"], a.metadata["to"]) == ("홍, 길동 <a@b.c>", ["홍, 길동 <d@e.f>", "홍 <g@h.i>"])
    assert (b.metadata["title"], b.text, attached.doc_id) == (
        "견적서 보냅니다",
        "펲시",
        "b.eml!견적서 보냅니다.txt",
    )
    assert c.metadata["title"] == "\ufffd\ufffda b"


def test_a_mailbox_gives_its_messages_and_costs_only_broken_ones(read: Read, tmp_path: Path) -> None:
    box = b"".join(
        b"From a@b.c Mon Jan  2 2023\n" + data + b"\n\n"
        for data in (
            bytes(message("one\n\n>From the shed")),
            b"no header",
            bytes(message("x" * 5000)),
            bytes(message("three")),
        )
    )
    (tmp_path / "src/a.mbox").write_bytes(box)
    (tmp_path / "src/b.mbox").write_bytes(b"words\n")
    docs, rejections = read({"max_document_mb": 0.004, "mail_quotes": "keep"})
    assert [(doc.doc_id, doc.text) for doc in docs] == [("a.mbox!1", "one\n\nFrom the shed"), ("a.mbox!4", "three")]
    assert [one.reason.split(":")[0] for one in rejections] == [
        "no e-mail",
        "message is longer than 0.004 MB; raise ingest.max_document_mb",
        "no mailbox",
    ]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Yes.\n\nOn Monday, Ann wrote:\n> Is it back?\n> Really?\n", "Yes."),
        ("> Is it back?\nYes.\n> Sure?\nNo.", "Yes.\nNo."),
        ("Yes.\n\n-----Original Message-----\nFrom: Ann\nIs it back?", "Yes."),
        ("네.\n\n2023년 1월 2일 오전 9:30, 민수 <a@b.c>님이 작성:\n\n> 돌아왔나요?", "네."),
        ("Yes.\n\nFrom: Ann\nSent: Monday\nTo: Bo\nSubject: Rake\n\nIs it back?", "Yes."),
        ("See below.\n\n---------- Forwarded message ---------\nFrom: Ann\nThe price is 3.", None),
        ("> only a quote", None),
        ("Ann wrote:\nthe book of rakes", None),
        ("a > b\nFrom: here", None),
        ("Bye\n-- \nAnn\nTel. 1", "Bye"),
    ],
)
def test_what_is_quoted_is_dropped(text: str, kept: str | None) -> None:
    assert without_quotes(text) == (text.strip() if kept is None else kept)


@given(st.lists(st.sampled_from(["> q", "words", "", "On Monday, Ann wrote:", "From: a", "To: b", "-- "])))
def test_dropping_adds_nothing_and_never_leaves_nothing(lines: list[str]) -> None:
    text = "\n".join(lines)
    found = without_quotes(text)
    assert bool(found) == bool(text.strip())
    assert set(found.split("\n")) <= {*(line.strip() for line in lines), *lines, ""}


@pytest.mark.parametrize(
    ("packed", "rtf"),
    [
        # the two examples of MS-OXRTFCP
        (
            "2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c090020627705b06c647d0a800fa0",
            rb"{\rtf1\ansi\ansicpg1252\pard hello world}" + b"\r\n",
        ),
        ("1a0000001c0000004c5a4675e2d44b51410004205758595a0d6e7d010eb0", rb"{\rtf1 WXYZWXYZWXYZWXYZWXYZ}"),
        ("16000000070000004d454c41000000007b5c727466317d", rb"{\rtf1}"),
    ],
)
def test_compressed_rtf_is_unpacked(packed: str, rtf: bytes) -> None:
    assert unpacked_rtf(bytes.fromhex(packed)) == rtf


@given(st.binary(max_size=200))
def test_damaged_rtf_is_unpacked_as_far_as_it_goes(data: bytes) -> None:
    head = struct.pack("<II4sI", 0, 1000, b"LZFu", 0)
    assert len(unpacked_rtf(head + data)) <= 1000


def test_a_body_that_is_only_rtf_is_read(read: Read, tmp_path: Path) -> None:
    pytest.importorskip("oxmsg")
    body = rb"{\rtf1\fromhtml1{\*\htmltag64 <p>}The rake\par {\*\htmltag <b>}is back.}"
    packed = struct.pack("<II4sI", len(body) + 12, len(body), b"MELA", 0) + body
    (tmp_path / "src/a.msg").write_bytes(outlook(packed))
    docs, _ = read()
    assert docs[0].text == "The rake\n\nis back."


def test_outlook_messages_are_read_the_same(read: Read, tmp_path: Path) -> None:
    pytest.importorskip("oxmsg")
    (tmp_path / "src/a.msg").write_bytes(outlook())
    (tmp_path / "src/b.msg").write_bytes(outlook()[:2000])
    (tmp_path / "src/c.msg").write_bytes(b"a Tcl catalogue")
    docs, rejections = read()
    assert {doc.doc_id: doc.text for doc in docs} == {"a.msg": "The rake is back.", "a.msg!a.txt": "attached"}
    assert docs[0].metadata == {
        "title": "갈퀴",
        "subject": "갈퀴",
        "from": '"Minsu" <m@h.org>',
        "to": ["Ann <ann@h.org>"],
        "message_id": "2@h.org",
        "thread": "2@h.org",
        "attachments": ["a.txt", "old.msg"],
    }
    assert rejections[0].reason == "old.msg: no e-mail: an object of another program"
    assert all(one.reason.startswith("broken .msg file: ") for one in rejections[1:])
    assert [one.file for one in rejections[1:]] == ["src/b.msg", "src/c.msg"]


def test_a_message_on_a_message_of_outlook_is_a_document_with_attachments_of_its_own(
    read: Read, tmp_path: Path
) -> None:
    pytest.importorskip("oxmsg")
    (tmp_path / "src/a.msg").write_bytes(outlook(inner=outlook_inner(2)))
    docs, rejections = read()
    assert rejections == []
    first, second = "a.msg!old.msg", "a.msg!old.msg!RE: a-b.msg"
    assert {doc.doc_id: doc.text for doc in docs} == {
        "a.msg": "The rake is back.",
        "a.msg!a.txt": "attached",
        first: "Words 2.",
        f"{first}!b.txt": "deep",
        second: "Words 1.",
        f"{second}!b.txt": "deep",
    }
    found = {doc.doc_id: doc.metadata for doc in docs}
    assert (found[first]["subject"], found[first]["from"]) == ("Older 2", '"Bo" <bo@h.org>')
    assert [found[name]["mail"] for name in (first, f"{first}!b.txt", second)] == ["a.msg", first, first]
    assert found[f"{second}!b.txt"]["subject"] == "Older 1"
    assert found[f"{second}!b.txt"]["mail"] == second


def test_messages_of_outlook_are_read_four_deep_within_each_other(read: Read, tmp_path: Path) -> None:
    pytest.importorskip("oxmsg")
    (tmp_path / "src/a.msg").write_bytes(outlook(inner=outlook_inner(5)))
    docs, (rejection,) = read()
    assert [doc.text for doc in docs if doc.text.startswith("Words")] == [
        "Words 5.",
        "Words 4.",
        "Words 3.",
        "Words 2.",
    ]
    within = "old.msg: RE: a-b.msg: RE: a-b.msg: RE: a-b.msg"
    assert rejection.reason == f"{within}: RE: a-b.msg: more than 4 files inside of each other are not read"


def test_a_broken_or_blank_message_on_a_message_of_outlook_costs_itself(read: Read, tmp_path: Path) -> None:
    pytest.importorskip("oxmsg")
    blank = properties(24, {0x0C1A: "Bo"})
    (tmp_path / "src/a.msg").write_bytes(outlook(inner=blank))
    docs, (rejection,) = read()
    assert [doc.doc_id for doc in docs] == ["a.msg", "a.msg!a.txt"]
    assert rejection.reason == "old.msg: empty"
    (tmp_path / "src/a.msg").write_bytes(outlook(inner={"__substg1.0_1000001F": b"no properties"}))
    docs, (rejection,) = read()
    assert [doc.doc_id for doc in docs] == ["a.msg", "a.msg!a.txt"]
    assert rejection.reason.startswith("old.msg: broken .msg file: ")


@given(st.binary(max_size=300))
def test_any_bytes_end(data: bytes) -> None:
    from pipeline.ingest.formats.decoding import UnreadableError
    from pipeline.ingest.formats.mail.internet import parse_message

    try:
        found = parse_message(b"From: a\nContent-Type: multipart/mixed; boundary=x\n\n" + data)
    except UnreadableError:
        return
    assert found.metadata()["from"] == "a"
    assert found.text(10**6, quotes=False) is not None
