"""Whatever a user types, sets or writes: no secret survives, nothing raises, and the facts can be stored."""

from __future__ import annotations

import json
import string

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gitrun.capture import secret_words
from gitrun.capture.config import capture_config
from gitrun.capture.configfile import Unreadable, read_values
from gitrun.capture.distributions import canonical_record
from gitrun.capture.program import Program, find_program
from gitrun.capture.secret_formats import _FORMATS, _SHORT_BYTES, redact_each_format, redact_formats
from gitrun.capture.secrets import Redactor
from gitrun.capture.variables import capture_variables, replay_variables
from gitrun.capture.words import read_words
from gitrun.model.canonical import decode, encode
from tests.redaction import redact_argv, redact_text, redact_tree

WORDS = st.one_of(
    st.binary(max_size=30).map(lambda data: data.replace(b"\0", b"")),
    st.sampled_from(
        [b"--lr", b"0.1", b"--flag", b"--", b"-x", b"key=value", b"--password", b"--no-x", b"-", b"=", b"--=", b"+a=1"]
    ),
)
ALNUM = string.ascii_letters + string.digits
SECRET = st.text(ALNUM, min_size=12, max_size=24).map(lambda text: f"Zq7{text}9Kx")
AROUND = st.text(ALNUM + " ./:,;&?-_", max_size=12)
PROGRAM = Program(0, b"/bin/python", b"/bin/python", True, True, {}, [])

# Every way a secret is known to reach a command line; `{}` is its value.
PLANTED = [
    ["--password", "{}"], ["--api-key={}"], ["HF_TOKEN={}"], ["db.password={}"], ["-H", "Authorization: Bearer {}"],
    ["-H", "X-Api-Key: {}"], ["https://me:{}@host/x"], ["postgres://u:{}@db/x"], ["ghp_{}{}{}"], ["hf_{}{}{}"],
    ["sk-ant-{}{}"], ["-c", "export SECRET_KEY={} x"], ['{{"client_secret": "{}"}}'], ["--url=http://h/?access_token=x{}1"],
    ["-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----"],
]  # fmt: skip


@given(SECRET, st.sampled_from(PLANTED), AROUND, st.lists(st.text(ALNUM, min_size=1, max_size=8), max_size=3))
def test_a_planted_secret_never_survives(secret: str, form: list[str], around: str, others: list[str]) -> None:
    argv = [*others, *(word.format(secret, secret, secret) for word in form), around]
    redacted = redact_argv([word.encode() for word in argv], {})
    assert secret.encode() not in b"\0".join(redacted.argv)
    assert redacted.names
    assert len(redacted.argv) == len(argv)


@given(SECRET, st.lists(AROUND, min_size=1, max_size=4), st.sampled_from(["A_TOKEN", "DB_PASSWORD", "MY_SECRET"]))
def test_the_environment_s_secrets_never_survive(secret: str, pieces: list[str], name: str) -> None:
    environ = {name: secret, "PATH": f"/x/{secret}"}
    text = secret.join([*pieces, ""])
    assert secret not in redact_text(text, environ)
    assert secret not in json.dumps(redact_tree({"a": [text], text: {"b": text}}, environ))
    assert secret not in str(capture_variables(environ, Redactor(environ)).value)


ODD_WORDS = st.lists(
    st.sampled_from(
        "curl sudo aws configure set docker login mysql -c -p -u -ume:x1 -b -H -Hcookie:a1 --api-keys --password "
        "--pass --pw=a1 --pad-token --data-path=/x/path --key_path=a:key=b1 model.token=a1b2 x/y@token=a1 "
        "PASSWORD=a1 --password=a1 token: 'token': password:a1 https://u:p4@h ?token=a1 &sig=a1 --t a1b2c3 "
        "correct-horse-1 Y29ycmVjdC1ob3JzZS0x -----BEGIN --user me:a1b2 -D -Dpassword=a1 --no-password= monkey "
        "/data/key --tokens aB3dE6gH9jK2mN5pQ8sT1vW4".split()
    )
    | st.sampled_from(
        ["sh -c 'x --token abc'", "-x --key\tA1", f"ghp_{'a1' * 20}", "aB3dE6gH9jK2mN5pQ8sT1vW4", '"', " "]
    )
    | st.text("-=:ky epw\"'<>?&", max_size=4),
    min_size=1,
    max_size=3,
).map("".join)


@given(st.lists(ODD_WORDS, max_size=8))
@settings(max_examples=1000)
def test_looking_first_finds_in_words_what_taking_each_apart_finds(words: list[str]) -> None:
    argv = [word.encode() for word in words]
    environ = {"MY_TOKEN": "correct-horse-1"}
    fast, slow = Redactor(environ), Redactor(environ)
    plain = fast.argv(argv)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(secret_words, "_signs", lambda argv, known: bytearray(b"\3") * len(argv))
        assert plain == slow.argv(argv)
    assert fast.names == slow.names


BODY = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hI6"
PIECES = st.one_of(
    st.sampled_from([literal for row in _FORMATS for literal in row[0]]),
    st.sampled_from([BODY.encode(), BODY[:10].encode(), b"0123456789abcdef" * 4, b"a" * 33, BODY.upper().encode()]),
    st.sampled_from(
        [b"eyJ" + BODY.encode() + b".", b"12345678", b"-----BEGIN ", b"PRIVATE KEY", b"-----END ", b"-----"]
    ),
    st.sampled_from([b" ", b"-", b"_", b".", b"\n", b"x", b"s", b"/services/", b"B"]),
)


@given(st.lists(PIECES, max_size=10))
@settings(max_examples=500)
def test_looking_first_finds_what_trying_every_format_finds(pieces: list[bytes]) -> None:
    text = b"".join(pieces) + b" " * _SHORT_BYTES  # in a short text nothing is looked for first
    fast: set[str] = set()
    plain: set[str] = set()
    assert redact_formats(text, fast) == redact_each_format(text, plain)
    assert fast == plain


@given(st.lists(WORDS, max_size=6))
def test_redacting_twice_changes_nothing_more(argv: list[bytes]) -> None:
    once = redact_argv(argv, {}).argv
    assert redact_argv(once, {}).argv == once


@given(st.one_of(st.text(), st.text(alphabet="tokenpas=:\"'<>-@/ ;$(\\")))
def test_any_text_can_be_redacted(text: str) -> None:
    assert isinstance(redact_text(text), str)


@given(st.lists(WORDS, max_size=8), st.integers(0, 3))
def test_any_words_can_be_read_and_stored(argv: list[bytes], start: int) -> None:
    words = read_words(argv, start)
    assert set(words.positions) == set(words.values)
    assert all(start <= position < len(argv) for position in words.positions.values())
    facts = capture_config(argv, [], Redactor({}), cwd=b"/nonexistent", worktree=None, program=PROGRAM)
    assert decode(encode(facts.value))["format"] == 1


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=6)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=4)),
    max_leaves=20,
)


@given(st.dictionaries(st.text(max_size=4), JSON, max_size=5))
def test_any_json_file_becomes_values_that_can_be_stored(tree: dict[str, object]) -> None:
    encode(redact_tree(read_values(json.dumps(tree).encode(), "json")))


@pytest.mark.parametrize("kind", ["json", "toml", "ini", "yaml"])
@given(data=st.one_of(st.binary(max_size=60), st.text(alphabet="{}[]:,-&*<!\"'a1=# \n", max_size=60).map(str.encode)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_values_or_refused_in_words(kind: str, data: bytes) -> None:
    try:
        encode(read_values(data, kind))
    except Unreadable as problem:
        assert str(problem)


@given(
    st.lists(
        st.tuples(st.text("ab/._", min_size=1, max_size=8), st.text("xyz", max_size=3), st.text("019", max_size=2))
    )
)
def test_the_order_and_line_ends_of_a_record_do_not_matter(rows: list[tuple[str, str, str]]) -> None:
    lines = [",".join(row).encode() for row in rows]
    assert canonical_record(b"\n".join(lines)) == canonical_record(b"\r\n".join(reversed(lines)))


@given(st.lists(WORDS, max_size=5))
def test_any_command_has_a_program_or_none(argv: list[bytes]) -> None:
    found = find_program(argv, {"PATH": "/bin:/usr/bin"}, b"/")
    assert 0 <= found.at <= max(len(argv) - 1, 0)


NAMES = st.sampled_from(["PATH", "OMP_NUM_THREADS", "PYTHONHASHSEED", "RANK", "HOME", "LC_ALL", "HF_TOKEN"])


@given(st.dictionaries(NAMES, st.text("ab", min_size=1)), st.dictionaries(NAMES, st.text("cd", min_size=1)))
def test_a_replay_computes_with_the_recorded_settings(then: dict[str, str], now: dict[str, str]) -> None:
    if "HF_TOKEN" in then:
        then["HF_TOKEN"] += "ef"  # a setting with the secret's value in it would not be recorded as it is
    recorded = capture_variables(then, Redactor(then)).value
    environ = replay_variables(recorded, now).environ
    for name in ("PATH", "OMP_NUM_THREADS", "PYTHONHASHSEED", "LC_ALL"):
        assert environ.get(name) == then.get(name)
    for name in ("RANK", "HOME", "HF_TOKEN"):
        assert environ.get(name) == now.get(name)
