"""Whatever form a secret is printed in, what is left of the text says nothing about it."""

from __future__ import annotations

import base64
import json
import re
import string
import urllib.parse
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitrun.capture.secrets import Redactor
from gitrun.child.secret_forms import needles

Print = Callable[[str], bytes]

PRINTED: dict[str, Print] = {
    "as it is": lambda text: text.encode(),
    "json": lambda text: json.dumps({"a": [text]}).encode(),
    "json, not only ASCII": lambda text: json.dumps([text], ensure_ascii=False).encode(),
    "json of PHP": lambda text: json.dumps([text]).replace("/", "\\/").encode(),
    "json in json": lambda text: json.dumps(json.dumps([text], ensure_ascii=False), ensure_ascii=False).encode(),
    "repr": lambda text: repr({"a": text}).encode(),
    "repr of a text with quotes": lambda text: repr(f'"a": "{text}", it\'s').encode(),
    "repr of bytes": lambda text: repr([text.encode()]).encode(),
    "repr of json": lambda text: repr(json.dumps([text], ensure_ascii=False)).encode(),
    "url": lambda text: urllib.parse.quote(text).encode(),
    "url, all of it": lambda text: urllib.parse.quote(text, safe="").encode(),
    "url, small digits": lambda text: small_digits(urllib.parse.quote(text, safe="")).encode(),
    "query": lambda text: urllib.parse.urlencode({"a": text}).encode(),
    "url of JavaScript": lambda text: urllib.parse.quote(text, safe="!'()*").encode(),
    "base64": lambda text: base64.b64encode(text.encode()),
    "base64, one byte before": lambda text: base64.b64encode(b"1" + text.encode() + b"\n"),
    "base64, a user before": lambda text: base64.b64encode(b"user:" + text.encode() + b":x"),
    "base64 for a URL": lambda text: base64.urlsafe_b64encode(b"ab" + text.encode() + b"abc"),
    "base64 of json": lambda text: base64.b64encode(json.dumps({"a": text}, ensure_ascii=False).encode()),
    "base64 in lines": lambda text: base64.encodebytes(text.encode()),
}


def small_digits(text: str) -> str:
    return re.sub("%..", lambda match: match[0].lower(), text)


def redacted(printed: bytes, secret: str) -> bytes:
    return Redactor({"MY_TOKEN": secret}).text(printed)


ODD = "p\"ä'/ &\\<%+=?~\n\té😀$(x)*zz"


@pytest.mark.parametrize("form", PRINTED)
@pytest.mark.parametrize("secret", ["plainWords123", "wJalrXUtnFEMI/K7MDENG+bPxRfiCY=", ODD, "x" * 200 + "/+", "~" * 9])
def test_each_form_of_a_secret_is_replaced(form: str, secret: str) -> None:
    printed = PRINTED[form](secret)
    plain = redacted(b"before " + printed + b" after", secret)
    assert b"<secret:MY_TOKEN" in plain and plain.startswith(b"before ") and plain.endswith(b" after")
    left = re.sub(b"<secret:[A-Za-z0-9_.]+>", b"", plain)
    assert len(left) <= len(b"before  after" + PRINTED[form]("")) + 4  # quotes that an empty text does not need


LETTERS = st.text(string.ascii_letters + string.digits, min_size=12, max_size=40).filter(
    lambda text: not text.isdigit()
)


@given(LETTERS, st.binary(max_size=9), st.binary(max_size=9))
def test_what_is_left_of_base64_holds_no_bit_of_it(secret: str, before: bytes, behind: bytes) -> None:
    other = secret.translate(str.maketrans(string.ascii_letters, string.ascii_letters[::-1]))
    mine = redacted(base64.b64encode(before + secret.encode() + behind), secret)
    assert mine == redacted(base64.b64encode(before + other.encode() + behind), other)
    assert mine.count(b"<secret:MY_TOKEN.base64>") == 1


@given(st.text(min_size=8, max_size=30), st.text(max_size=5), st.sampled_from(sorted(PRINTED)))
def test_any_text_is_replaced_in_every_form(secret: str, around: str, form: str) -> None:
    if "\0" in secret or secret.isdigit() or not secret.isprintable() or not Redactor({"MY_TOKEN": secret}).values:
        return
    assert b"<secret:" in redacted(PRINTED[form](around + secret + around), secret)


def test_there_are_few_forms_of_most_secrets_and_never_many() -> None:
    assert len(needles(b"correcthorse99", "X")) == 4
    assert len(needles(ODD.encode(), "X")) < 45
    many = {f"TOKEN_{n}": f"correct-horse-{n}" for n in range(1000)}
    assert len(Redactor(many).values) < 2000
    assert redacted(b"correct-horse-999", "correct-horse-999") == b"<secret:MY_TOKEN>"


def test_the_name_tells_the_form() -> None:
    redactor = Redactor({"MY_TOKEN": "a/b c\\d-e"})
    words = [b"a/b c\\d-e", b"a%2Fb%20c%5Cd-e", b"a/b c\\\\d-e", base64.b64encode(b"a/b c\\d-e")]
    assert redactor.argv(words) == [
        b"<secret:MY_TOKEN>",
        b"<secret:MY_TOKEN.url>",
        b"<secret:MY_TOKEN.json>",
        b"<secret:MY_TOKEN.base64>",
    ]


def test_the_longest_secret_goes_first() -> None:
    redactor = Redactor({"A_TOKEN": "correct-horse", "B_TOKEN": "correct-horse-battery"})
    for text in (b"correct-horse-battery", base64.b64encode(b"correct-horse-battery")):
        assert redactor.text(text) in (b"<secret:B_TOKEN>", b"<secret:B_TOKEN.base64>")


@pytest.mark.parametrize("name", ["PIP_INDEX_URL", "HTTPS_PROXY", "MY_SECRET"])
def test_the_credentials_of_a_url_are_known_without_it(name: str) -> None:
    redactor = Redactor({name: "https://me%40x:Tr0ub4dor%2F3@example.org:8080/simple?a=b@c"})
    for text, plain in (
        (b"it is Tr0ub4dor/3!", b"it is <secret:url>!"),
        (b"it is Tr0ub4dor%2F3!", b"it is <secret:url>!"),
        (b"Basic " + base64.b64encode(b"me@x:Tr0ub4dor/3"), b"Basic <secret:url.base64>=="),
        (b"me%40x at example.org:8080", b"me%40x at example.org:8080"),
    ):
        assert redactor.text(text) == plain
    short = Redactor({name: "https://somebody:pw1@host"})
    assert short.text(base64.b64encode(b"somebody:pw1")) == b"<secret:url.base64>"
    assert short.text(b"pw1 somebody") == b"pw1 somebody"


def test_a_url_without_a_password_makes_nothing_known() -> None:
    for url in ("https://me@host/x:y@z", "https://host:8080/a@b", "https://me:$PASSWORD1@host", "x://:********@host"):
        assert Redactor({"PIP_INDEX_URL": url}).values == []
