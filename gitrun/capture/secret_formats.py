"""Secrets that are recognised by their own shape, whatever they are called.

Services give their tokens a prefix for this very purpose. Each row holds the literal that must be
present (a plain substring search, so text without secrets costs no regular expression at all), the
pattern, and the name of the placeholder. All patterns take time linear in the text: they begin at a
boundary, have no nested repetition, and nothing follows a repetition of variable length that could make
it go back over the same characters again and again.
"""

from __future__ import annotations

import re

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
    ((b"xox",), rb"xox[abeoprs]-[A-Za-z0-9\-]{10,}", "slack-token"),
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
    ((b"earer ",), rb"(?<=[Bb]earer )[A-Za-z0-9._~+/=\-]{16,}", "bearer"),
)
_BEGIN, _END = b"-----BEGIN ", b"-----END "
# `scheme://user:password@host`; a port (`host:8080/a@b`) is no password, nor is a variable or asterisks.
_PASSWORD = (
    rb"(?<=://)([^\s/?#:@\"'<>]{0,256}):(?![0-9]{1,5}(?:[/?#]|$)|\*+@|[${])"
    rb"(?:[^\s/?#\"'<>]{1,1024}|[^\s\"'<>@]{1,256})@"
)
_TOKEN = rb"(?<=://)[^\s/?#:@\"'<>${]{20,1024}@"


def redact_formats(data: bytes, found: set[str]) -> bytes:
    """`data` with every secret of a known shape replaced; the names of what was found are added to `found`."""
    if _BEGIN in data:
        data = _redact_pem(data, found)
    for literals, pattern, name in _FORMATS:
        for literal in literals:
            if literal in data:
                data = _replace(_START + pattern, placeholder(name), data, name, found)
                break
    if b"://" in data and b"@" in data:
        hole = placeholder("url")
        data = _replace(_PASSWORD, rb"\1:" + hole + b"@", data, "url", found)
        data = _replace(_TOKEN, hole + b"@", data, "url", found)
    return data


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
