"""The user's index settings, for the resolver that is there: pip's settings serve uv as well where uv has none.

Locations on this machine (`file:`) are left out where an index is set beside them: a lockfile that names
somebody's disk helps nobody else, and what only such a directory has is vendored instead. Credentials stay in the
environment of the resolver, and never get into what is kept.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from gitrun.capture.facts import read_start

_UV_VARIABLES = ("UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_NO_INDEX", "UV_CONFIG_FILE")
_UV_KEYS = ("index", "index-url", "extra-index-url", "no-index")
_BYTES = 1 << 20


class PipSettings(NamedTuple):
    """What pip was told: its index, further ones, directories or pages of links, and whether there is no index."""

    default: str | None
    extra: tuple[str, ...]
    links: tuple[str, ...]
    no_index: bool


def pip_settings(environ: Mapping[str, str], prefix: str | None) -> PipSettings:
    """pip's settings, from its files and variables; a later place replaces what an earlier one says."""
    values: dict[str, str] = {}
    for path in _pip_files(environ, prefix):
        values.update(_pip_file(path))
    for name in ("index-url", "extra-index-url", "find-links", "no-index"):
        if (variable := environ.get("PIP_" + name.upper().replace("-", "_"))) is not None:
            values[name] = variable
    extra, links = (tuple(values.get(name, "").split()) for name in ("extra-index-url", "find-links"))
    no_index = values.get("no-index", "").lower() in ("1", "true", "yes", "on")
    return PipSettings(values.get("index-url"), extra, links, no_index)


def _pip_files(environ: Mapping[str, str], prefix: str | None) -> Iterator[str]:
    chosen = environ.get("PIP_CONFIG_FILE")
    if chosen == os.devnull:
        return
    home = environ.get("HOME", "")
    config = environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    for directory in reversed((environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")):
        yield os.path.join(directory, "pip", "pip.conf")
    yield "/etc/pip.conf"
    yield os.path.join(home, ".pip", "pip.conf")
    yield os.path.join(config, "pip", "pip.conf")
    if prefix:
        yield os.path.join(prefix, "pip.conf")
    if chosen:
        yield chosen


def _pip_file(path: str) -> dict[str, str]:
    data = read_start(path, _BYTES)
    if data is None:
        return {}
    import configparser  # most machines have no such file

    parser = configparser.RawConfigParser()
    try:
        parser.read_string(data.decode("utf-8", "replace"))
    except configparser.Error:
        return {}  # pip itself will say so
    values: dict[str, str] = {}
    for section in ("global", "install"):
        if parser.has_section(section):
            values.update(parser.items(section))
    return values


def uv_environment(environ: Mapping[str, str], cwd: str, prefix: str | None) -> dict[str, str]:
    """The environment for uv: pip's indexes where nothing tells uv of any."""
    result = _without_ours(environ)
    if any(name in environ for name in _UV_VARIABLES) or _uv_is_configured(environ, cwd):
        return result
    pip = pip_settings(environ, prefix)
    extra = _remote(pip.extra, pip.default)
    if pip.default:
        result["UV_DEFAULT_INDEX"] = pip.default
    if extra:
        result["UV_INDEX"] = " ".join(extra)
    if pip.no_index:
        result["UV_NO_INDEX"] = "1"
    links = pip.links if pip.no_index else _remote(pip.links, pip.default)
    if links and "UV_FIND_LINKS" not in environ:
        result["UV_FIND_LINKS"] = ",".join(links)
    return result


def pip_environment(environ: Mapping[str, str], prefix: str | None) -> dict[str, str]:
    """The environment for pip: its own settings, without places on this machine where an index is set."""
    pip = pip_settings(environ, prefix)
    result = _without_ours(environ)
    if not pip.no_index:
        result["PIP_EXTRA_INDEX_URL"] = " ".join(_remote(pip.extra, pip.default))
        result["PIP_FIND_LINKS"] = " ".join(_remote(pip.links, pip.default))
    result.update(PIP_NO_INPUT="1", PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_RETRIES="1")
    return result


def _remote(places: tuple[str, ...], index: str | None) -> tuple[str, ...]:
    """All places where the index itself is on this machine, else those that others can reach as well."""
    if index is not None and not index.startswith("http"):
        return places
    return tuple(place for place in places if place.startswith("http"))


def _without_ours(environ: Mapping[str, str]) -> dict[str, str]:
    """The user's environment without what is about a recorded command or another interpreter."""
    ours = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP")
    return {name: value for name, value in environ.items() if name not in ours and not name.startswith("GITRUN_")}


def _uv_is_configured(environ: Mapping[str, str], cwd: str) -> bool:
    """Whether a file that uv reads names an index: the project's, the user's, the system's."""
    config = environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME", ""), ".config")
    paths = [os.path.join(config, "uv", "uv.toml"), "/etc/uv/uv.toml"]
    directory = os.path.abspath(cwd)
    while True:
        paths += [os.path.join(directory, name) for name in ("uv.toml", "pyproject.toml")]
        if directory == os.path.dirname(directory):
            break
        directory = os.path.dirname(directory)
    return any(_names_index(_toml(path), path.endswith("pyproject.toml")) for path in paths)


def _names_index(tree: dict[str, Any], project: bool) -> bool:
    for key in ("tool", "uv") if project else ():
        tree = found if isinstance(found := tree.get(key), dict) else {}
    of_pip = tree.get("pip")
    return any(key in table for table in (tree, of_pip) if isinstance(table, dict) for key in _UV_KEYS)


def _toml(path: str) -> dict[str, Any]:
    data = read_start(path, _BYTES)
    try:
        return tomllib.loads(data.decode("utf-8")) if data else {}
    except (ValueError, RecursionError):
        return {}  # uv itself will say so
