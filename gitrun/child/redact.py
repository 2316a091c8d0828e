"""Replaces secrets in a report before it reaches the disk.

A report lies in the live directory of its owner alone until it is sealed, and what is sealed is redacted once more
with all that gitrun knows. But a live directory can be copied, and outlive its run. This process has the same
variables as the recorder, so it needs no list of secrets: it finds the values of variables whose names promise one
in each form, what stands behind an option or under a key of such a name, tokens of known forms, and passwords in
URLs. `re` may not be loaded here, and is not needed.
"""

from __future__ import annotations

import os
from typing import Any, Mapping

from gitrun.child.secret_forms import Needle, all_needles, can_be_looked_for, without

_ALONE = ("password", "passwd", "passphrase", "secret", "apikey", "token", "credential", "credentials", "creds", "jwt",
          "accesskey", "privatekey", "secretkey", "authorization", "cookie", "pat")  # fmt: skip
_KEYS = ("api", "access", "private", "secret", "auth", "encryption", "signing", "account", "master", "deploy")
_VOCABULARY = ("pad", "eos", "bos", "unk", "sep", "cls", "mask", "special", "image", "max", "min", "num", "per", "new")
# fmt: off
_TOKENS = (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"github_pat_", b"glpat-", b"gldt-", b"glrt-", b"hf_", b"sk-",
           b"api_org_", b"xoxb-", b"xoxp-", b"xoxa-", b"xapp-", b"AKIA", b"ASIA", b"AIza", b"ya29.", b"GOCSPX-", b"eyJ",
           b"k_live_", b"k_test_", b"npm_", b"pypi-", b"SG.", b"dapi", b"dop_v1_", b"r8_", b"gsk_", b"wandb_v1_")
# fmt: on
_OF_TOKENS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.")
_TOKEN_BYTES = 20


def redacted(value: dict[str, Any], secrets: list[Needle]) -> dict[str, Any]:
    """A frame without secrets."""
    if value["kind"] in ("process", "config"):
        value = named(value)
    return {key: replaced(item, secrets) for key, item in value.items()} if secrets else value


def is_secret_name(name: str) -> bool:
    """Whether a name promises a secret: `HF_TOKEN`, `db-password`, `apiKey`, but not `pad_token` or `token_file`."""
    spaced = "".join(
        "_" + char if char.isupper() and before.islower() else char if char.isalnum() else "_"
        for before, char in zip(" " + name, name)
    )
    words = [word for word in spaced.lower().split("_") if word]
    if not words:
        return False
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if last in ("key", "keys"):
        return before in _KEYS
    if last == "token" and before in _VOCABULARY:
        return False
    return last.endswith(_ALONE) and words[0] not in ("no", "max", "min", "num", "disable", "without")


def secrets_of(environ: Mapping[str, str]) -> list[Needle]:
    """What to look for so that no secret among these variables is told."""
    found = [
        (os.fsencode(value), name)
        for name, value in list(environ.items())
        if can_be_looked_for(value) and is_secret_name(name)
    ]
    return all_needles(found, [environ])


def replaced(value: Any, secrets: list[Needle]) -> Any:
    """`value` with each secret in its texts replaced by its placeholder."""
    if isinstance(value, bytes):
        for needle in secrets:
            if needle[1] in value:
                value = without(value, needle, placeholder(needle[2]).encode())
        return value
    if isinstance(value, str):
        return os.fsdecode(replaced(os.fsencode(value), secrets))
    if isinstance(value, (list, tuple)):
        return [replaced(item, secrets) for item in value]
    if isinstance(value, dict):
        return {replaced(key, secrets): replaced(item, secrets) for key, item in value.items()}
    return value


def named(value: dict[str, Any]) -> dict[str, Any]:
    """A `process` or `config` frame without what its own names call a secret."""
    value = dict(value)
    for field in ("values", "defaults"):
        if isinstance(value.get(field), dict):
            value[field] = {key: _under(str(key), item) for key, item in value[field].items()}
    for field in ("argv", "orig_argv"):
        if isinstance(value.get(field), list):
            value[field] = _options(value[field])
    return value


def placeholder(name: str) -> str:
    """What stands where a secret stood."""
    kept = "".join(char for char in name if char.isalnum() or char in "_.-")
    return f"<secret:{kept[:64].strip('-.')}>"


def _under(name: str, item: Any) -> Any:
    if isinstance(item, dict):
        return {key: _under(str(key), inner) for key, inner in item.items()}
    if isinstance(item, (str, bytes)) and len(item) > 3 and is_secret_name(name.rpartition(".")[2]):
        return placeholder(name)
    if isinstance(item, (list, tuple)):
        return [_under(name, inner) for inner in item]
    if isinstance(item, str) and " -" in item:
        return os.fsdecode(_options([os.fsencode(item)])[0])
    return _plain(item)


def _options(words: list[bytes]) -> list[bytes]:
    out, behind = [], ""
    for word in words:
        name, equals, item = word.partition(b"=")
        text = os.fsdecode(name).lstrip("-")
        if behind and not word.startswith(b"-"):
            word = placeholder(behind).encode()
        elif b" " in word and word.count(b" ") < 1000:  # a whole command line, as a shell gets it
            word = b" ".join(_options(word.split(b" ")))
        elif equals and item and len(name) < 256 and is_secret_name(text):
            word = name + b"=" + placeholder(text).encode()
        behind = text if word.startswith(b"-") and not equals and len(name) < 256 and is_secret_name(text) else ""
        out.append(_plain(word))
    return out


def _plain(item: Any) -> Any:
    """A text without tokens and the password of a URL in it."""
    if isinstance(item, str):
        return os.fsdecode(_plain(os.fsencode(item)))
    if isinstance(item, (list, tuple)):
        return [_plain(inner) for inner in item]
    if not isinstance(item, bytes):
        return item
    for prefix in _TOKENS:
        at = item.find(prefix)
        while at >= 0:
            end = at + len(prefix)
            while end < len(item) and item[end] in _OF_TOKENS:
                end += 1
            token = item[at:end]
            if len(token) >= _TOKEN_BYTES and any(48 <= byte < 58 for byte in token) and not item[:at][-1:].isalnum():
                item = item[:at] + b"<secret:token>" + item[end:]
                end = at
            at = item.find(prefix, end)
    return _without_password(item)


def _without_password(item: Any) -> Any:
    """A text without the password of a URL in it."""
    if isinstance(item, bytes):
        return os.fsencode(_without_password(os.fsdecode(item)))
    if not isinstance(item, str) or "://" not in item or "@" not in item:
        return item
    scheme, mark, rest = item.partition("://")
    place, slash, path = rest.partition("/")
    login, at, host = place.rpartition("@")
    user, _, secret = login.partition(":")
    return f"{scheme}{mark}{user}:<secret:url-password>{at}{host}{slash}{path}" if secret else item
