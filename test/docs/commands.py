#!/usr/bin/env python3
"""Checks that the man pages of the commands name every command, option and exit code there is, as it is, and none that is not.

usage: commands.py BIDE        exit 0: they do; 1: they do not (each difference named)

What there is comes from `bide help --json`, from `bide config show --json` (each setting is a flag as well, and stands in
bide.conf(5)) and from the enums of exit codes. In the pages every command has a subsection of COMMANDS with its options as items:

    .Ss submit
    .It Fl c , Fl Fl content-type Ar TYPE

Options that all commands of a kind share stand once, in the subsections of OPTIONS.
"""
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLIENT, EVERY = "Of every command that speaks to a server", "Of every command"
SERVERS = ("serve", "doctor", "config")  # these take every setting as a flag
PAGES = {
    "bide.1": ("src/cli/cli.h", "CLI_", lambda name: name not in SERVERS),
    "bide-serve.1": ("src/server/server.h", "SERVER_", lambda name: name in SERVERS),
}


def asked(bide, *arguments):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BIDE_")}
    return json.loads(subprocess.run([bide, *arguments, "--json"], env=clean, check=True, capture_output=True).stdout)


def item(option):
    """The line that an option has in a page."""
    line = ".It "
    if option["letter"]:
        line += f"Fl {option['letter']} , "
    line += f"Fl Fl {option['name']}"
    argument = option["argument"]
    if argument and argument.startswith("[="):
        line += f" Ns Op No = Ns Ar {argument[2:-1]}"
    elif argument:
        line += f" Ar {argument}"
    return line


def sections(text):
    """{"SECTION": {"subsection": [items]}}; what stands before the first subsection is in ""."""
    found, inner = {}, None
    for line in text.splitlines():
        if line.startswith(".Sh "):
            inner = found.setdefault(line[4:], {})
            inner[""] = []
            last = ""
        elif line.startswith(".Ss "):
            last = line[4:]
            inner[last] = []
        elif line.startswith(".It ") and inner is not None:
            inner[last].append(line)
    return found


def differences(where, there, wanted):
    for line in sorted(set(wanted) - set(there)):
        yield f"{where}: missing: {line}"
    for line in sorted(set(there) - set(wanted)):
        yield f"{where}: there is no such thing: {line}"
    for line in sorted({line for line in there if there.count(line) > 1}):
        yield f"{where}: twice: {line}"


def shared_items(pages, subsection):
    return [line for page in pages.values() for line in page.get("OPTIONS", {}).get(subsection, [])]


def check_command(where, page, command, pages, settings):
    told = page.get("COMMANDS", {}).get(command["name"])
    if told is None:
        yield f"{where}: no subsection for {command['name']}"
        return
    elsewhere = settings if command["name"] in SERVERS else {}
    wanted = [item(option) for option in command["options"] if option["name"] not in elsewhere]
    shared = shared_items(pages, EVERY)
    if any(option["name"] == "server" for option in command["options"]):
        shared = shared + shared_items(pages, CLIENT)
    options = [line for line in told if line.startswith(".It Fl")]
    yield from differences(f"{where}, {command['name']}", options + shared, wanted)


def check_page(name, pages, commands, settings):
    header, prefix, mine = PAGES[name]
    page, known = pages[name], [command for command in commands if mine(command["name"])]
    if not known:
        yield f"{name}: the program has none of its commands"
    for command in known:
        yield from check_command(name, page, command, pages, settings)
    told = [subsection for subsection in page.get("COMMANDS", {}) if subsection]
    yield from differences(name, told, [command["name"] for command in known])
    codes = re.findall(rf"\b{prefix}\w+ = (\d+)", (ROOT / header).read_text())
    told = [line[4:] for line in page.get("EXIT STATUS", {}).get("", [])]
    yield from differences(f"{name}, exit codes", told, codes)


def main():
    if len(sys.argv) != 2:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    commands = asked(sys.argv[1], "help")["commands"]
    settings = asked(sys.argv[1], "config", "show")
    pages = {name: sections((ROOT / "doc/man" / name).read_text(encoding="utf-8")) for name in PAGES}
    wrong = [line for name in PAGES for line in check_page(name, pages, commands, settings)]
    if not shared_items(pages, EVERY) or not shared_items(pages, CLIENT):
        wrong.append("the options that commands share are not found")
    print("\n".join(wrong), end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
