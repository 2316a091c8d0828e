"""Which names promise a secret: `--password`, `HF_TOKEN`, `dbPassword`, but not `--max-tokens`.

A substring search for "token" or "key" redacts half of a machine-learning command line (`tokenizer`,
`pad_token_id`, `--monkey`), and a record full of holes is no record. So a name is cut into words first
(at separators and at changes of case), and each word is judged in its place: `password` anywhere is a
secret unless the last word says that the value only describes one (`password_file`, `token_type`);
`token` must come last and must not be a word of a vocabulary (`eos_token`).

How sure the name makes us decides which values are spared: `true` is never a password, `--token 5`
is a count, `--auth basic` is a method.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise

NO, AUTH, TOKEN, CERTAIN = range(4)  # how sure the name alone makes us, least first

# One of these is in each name that may promise a secret, or it is one of the options `-pw` and `--pw`.
KEYWORDS = (b"pass", b"secret", b"token", b"key", b"cred", b"auth", b"cookie", b"jwt", b"pwd", b"pat", b"bearer")

_WORDS = r"[A-Z]{2,}(?![a-z])|[A-Z]?[a-z]+|[A-Z]+"
_CERTAIN_ENDINGS = ("password", "passwd", "passphrase", "secret", "apikey", "accesskey", "privatekey", "secretkey")
_CERTAIN_WORDS = {
    "passwords", "secrets", "passcode", "credential", "credentials", "creds", "authorization", "cookie", "jwt",
    "authkey", "apikeys", "dbpass", "userpass", "pgpass",
}  # fmt: skip
_CERTAIN_PAIRS = {
    *((kind, key) for key in ("key", "keys") for kind in (
        "api", "access", "private", "secret", "auth", "encryption", "signing", "account", "master", "ssh", "deploy",
        "storage", "shared",
    )),
    *((whose, "pass") for whose in (
        "db", "database", "user", "admin", "root", "mysql", "postgres", "pg", "redis", "mongo", "smtp", "mail",
        "email", "ftp", "ssh", "http", "https", "proxy", "login", "account", "service", "basic",
    )),
    ("github", "pat"), ("gitlab", "pat"), ("gh", "pat"), ("ext", "pat"), ("git", "pat"),
    *((kind, "tokens") for kind in ("api", "access", "auth", "bearer", "refresh", "secret")),
}  # fmt: skip
_TOKEN_WORDS = {
    kind + "token" for kind in (
        "", "auth", "access", "api", "bearer", "refresh", "session", "id", "csrf", "xsrf", "bot", "user", "git",
        "github", "gitlab", "hf", "hub", "oauth", "personal", "wandb",
    )
}  # fmt: skip
# Before `token`: parts of a vocabulary and of counting, where the value is text or a number, not a key.
_VOCABULARY = {
    "pad", "padding", "eos", "bos", "unk", "unknown", "sep", "cls", "mask", "special", "image", "video", "audio",
    "start", "stop", "end", "begin", "sos", "eot", "eom", "prompt", "first", "last", "next", "prev", "previous", "per",
    "each", "max", "min", "num", "n", "new", "think", "added", "additional", "separator", "decoder", "forced", "text",
    "context", "blank", "newline", "placeholder", "word", "sub", "tool", "turn", "single", "every", "class", "register",
}  # fmt: skip
# As the last word: the value tells about a secret, or where one lies.
_DESCRIBES = {
    "file", "files", "filename", "path", "paths", "dir", "directory", "sock", "socket", "name", "names", "type",
    "length", "len", "size", "count", "policy", "ttl", "timeout", "expiry", "expires", "expiration", "min", "max",
    "prompt", "manager", "store", "backend", "provider", "engine", "mode", "class", "enabled", "required", "version",
    "field", "header", "url", "uri", "endpoint", "hint", "strength", "rotation", "scope", "algorithm", "env",
}  # fmt: skip
# As the first word: the option switches something and takes no secret.
_SWITCHES = {
    "no", "without", "skip", "disable", "ask", "prompt", "num", "max", "min", "n", "is", "has", "show", "hide",
    "require", "requires", "allow", "check", "validate", "count",
}  # fmt: skip
_NO_VALUE = {
    "", "true", "false", "yes", "no", "on", "off", "none", "null", "nil", "undefined", "default", "auto", "disabled",
    "enabled", "required", "-",
}  # fmt: skip


# Options of these names hold a password, though a key of the name counts passes or names a directory.
_PASS_OPTIONS = {"pass", "pw", "pwd"}
# Before `key`: no key to a service.
_DATA_KEYS = {
    "primary", "foreign", "sort", "cache", "partition", "hash", "public", "group", "index", "row", "join", "column",
    "dict", "metric", "random", "rng", "prng",
}  # fmt: skip
_TOKEN_LIKE = r"(?:[A-Za-z]{1,8}[-_])?(?=[A-Za-z0-9]*[A-Za-z])(?=(?:[A-Za-z]*[0-9]){2})[A-Za-z0-9]{20,}"


def has_keyword(data: bytes) -> bool:
    """Whether there may be the name of a secret in `data`."""
    lowered = data.lower()
    for keyword in KEYWORDS:  # a loop, since a generator costs several times as much for a word of a command line
        if keyword in lowered:
            return True
    return False


@lru_cache(maxsize=1 << 12)  # a log says the same few names again and again
def certainty(name: str) -> int:
    """How sure `name` alone makes us that its value is a secret: NO, AUTH, TOKEN or CERTAIN."""
    words = [word.lower() for word in re.findall(_WORDS, name[-256:])]
    if not words or words[-1] in _DESCRIBES or words[0] in _SWITCHES:
        return NO
    pairs = set(pairwise(words))
    if any(word in _CERTAIN_WORDS or word.endswith(_CERTAIN_ENDINGS) for word in words) or pairs & _CERTAIN_PAIRS:
        return CERTAIN
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if last in _TOKEN_WORDS and before not in _VOCABULARY:
        return TOKEN
    if last == "pwd" and before:  # PWD and OLDPWD are directories
        return CERTAIN
    return AUTH if last in ("auth", "bearer") else NO


def is_secret(name: str, value: str) -> bool:
    """Whether `value` under `name` is a secret; switches, references (`$TOKEN`) and placeholders are not."""
    sure = certainty(name)
    if not has_content(value):
        return False
    if sure == NO:
        return may_be_secret(name) and looks_like_token(value)
    if sure == CERTAIN:
        return True
    if sure == TOKEN:
        return re.fullmatch(r"[-+]?[0-9.]{1,7}", value) is None
    return ":" in value or (len(value) >= 8 and re.search("[0-9]", value) is not None) or len(value) >= 16


def is_secret_option(name: str, value: str) -> bool:
    """Whether `value` of the option `name` is a secret; `--pass x` is one, `--pass 2` and `--pwd /dir` are none."""
    if name.lower() not in _PASS_OPTIONS:
        return is_secret(name, value)
    return has_content(value) and re.match(r"[-+]?[0-9.]{1,7}\Z|[/~.]", value) is None


@lru_cache(maxsize=1 << 12)
def may_be_secret(name: str, option: bool = False) -> bool:
    """Whether any value under `name` could be a secret: `wandb_key` and `tokens` only where it looks like a token."""
    if certainty(name) or (option and name.lower() in _PASS_OPTIONS):
        return True
    words = [word.lower() for word in re.findall(_WORDS, name[-256:])]
    if not words or words[-1] not in ("key", "keys", "tokens") or words[0] in _SWITCHES:
        return False
    return len(words) < 2 or words[-2] not in (_VOCABULARY if words[-1] == "tokens" else _DATA_KEYS)


def is_plural(name: str) -> bool:
    """Whether several values may follow an option: `--api-keys x y`."""
    return name.lower().endswith(("keys", "tokens", "passwords", "secrets"))


def looks_like_token(value: str) -> bool:
    """Twenty letters and digits or more, of which two digits, perhaps behind a prefix."""
    return len(value) >= 20 and re.fullmatch(_TOKEN_LIKE, value) is not None


def has_content(value: str) -> bool:
    """Whether a value says anything at all: not a switch, a reference, a placeholder or asterisks."""
    if len(value) < 12 and value.lower() in _NO_VALUE:
        return False
    return not value.startswith(("$", "<secret:")) and value.strip("*") != ""


def placeholder(name: str) -> bytes:
    """What stands where a secret stood: `<secret:NAME>`; nothing of the value is in it, nor a hash of it."""
    return b"<secret:" + re.sub(r"[^A-Za-z0-9_.-]", "", name)[:64].strip("-.").encode("ascii") + b">"
