# Shared by the scripts: where the project is, and its virtual environment. Sourced, not run.
# VENV names a virtual environment to use as it is; PYTHON the Python to make .venv with.

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
venv="${VENV:-$root/.venv}"

# need COMMAND PACKAGE: a command from the system's packages; installed when we may, asked for otherwise.
need() {
    command -v "$1" >/dev/null && return
    install_package "$2"
}

install_package() {
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing $1" >&2
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$1" >/dev/null
    else
        echo "please install $1 first" >&2
        exit 1
    fi
}

# find_python: a Python of at least 3.11.
find_python() {
    local candidate
    for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 python; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    echo "gitrun needs Python 3.11 or later; name one with PYTHON=…" >&2
    return 1
}

# make_venv EXTRAS: .venv with the package, editable, and these extras; does nothing when it is up to date.
make_venv() {
    local python stamp wanted
    [ -z "${VENV:-}" ] || return 0
    stamp="$venv/.installed-$1"
    wanted="$(cksum <"$root/pyproject.toml")"
    [ -x "$venv/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return 0
    python="$(find_python)"
    "$python" -c 'import ensurepip, venv' 2>/dev/null || install_package python3-venv
    # Without ensurepip an earlier attempt leaves an environment that has no pip: made again, not kept.
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable "$root[$1]"
    echo "$wanted" >"$stamp"
}
