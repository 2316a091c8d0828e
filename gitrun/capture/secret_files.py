"""Files whose name says that they hold secrets: their content is neither stored nor hashed."""

from __future__ import annotations

_NAMES = frozenset(
    b".env .envrc .netrc _netrc .pgpass .my.cnf .npmrc .pypirc .htpasswd .dockercfg .git-credentials .vault-token "
    b".boto .s3cfg credentials credentials.json credentials.yaml credentials.yml credentials.toml credentials.ini "
    b"secrets.json secrets.yaml secrets.yml secrets.toml secrets.env client_secret.json service-account.json "
    b"service_account.json kubeconfig kaggle.json token.json token.txt id_rsa id_dsa id_ecdsa id_ed25519 "
    b"id_ecdsa_sk id_ed25519_sk".split()
)
_ENDINGS = (b".pem", b".key", b".p12", b".pfx", b".jks", b".keystore", b".kdbx", b".ppk", b".gpg", b".age")
_PLAIN_ENV = (b".example", b".sample", b".template", b".dist", b".defaults")
_DIRECTORIES = frozenset((b".ssh", b".aws", b".gnupg", b".kube", b".azure", b".docker"))


def is_secret_file(path: bytes) -> bool:
    """Whether a path names a file of secrets: `.env`, private keys, credential files; `.env.example` is none."""
    *directories, name = path.lower().split(b"/")
    if name in _NAMES or name.endswith(_ENDINGS):
        return True
    if name.startswith(b".env.") or name.endswith(b".env"):
        return not name.endswith(_PLAIN_ENV)
    return not _DIRECTORIES.isdisjoint(directories)
