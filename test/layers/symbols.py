#!/usr/bin/env python3
"""Checks that a program defines no function that one of its shared libraries exports, too: the library's own calls of it, and
everybody else's, would come to ours. A function called `send` is enough to break every socket of libcurl.

usage: symbols.py PROGRAM          exit 0: none; 1: some (each named); 2: the program cannot be looked into
       symbols.py --self-test CC   builds a program with such a function, and one without
"""
import pathlib
import re
import subprocess
import sys
import tempfile

# What every program defines, and libraries may, too.
EVERYBODYS = {"main", "_init", "_fini", "_start", "__libc_csu_init", "__libc_csu_fini"}


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def functions(path, kinds, *options):
    """Names of the defined functions of these kinds, as nm calls them; a library's versions (name@@VERSION) are cut off."""
    lines = output("nm", "--defined-only", "--format=posix", *options, str(path)).splitlines()
    return {line.split()[0].partition("@")[0] for line in lines if line.split()[1] in kinds}


def libraries(program):
    return sorted(set(re.findall(r"=> (/\S+)", output("ldd", str(program)))))


def check(program):
    # The C library exports most of its own as weak (W) or chosen at load time (i); that does not make them ours to redefine.
    ours = functions(program, "T", "--extern-only") - EVERYBODYS
    found = [(name, library) for library in libraries(program) for name in sorted(ours & functions(library, "TWi", "--dynamic"))]
    return len(ours), found


def self_test(compiler):
    wrong = []
    with tempfile.TemporaryDirectory() as directory:
        source, program = pathlib.Path(directory, "a.c"), pathlib.Path(directory, "a")
        for text, expected in (
            ("static int send(int a){return a;} int ours(int a){return send(a);} int main(void){return ours(0);}", []),
            ("int send(int a){return a;} int ours(int a){return send(a);} int main(void){return ours(0);}", ["send"]),
            ("int send(int a){return a;} int close(int a){return send(a);} int main(void){return 0;}", ["close", "send"]),
        ):
            source.write_text(text + "\n", encoding="utf-8")
            output(compiler, "-w", "-fno-builtin", "-o", str(program), str(source))
            if (found := sorted(name for name, _ in check(program)[1])) != expected:
                wrong.append(f"{text}: found {found}")
    print("\n".join(wrong + [f"{len(wrong)} complaints"]))
    return 1 if wrong else 0


def main(arguments):
    if len(arguments) == 2 and arguments[0] == "--self-test":
        return self_test(arguments[1])
    if len(arguments) != 1:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    try:
        count, found = check(arguments[0])
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"{error}: {getattr(error, 'stderr', '') or ''}", file=sys.stderr)
        return 2
    for name, library in found:
        print(f"{arguments[0]}: {name}() is {library}'s, too")
    print(f"{count} functions, {len(found)} of them somebody else's, too")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
