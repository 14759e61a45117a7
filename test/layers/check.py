#!/usr/bin/env python3
"""Checks that the house stands as it is drawn: who includes whom, what pure folders keep away from, how long things are.

usage: check.py ROOT           exit 0: it does; 1: it does not (each place named, file:line: [rule] what)
       check.py --self-test    plants a violation of every kind in a tree of its own and looks whether it is found
"""
import bisect
import os
import pathlib
import re
import sys

# folder under src/ | what it may include and link, besides itself: folders, or single headers (interfaces, not linked)
ARROWS_TABLE = """
base          |
wait          | base
job           | base sequencer/store.h
stream        | base sequencer/store.h
subscription  | base
topic         | base
group         | base sequencer/outcome.h
sequencer     | base wait job stream subscription topic group
journal       | base sequencer/store.h
net           | base wait
http/codec    | base
kafka/codec   | base
compaction    | base stream sequencer kafka/codec
kafka/api     | base wait stream topic sequencer net kafka/codec
http/exchange | base wait net http/codec sequencer/store.h sequencer/command.h
http/api      | base wait job stream topic sequencer net http/codec http/exchange kafka/codec
cli           | base
sim           | base wait job stream subscription topic group sequencer compaction
server        | base wait job stream subscription topic group sequencer journal net http/codec http/exchange http/api kafka/codec kafka/api compaction cli
"""

# Folders that make no system call, read no clock, and take their memory from base/mem.h alone; and all they may include
# from outside. Tests are free.
PURE = {"base", "wait", "job", "stream", "subscription", "topic", "group", "sequencer", "kafka/codec", "compaction"}
PURE_HEADERS = set("""
    endian.h errno.h inttypes.h limits.h math.h stdarg.h stdbool.h stddef.h stdint.h stdlib.h string.h
""".split())
PURE_NO_CALLS = set("""
    open openat creat close dup dup2 pipe read write pread pwrite readv writev lseek stat fstat fsync fdatasync sync ftruncate
    fallocate posix_fallocate rename link unlink mkdir rmdir opendir readdir fopen fdopen fclose fread fwrite fflush fputs fputc
    puts putchar printf fprintf vprintf vfprintf perror ioctl fcntl syscall mmap munmap
    socket bind listen accept accept4 connect send recv sendto recvfrom sendmsg recvmsg sendfile poll ppoll select epoll_wait
    epoll_ctl epoll_create1 eventfd timerfd_create signalfd
    time clock clock_gettime gettimeofday nanosleep clock_nanosleep sleep usleep gmtime gmtime_r localtime localtime_r strftime
    rand srand random srandom drand48 arc4random getrandom getentropy
    fork vfork execv execve execvp posix_spawn system popen waitpid kill raise abort exit _exit signal sigaction atexit
    getenv setenv setlocale getpid gettid sysconf
    malloc calloc realloc reallocarray free aligned_alloc posix_memalign strdup strndup asprintf vasprintf
    pthread_create pthread_mutex_lock pthread_cond_wait thrd_create mtx_lock
""".split())
# What has to be an exception, and where: calls and headers.
PURE_EXCEPTIONS = {
    "base/mem.c": {"malloc", "calloc", "realloc", "free", "stdatomic.h"},  # the one allocator, and its fault for tests
    "base/panic.c": {"fprintf", "abort", "stdio.h"},  # a programmer's error ends the program
    "base/buf.c": {"stdio.h"},  # vsnprintf
    "base/crc32c.c": {"isa-l/crc.h"},
    "group/pattern.c": {"pcre2.h"},
    "kafka/codec/compress.c": {"lz4frame.h", "snappy-c.h", "zlib.h", "zstd.h"},
    "kafka/codec/compression.c": {"lz4frame.h", "snappy-c.h", "zlib.h", "zstd.h", "zstd_errors.h"},
}

NO_CALLS = set("strcpy stpcpy strcat sprintf vsprintf gets atoi atol atoll atof strtok alloca".split())
FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 60
TOO_LONG_EXCEPTIONS = set()  # "src/x/y.c" or "src/x/y.c:function"

C_ROOTS = ("src", "bench", "test")
NOT_OURS = {"build", ".git", "__pycache__", ".pytest_cache", "node_modules", "results"}
# Somebody's own directory, named in a file that others read. Packaging speaks of such directories to forbid them.
STRANGER = re.compile(r"(?<![\w.~}])/(?:home|root)/[\w.-]+")
STRANGER_EXEMPT = ("packaging/",)

RULES = set("""
    arrow unknown-folder no-such-header link private pragma-once pure-include pure-call no-call file-length function-length
    house stranger
""".split())


def arrows():
    rows = (line.split("|") for line in ARROWS_TABLE.strip().splitlines())
    return {folder.strip(): set(allowed.split()) for folder, allowed in rows}


ARROWS = arrows()
TOKEN = re.compile(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.S)
DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n\\]|\\.|\\\n)*", re.M)
INCLUDE = re.compile(r"^[ \t]*#[ \t]*include[ \t]*([\"<])([^\">\n]+)[\">]", re.M)
CALL = re.compile(r"(?<![\w.>])([A-Za-z_]\w*)\s*\(")


def blank(text):
    return re.sub(r"[^\n]", " ", text)


class Source:
    """A C file: as it is, without comments, and without comments, strings and directives; places stay the same in all three."""

    def __init__(self, root, path):
        self.path = path.relative_to(root).as_posix()
        self.text = path.read_text(encoding="utf-8", errors="replace")
        self.commentless = TOKEN.sub(lambda m: blank(m[0]) if m[0][0] == "/" else m[0], self.text)
        self.code = DIRECTIVE.sub(lambda m: blank(m[0]), TOKEN.sub(lambda m: blank(m[0]), self.text))
        self.starts = [0] + [m.end() for m in re.finditer("\n", self.text)]
        self.in_src = self.path.removeprefix("src/") if self.path.startswith("src/") else None
        self.is_test = self.path.endswith(("_test.c", "_fuzz.c")) or self.in_src == "base/testing.h"

    def line(self, at):
        return bisect.bisect_right(self.starts, at)

    def includes(self):
        """(line, header, is it a system header)"""
        return [(self.line(m.start(1)), m[2], m[1] == "<") for m in INCLUDE.finditer(self.commentless)]

    def calls(self):
        """(line, name), definitions and declarations included: nobody may define a name that he may not call"""
        return [(self.line(m.start(1)), m[1]) for m in CALL.finditer(self.code)]

    def functions(self):
        """(first line, lines, name) of each definition, from the line its head begins on to that of its closing brace"""
        depth, head_at, start = 0, 0, None
        for m in re.finditer(r"[{};]", self.code):
            if m[0] == "{":
                head = self.code[head_at:m.start()]
                if depth == 0 and head.rstrip().endswith(")") and "=" not in head:
                    first = head_at + len(head) - len(head.lstrip())
                    name = CALL.search(head)
                    start = (self.line(first), name[1] if name else "?")
                depth += 1
            elif m[0] == "}":
                depth = max(depth - 1, 0)
                if depth == 0 and start:
                    yield start[0], self.line(m.start()) - start[0] + 1, start[1]
                    start = None
            if depth == 0:
                head_at = m.end()


def folder_of(path):
    """The row of the table that a path under src/ belongs to, or None."""
    parts = pathlib.PurePosixPath(path).parent.parts
    for n in range(len(parts), 0, -1):
        if "/".join(parts[:n]) in ARROWS:
            return "/".join(parts[:n])
    return None


def check_arrows(root, source):
    folder = folder_of(source.in_src)
    if folder is None:
        yield 1, "unknown-folder", "no row of the arrows' table is about this file's folder"
        return
    for line, header, system in source.includes():
        if system:
            continue
        to = folder_of(header)
        if not (root / "src" / header).is_file():
            yield line, "no-such-header", f'"{header}" is not there; name it from src/ on'
        elif to is None:
            yield line, "unknown-folder", f'no row of the arrows\' table is about "{header}"'
        elif to != folder and to not in ARROWS[folder] and header not in ARROWS[folder]:
            yield line, "arrow", f'{folder} may not include "{header}" (it may: {" ".join(sorted(ARROWS[folder])) or "nothing"})'


def check_pure(source):
    if folder_of(source.in_src) not in PURE or source.is_test:
        return
    free = PURE_EXCEPTIONS.get(source.in_src, set())
    for line, header, system in source.includes():
        if system and header not in PURE_HEADERS | free:
            yield line, "pure-include", f"<{header}> in a pure folder"
    for line, name in source.calls():
        if name in PURE_NO_CALLS - free:
            yield line, "pure-call", f"{name}() in a pure folder"


def check_everywhere(source):
    """Rules for every C file of the tree."""
    for line, header, system in source.includes():
        mine = pathlib.PurePosixPath(source.in_src or "-").parent
        if header.endswith("_priv.h") and not system and pathlib.PurePosixPath(header).parent != mine:
            yield line, "private", f'"{header}" stays in its folder'
    if source.path.endswith(".h") and not re.search(r"^#pragma once$", source.commentless, re.M):
        yield 1, "pragma-once", "a header without #pragma once"
    for line, name in source.calls():
        if name in NO_CALLS:
            yield line, "no-call", f"{name}() is not used here"
    lines = source.text.count("\n")
    if lines > FILE_LINES_MAX and source.path not in TOO_LONG_EXCEPTIONS:
        yield 1, "file-length", f"{lines} lines, at most {FILE_LINES_MAX}"
    for line, length, name in source.functions():
        if length > FUNCTION_LINES_MAX and f"{source.path}:{name}" not in TOO_LONG_EXCEPTIONS:
            yield line, "function-length", f"{name}() has {length} lines, at most {FUNCTION_LINES_MAX}"


def libraries(root):
    """(CMakeLists.txt, line, folder, name, its source files, what it links to) of each bide_library."""
    for path in sorted((root / "src").rglob("CMakeLists.txt")):
        where = path.relative_to(root / "src").parent.as_posix()
        text = re.sub(r"#[^\n]*", "", path.read_text(encoding="utf-8"))
        for m in re.finditer(r"bide_library\(\s*(\w+)\s+SOURCES\b(.*?)(?:\bDEPS\b(.*?))?\)", text, re.S):
            linked = {re.sub("^(http|kafka)_", r"\1/", lib) for lib in (m[3] or "").split()}
            yield path, text.count("\n", 0, m.start()) + 1, where, m[1], m[2].split(), linked & set(ARROWS)


def check_links(root, sources):
    """A folder's library links to what it includes, says so itself, and to nothing that it may not include."""
    by_path = {source.in_src: source for source in sources if source.in_src}
    for path, line, where, name, names, linked in libraries(root):
        if name != where.replace("/", "_") or where not in ARROWS:
            yield path, line, "link", f"library {name} is not called after its folder, or that is not in the arrows' table"
            continue
        mine = [by_path[f"{where}/{file}"] for file in names if f"{where}/{file}" in by_path]
        headers = [s for p, s in by_path.items() if p.endswith(".h") and folder_of(p) == where and not s.is_test]
        included = {header for s in mine + headers for _, header, system in s.includes() if not system}
        uses = {folder_of(header) for header in included - ARROWS[where]} & ARROWS[where]  # the others: see check_arrows
        for to in sorted(linked - ARROWS[where]):
            yield path, line, "link", f"{where} may not link to {to}"
        for to in sorted(uses - linked):
            yield path, line, "link", f"{where} includes {to} and does not name it in its DEPS"


def check_house(root, sources):
    """doc/ARCHITECTURE.md names every folder under src, and none that is not there."""
    path = root / "doc" / "ARCHITECTURE.md"
    if not path.is_file():
        yield path, 1, "house", "it is not there"
        return
    text = path.read_text(encoding="utf-8")
    for folder in sorted({str(pathlib.PurePosixPath(s.path).parent) for s in sources if s.in_src}):
        if not re.search(rf"(?<![\w/]){folder}(?![\w-])", text):
            yield path, 1, "house", f"{folder} is not named"
    for m in re.finditer(r"(?<![\w/.])(src/[\w/.-]*\w)", text):
        if not any((root / (m[1] + end)).exists() for end in ("", ".c", ".h")):
            yield path, text.count("\n", 0, m.start()) + 1, "house", f"{m[1]} is not there"


def check_strangers(root):
    for directory, folders, names in os.walk(root):
        folders[:] = sorted(set(folders) - NOT_OURS)
        for path in (pathlib.Path(directory, name) for name in sorted(names)):
            where = path.relative_to(root).as_posix()
            if where.startswith(STRANGER_EXEMPT) or where == ".git" or not path.is_file():
                continue
            data = path.read_bytes()
            if b"\0" in data[:8192]:
                continue
            for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
                for m in STRANGER.finditer(line):
                    yield path, number, "stranger", f"{m[0]} is somebody's own path"


def check(root):
    """All violations: (path, line, rule, what)."""
    root = pathlib.Path(root).resolve()
    paths = sorted(p for top in C_ROOTS for p in (root / top).rglob("*.[ch]") if not NOT_OURS & set(p.relative_to(root).parts))
    sources = [Source(root, path) for path in paths]
    found = []
    for source in sources:
        found += [(source.path, *rest) for rest in check_everywhere(source)]
        if source.in_src:
            found += [(source.path, *rest) for rest in check_arrows(root, source)]
            found += [(source.path, *rest) for rest in check_pure(source)]
    for path, *rest in (*check_links(root, sources), *check_house(root, sources), *check_strangers(root)):
        found.append((path.relative_to(root).as_posix(), *rest))
    if not any(source.in_src for source in sources):
        found.append(("src", 1, "unknown-folder", "no C file at all: is this the tree?"))
    return len(sources), found


def main(arguments):
    if arguments == ["--self-test"]:
        import self_test
        return self_test.run(sys.modules[__name__])
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    count, found = check(arguments[0])
    for path, line, rule, what in found:
        print(f"{path}:{line}: [{rule}] {what}")
    print(f"{count} C files, {len(found)} violations")
    return 1 if found else 0


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    sys.exit(main(sys.argv[1:]))
