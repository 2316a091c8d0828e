"""Secrets that are recognised by their own shape, whatever they are called.

Services give their tokens a prefix for this very purpose. Each row holds the literals of which one must
be present, the pattern, and the name of the placeholder. All patterns take time linear in the text: they
begin at a boundary, have no nested repetition, and nothing follows a repetition of variable length that
could make it go back over the same characters again and again.

A console may be hundreds of megabytes without a single secret, and looking for each of fifty literals
takes longer than compressing it. So nearly every literal is found through a character that it shares with
others and that is not frequent: one expression for each such character jumps from one to the next, and
looks ahead for the start of a token and back for the literals. Only where one is found are the rows tried. A short
text, such as a word of a command line, is quicker looked through for each literal, and needs no expressions made.
"""

from __future__ import annotations

import re
from functools import lru_cache

from gitrun.capture.secret_names import placeholder

_START = rb"(?<![A-Za-z0-9])"
_FORMATS: tuple[tuple[tuple[bytes, ...], bytes, str], ...] = (
    ((b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_"), rb"gh[pousr]_[A-Za-z0-9]{30,}", "github-token"),
    ((b"github_pat_",), rb"github_pat_[A-Za-z0-9_]{30,}", "github-token"),
    (
        (b"glpat-", b"glptt-", b"gldt-", b"glrt-", b"glcbt-", b"glft-", b"glsoat-", b"glagent-"),
        rb"gl(?:pat|ptt|dt|rt|cbt|ft|soat|agent)-[A-Za-z0-9_\-]{20,}",
        "gitlab-token",
    ),
    ((b"AKIA", b"ASIA", b"ABIA", b"ACCA"), rb"A(?:KI|SI|BI|CC)A[A-Z2-7]{16}(?![A-Za-z0-9])", "aws-access-key"),
    ((b"hf_",), rb"hf_[A-Za-z0-9]{30,}", "huggingface-token"),
    ((b"api_org_",), rb"api_org_[A-Za-z0-9]{30,}", "huggingface-token"),
    ((b"sk-ant-",), rb"sk-ant-[A-Za-z0-9_\-]{20,}", "anthropic-key"),
    ((b"sk-proj-", b"sk-svcacct-", b"sk-admin-"), rb"sk-(?:proj|svcacct|admin)-[A-Za-z0-9_\-]{20,}", "openai-key"),
    ((b"sk-or-v1-",), rb"sk-or-v1-[0-9a-f]{32,}", "openrouter-key"),
    # without a service's word behind it, only what no English words make (`sk-learn-…` is none)
    ((b"sk-",), rb"sk-(?:[A-Za-z0-9]{40,}|(?=[A-Za-z]{0,39}[0-9])[A-Za-z0-9]{20,})", "openai-key"),
    (tuple(b"xox%c-" % kind for kind in b"abeoprs"), rb"xox[abeoprs]-[A-Za-z0-9\-]{10,}", "slack-token"),
    ((b"xapp-",), rb"xapp-[A-Za-z0-9\-]{20,}", "slack-token"),
    ((b"hooks.slack.com",), rb"hooks\.slack\.com/services/[A-Za-z0-9_/]{20,}", "slack-webhook"),
    ((b"AIza",), rb"AIza[A-Za-z0-9_\-]{35}", "google-key"),
    ((b"ya29.",), rb"ya29\.[A-Za-z0-9_\-]{20,}", "google-token"),
    ((b"GOCSPX-",), rb"GOCSPX-[A-Za-z0-9_\-]{20,}", "google-secret"),
    ((b"eyJ",), rb"(?<![\w.\-])eyJ[A-Za-z0-9_\-]{10,}+\.eyJ[A-Za-z0-9_\-]{8,}+\.[A-Za-z0-9_\-]{8,}", "jwt"),
    ((b"k_live_", b"k_test_"), rb"[srp]k_(?:live|test)_[A-Za-z0-9]{16,}", "stripe-key"),
    ((b"npm_",), rb"npm_[A-Za-z0-9]{36}", "npm-token"),
    ((b"pypi-",), rb"pypi-[A-Za-z0-9_\-]{50,}", "pypi-token"),
    ((b"SG.",), rb"SG\.[A-Za-z0-9_\-]{22}\.[A-Za-z0-9_\-]{43}", "sendgrid-key"),
    ((b"dapi",), rb"dapi[0-9a-f]{32}", "databricks-token"),
    ((b"dop_v1_", b"doo_v1_", b"dor_v1_"), rb"do[por]_v1_[0-9a-f]{64}", "digitalocean-token"),
    ((b"r8_",), rb"r8_[A-Za-z0-9]{37}", "replicate-token"),
    ((b"gsk_",), rb"gsk_[A-Za-z0-9]{40,}", "groq-key"),
    ((b"wandb_v1_",), rb"wandb_v1_[A-Za-z0-9_]{40,}", "wandb-key"),
    ((b":AA",), rb"[0-9]{8,10}:AA[A-Za-z0-9_\-]{33}", "telegram-token"),
    ((b"Bearer ", b"bearer "), rb"(?<=[Bb]earer )[A-Za-z0-9._~+/=\-]{16,}", "bearer"),
)
_BEGIN, _END = b"-----BEGIN ", b"-----END "
# `scheme://user:password@host`; a port (`host:8080/a@b`) is no password, nor is a variable or asterisks.
_PASSWORD = (
    rb"://([^\s/?#:@\"'<>]{0,256}):(?![0-9]{1,5}(?:[/?#]|$)|\*+@|[${])"
    rb"(?:[^\s/?#\"'<>]{1,1024}|[^\s\"'<>@]{1,256})@"
)
_TOKEN = rb"://[^\s/?#:@\"'<>${]{20,1024}@"
# The signature of a signed URL: whoever has it has what the URL names.
_SIGNATURE = rb"(?i:([?&](?:x-(?:amz|goog)-)?sig(?:nature)?=))(?!<secret:)[^\s&#\"'<>]+"

_SHARED = (b"_", b"-", b".", b"A", b"J", b"B", b"b", b"p")
_SHORT_BYTES = 1 << 10
_LITERALS = tuple(literal for row in _FORMATS for literal in row[0])
# Where none of these is, `redact_formats` changes nothing.
SIGNS = (*_LITERALS, _BEGIN, b"://", b"ig=", b"ignature=")
_BODY = rb"(?=[A-Za-z0-9_\-]{10})"  # what follows every literal that ends with a shared character
# Something may stand before these; the others begin their pattern.
_INSIDE = (b"k_live_", b"k_test_", b":AA", b"Bearer ", b"bearer ")


@lru_cache(maxsize=1)
def _sieves() -> list[tuple[bytes, re.Pattern[bytes]]]:
    """For each shared character what finds the literals with it; made when a long text is first seen."""
    literals = list(_LITERALS)
    sieves = []
    for shared in _SHARED:
        mine = [literal for literal in literals if shared in literal]
        literals = [literal for literal in literals if shared not in literal]
        branches = [_around(literal, shared) for literal in mine if not literal.endswith(shared)]
        if shared == b"-":
            branches.append(b"BEGIN ")
        if last := [literal for literal in mine if literal.endswith(shared)]:
            branches.append(rb"%s(?:%s)" % (_BODY, b"|".join(_around(each, shared) for each in last)))
        heads = [literal.rpartition(shared)[0] for literal in mine] + [b"--"] * (shared == b"-")
        before = rb"(?<=[%s].)" % re.escape(bytes({head[-1] for head in heads})) if all(heads) else b""
        sieves.append((shared, re.compile(rb"%s%s(?s:%s)" % (re.escape(shared), before, b"|".join(branches)))))
    assert not literals
    return sieves


def _around(literal: bytes, shared: bytes) -> bytes:
    """Matches behind `shared` where it is the last one in `literal`."""
    head, _, rest = literal.rpartition(shared)
    head = re.escape(head + shared)
    boundary = b"" if literal in _INSIDE else rb"(?<![A-Za-z0-9]%s)" % head
    return rb"(?<=%s)%s%s" % (head, boundary, re.escape(rest))


def redact_formats(data: bytes, found: set[str]) -> bytes:
    """`data` with every secret of a known shape replaced; the names of what was found are added to `found`."""
    if _may_hold(data):
        data = redact_each_format(data, found)
    if b"@" in data and b"://" in data:
        hole = placeholder("url")
        data = _replace(_PASSWORD, rb"://\1:" + hole + b"@", data, "url", found)
        data = _replace(_TOKEN, b"://" + hole + b"@", data, "url", found)
    if (b"?" in data or b"&" in data) and (b"ig=" in data or b"ignature=" in data):
        data = _replace(_SIGNATURE, rb"\1" + placeholder("signature"), data, "signature", found)
    return data


def find_formats(data: bytes) -> set[str]:
    """The names of the known formats in `data`."""
    found: set[str] = set()
    if _may_hold(data):
        redact_each_format(data, found)
    return found


def _may_hold(data: bytes) -> bool:
    """Whether any row may match: seen without a regular expression in a short text, by the sieves in a long one."""
    if len(data) >= _SHORT_BYTES:
        return any(shared in data and sieve.search(data) for shared, sieve in _sieves())
    for literal in _LITERALS:  # a loop, since a generator costs ten times as much for a word of a command line
        if literal in data:
            return True
    return _BEGIN in data


def redact_each_format(data: bytes, found: set[str]) -> bytes:
    """Every row applied in turn, as if there were no faster way to see that none of them matches."""
    if _BEGIN in data:
        data = _redact_pem(data, found)
    for literals, pattern, name in _FORMATS:
        if any(literal in data for literal in literals):
            data = _replace(_bounded(literals[0], pattern), placeholder(name), data, name, found)
    return data


def _bounded(literal: bytes, pattern: bytes) -> bytes:
    """The pattern at a boundary; the boundary is looked for behind the literal, so that `re` can search for that."""
    if not pattern.startswith(literal):
        return _START + pattern
    return rb"%s(?<![A-Za-z0-9]%s)%s" % (literal, literal, pattern[len(literal) :])


def _replace(pattern: bytes, by: bytes, data: bytes, name: str, found: set[str]) -> bytes:
    data, times = re.subn(pattern, by, data)
    if times:
        found.add(name)
    return data


def _redact_pem(data: bytes, found: set[str]) -> bytes:
    """Private keys in PEM form, to their end line or, where it is missing, to the end of the text."""
    kept = []
    at = 0
    while (begin := data.find(_BEGIN, at)) >= 0:
        if b"PRIVATE KEY" not in data[begin : begin + 64]:
            kept.append(data[at : begin + len(_BEGIN)])
            at = begin + len(_BEGIN)
            continue
        end = data.find(_END, begin)
        last = data.find(b"-----", end + len(_END)) if end >= 0 else -1
        kept += [data[at:begin], placeholder("private-key")]
        found.add("private-key")
        at = last + 5 if last >= 0 else len(data)
    return b"".join(kept) + data[at:]
