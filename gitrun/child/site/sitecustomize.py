"""The first lines of gitrun in a Python process of a recorded run: nothing imported, nothing to be seen.

Python imports a module `sitecustomize` when it starts, and the recorder puts the directory of this one first on
PYTHONPATH. The program must not notice. So this file takes its directory off `sys.path` again, lets Python find the
user's own `sitecustomize` (or fail to find one, exactly as without it), and watches imports where nobody looks: in two
methods of the standard loader, one of which has to `stat` each source file anyway. `open` is watched by an object in
its place. An audit hook would be simpler and see more, but Python then calls it for each `id()` too, and
`copy.deepcopy` takes up to three times as long.
All else lies in files beside this folder that are loaded when there is something to say, past `sys.modules`.
"""

# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="attr-defined, operator, misc"
# (annotations are evaluated here: `from __future__` would be an import, and there is to be none)

import os as _os
import sys
import time as _time

os, time = type(sys)("os"), type(sys)("time")  # as they are now: a test that patches `os.open` means its own calls
vars(os).update(vars(_os))
vars(time).update(vars(_time))
_open = open

# All code of this file gets a name that Python leaves out of tracebacks and stack levels, and tracers out of reports.
sys.modules["_imp"]._fix_co_filename(sys._getframe().f_code, "<frozen importlib._bootstrap>")

_SOON, _LATER = 0.002, 0.1  # seconds between two writes: for files of the user, for installed ones
_NIBBLES = (
    0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4, 0x4DB26158, 0x5005713C,
    0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C, 0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C,
)  # fmt: skip


class _Child:
    """What a process knows about its own report; the other files work on it."""

    member = ""  # the directory that holds the reports
    path = None  # the report: None before it has a name, empty where there is nothing to write to (any more)
    start_method = ""
    hooks = None  # module name -> what to call once it is imported; None until the first import
    forks = 0
    written = 0.0
    told = False  # whether the second part of the `process` frame is written
    busy = False
    note = None  # notes a file that was opened
    full = False  # whether more files were opened than are noted
    secrets = None  # what must not be written, in all its forms
    mapped = ()  # the libraries that were mapped at the end
    load = None  # loads a file by its name below gitrun.child
    guarded = None  # calls a function of such a file with the child; whatever goes wrong there stays there

    def __init__(self, member):
        self.member = member
        self.pending = []  # modules that were seen and not yet reported: (name, path, size, mtime_ns)
        self.reported = set()  # the paths of those that were
        self.noted = {}  # the files that were opened: path -> r or w
        self.waiting = {}  # those that were not yet reported, as (path, r or w), in order
        self.inherited: frozenset[str] = (
            frozenset()
        )  # after a fork: the names of what the parent has imported, and tells
        self.forked_ns = 0
        self.argv = list(getattr(sys, "argv", ()))
        try:
            self.cwd = os.getcwd()
        except OSError:
            self.cwd = ""  # it was removed
        self.path_at_start = list(sys.path)


def _begin():
    run = os.environ.get("GITRUN_RUN_DIR")
    if run and os.name == "posix":
        child = _Child(run + "/members/" + os.environ.get("GITRUN_MEMBER", "0"))
        child.load = _loader(child)
        if _write_start(child):
            _note_script(child)
            _watch_imports(child)
            _lend_package()
            _watch_ends(child)
            if os.environ.get("GITRUN_RECORD_OPENED") != "no":
                _watch_files(child)


def _loader(child):
    """A function that loads a file of gitrun.child without `sys.modules`; it costs nothing until it is called."""
    folder = os.path.dirname(os.path.dirname(__file__))
    loaded: list[object] = []

    def load(name):
        busy, child.busy = child.busy, True  # what is imported for it is none of the program's
        try:
            if not loaded:
                first, path = "gitrun.child.private", folder + "/private.py"
                code = sys.modules["_frozen_importlib_external"].SourceFileLoader(first, path).get_code(first)
                sys.modules["_imp"]._fix_co_filename(code, "<gitrun child>/private.py")
                space = {"__name__": first, "__builtins__": __builtins__}
                exec(code, space)
                loaded.append(space["make_loader"](folder, child.path_at_start, {"os": os, "time": time}, _open))
            return loaded[0]("gitrun.child." + name)
        finally:
            child.busy = busy

    return load


# -- the first frame: this process was there, whatever ends it


def _write_start(child):
    pid = os.getpid()
    child.path = f"{child.member}/observed-{pid}-{os.urandom(4).hex()}"
    start = {
        "kind": "process",
        "pid": pid,
        "ppid": os.getppid(),
        "started_ns": time.time_ns(),
        "executable": os.fsencode(sys.executable or ""),
        "prefix": os.fsencode(sys.prefix),
        "base_prefix": os.fsencode(sys.base_prefix),
        "implementation": sys.implementation.name,
        "version": sys.version.split(None, 1)[0],
        "hexversion": sys.hexversion,
    }
    return _append(child.path, start)


def _append(path, values):
    """Appends a frame; whether that was possible."""
    payload = _map(values)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, len(payload).to_bytes(4, "little") + _crc32(payload).to_bytes(4, "little") + payload)
        finally:
            os.close(fd)
    except OSError:
        return False
    return True


def _give_up(child, problem):
    """Ends the report with a word about what went wrong in it; `problem` is a bug of gitrun's."""
    if child.path:
        trace = problem.__traceback__
        while trace.tb_next is not None:
            trace = trace.tb_next
        where = f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}"
        _append(child.path, {"kind": "problem", "text": f"{type(problem).__name__} in {where}"})
    child.path = ""


def _map(values):
    """The msgpack encoding of a map of at most 15 names to bool, int, str and bytes; a longer value is cut."""
    out = [bytes((0x80 | len(values),))]
    for pair in values.items():
        for item in pair:
            if isinstance(item, bool):
                out.append(b"\xc3" if item else b"\xc2")
            elif isinstance(item, int):
                out.append(b"\xcf" + item.to_bytes(8, "big"))
            else:
                data = (item if isinstance(item, bytes) else item.encode())[:0xFFFF]
                out.append((b"\xc5" if isinstance(item, bytes) else b"\xda") + len(data).to_bytes(2, "big") + data)
    return b"".join(out)


def _crc32(data):
    """zlib's crc32, slowly: `zlib` may be a file of its own, and the user's program has not asked for it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        crc = _NIBBLES[crc & 15] ^ (crc >> 4)
        crc = _NIBBLES[crc & 15] ^ (crc >> 4)
    return crc ^ 0xFFFFFFFF


def _note_script(child):
    """The program itself: no loader sees it, and its `__file__` is gone when it ends."""
    name = child.argv[0] if child.argv else ""
    if name not in ("", "-", "-c", "-m"):
        path = os.path.join(child.cwd, name)
        try:
            found = os.stat(path)
        except (OSError, ValueError):
            return  # Python says so itself
        if found.st_mode & 0o170000 == 0o100000:  # of a directory, Python imports its __main__.py
            child.pending.append(("__main__", path, found.st_size, found.st_mtime_ns))


# -- imports


def _watch_imports(child):
    external = sys.modules["_frozen_importlib_external"]
    source, extension = external.SourceFileLoader, external.ExtensionFileLoader
    stat, clock, pending = os.stat, time.monotonic, child.pending
    installed = (sys.prefix + "/", sys.base_prefix + "/")
    create_extension, load = extension.create_module, child.load

    def seen(name, path, found):
        if child.busy or child.path == "":
            return
        pending.append((name, path, found.st_size, found.st_mtime_ns))
        if clock() - child.written > (_LATER if path.startswith(installed) else _SOON):
            guarded("report", "flush")

    def guarded(file, name, *args):
        child.busy = True  # what we import ourselves is none of the program's
        try:
            getattr(load(file), name)(child, *args)
        except Exception as problem:
            if not _handled(child, problem):
                raise
        finally:
            child.busy = False

    def path_stats(self, path):
        """Return the metadata for the path."""
        found = stat(path)
        if not self.name.startswith(("<", "gitrun.child.")):  # py_compile and this package read sources as well
            seen(self.name, path, found)
        return {"mtime": found.st_mtime, "size": found.st_size}

    def create_module(self, spec):
        """Use default semantics for module creation."""
        if child.hooks is None and not child.busy:
            child.hooks = {}
            guarded("hooks", "install")
        if child.hooks and spec.name in child.hooks:
            guarded("hooks", "await_module", self, spec.name)

    def create_from_file(self, spec):
        """Create an uninitialized extension module"""
        try:
            seen(spec.name, self.path, stat(self.path))
        except OSError:
            pass  # what comes next says it to the user
        return create_extension(self, spec)

    child.guarded = guarded
    _take_place(source, "path_stats", path_stats)
    _take_place(source, "create_module", create_module)
    _take_place(extension, "create_module", create_from_file)
    if any(name in sys.modules for name in ("argparse", "click", "random")):  # a .pth file was faster
        create_module(None, sys.__spec__)


def _lend_package():
    """Has `import gitrun` find this very package where nothing else has one: it may be installed for itself alone."""
    external = sys.modules["_frozen_importlib_external"]
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    find = vars(external.PathFinder)["find_spec"].__func__

    def find_spec(cls, fullname, path=None, target=None):
        found = find(cls, fullname, path, target)
        if found is None and fullname == "gitrun" and path is None and not _is_found_behind(cls, fullname):
            place, within = package + "/__init__.py", [package]
            return external.spec_from_file_location(fullname, place, submodule_search_locations=within)
        return found

    find_spec.__doc__ = find.__doc__
    _take_place(external.PathFinder, "find_spec", find_spec, classmethod)


def _is_found_behind(finder, name):
    """Whether one of the finders that are asked after `finder` has the module."""
    finders = list(sys.meta_path)
    behind = finders[finders.index(finder) + 1 :] if finder in finders else []
    return any(hasattr(other, "find_spec") and other.find_spec(name, None) is not None for other in behind)


def _take_place(home, name, function, kind=None):
    before = getattr(home, name)
    function.__module__, function.__name__, function.__qualname__ = before.__module__, name, before.__qualname__
    setattr(home, name, kind(function) if kind else function)


def _handled(child, problem):
    """Whether an exception is our own affair; else a signal's handler raised it now, in the middle of our lines."""
    if isinstance(problem, RecursionError):
        return True  # the program is as deep as it can be: another time
    if not _ours(problem):
        return False
    _give_up(child, problem)
    return True


def _ours(problem):
    """Whether an exception was raised by gitrun's own lines or what they called."""
    trace = problem.__traceback__
    while trace.tb_next is not None:
        trace = trace.tb_next
    return trace.tb_frame.f_code.co_filename.startswith(("<frozen importlib", "<gitrun"))


# -- files


def _watch_files(child):
    """Puts an object in the place of `open` that the program can tell from it by its type alone."""
    if getattr(sys.flags, "warn_default_encoding", 0):
        return  # its warnings name the line that called `open`, which would be ours
    homes = sys.modules["builtins"], sys.modules["io"]  # and not _io, whose `open` imports call

    def open(*args, **kwargs):
        file = _open(*args, **kwargs)
        if child.path != "":
            try:
                (child.note or child.load("opened").start(child))(args, kwargs, file)
            except Exception as problem:
                if not _handled(child, problem):
                    raise
        return file

    open.__code__ = open.__code__.replace(co_filename="<gitrun child>/open")  # for who reads a traceback

    class Open:
        __slots__ = ("__weakref__",)
        __doc__, __module__, __wrapped__ = _open.__doc__, "io", _open  # where pickle looks for it
        __class__ = property(lambda _: type(_open))
        __call__ = staticmethod(open)  # and the object is no function, which a class would make a method of

        def __repr__(self):
            return repr(_open)

        def __reduce__(self):
            return "open"

        def __getattr__(self, name):
            return getattr(_open, name)

    instead = Open()
    for home in homes:
        if home.open is _open:
            home.open = instead


# -- ends: exit, os._exit, fork


def _watch_ends(child):
    import atexit

    leave = os._exit

    def finish():
        child.busy = True
        try:
            child.load("report").finish(child)
        except BaseException as problem:  # a signal's handler as well: nothing comes after this
            _give_up(child, problem)
        child.busy = False  # os._exit was called wrongly, or a test runs the handlers

    def _exit(*args, **kwargs):
        finish()
        return leave(*args, **kwargs)

    _exit.__module__, _exit.__doc__, _exit.__wrapped__ = leave.__module__, leave.__doc__, leave
    _os._exit = _exit

    def before_fork():
        child.forks += 1
        if (child.pending or child.waiting) and not child.busy:
            child.guarded("report", "flush")

    def in_child():
        if child.path != "":
            child.path = None  # it gets a report of its own once there is something to say
        child.told, child.busy, child.start_method = False, False, "fork"
        child.forked_ns, child.inherited = time.time_ns(), frozenset(sys.modules)
        del child.pending[:]  # the parent's to tell
        child.waiting.clear()

    atexit.register(finish)
    os.register_at_fork(before=before_fork, after_in_child=in_child)


_here = os.path.dirname(__file__)
if _here in sys.path:
    sys.path.remove(_here)
sys.path_importer_cache.pop(_here, None)
try:
    _begin()
except Exception:  # noqa: S110  whatever is wrong with it, the program starts as without gitrun
    pass
sys.modules.pop("sitecustomize", None)
__import__("sitecustomize")  # the user's; where there is none this fails as it would without gitrun
