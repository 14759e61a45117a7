#!/usr/bin/env python3
"""Checks that every relative link in the project's Markdown leads somewhere: file, and heading where one is named.

usage: doc/check-links.py ROOT      exit 0: all lead somewhere; 1: some do not (each named, file:line)
"""
import pathlib
import re
import sys
import unicodedata

LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)|(?:src|href)=\"([^\"]+)\"")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*\s*$")
SKIP = {"build", ".git", "node_modules", "results"}


def prose_lines(path):
    """Lines outside fenced code, with inline code blanked out."""
    fenced = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            yield number, line


def anchors(path):
    """The anchors that GitHub gives the headings of a file."""
    seen, found = {}, set()
    for _, line in prose_lines(path):
        found.update(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", line))
        match = HEADING.match(line)
        if not match:
            continue
        text = re.sub(r"[`*]|\[|\]\([^)]*\)", "", match.group(1)).strip().lower()
        kept = (c for c in text if c in " -_" or unicodedata.category(c)[0] in "LN")
        slug = "".join(kept).replace(" ", "-")
        count = seen.get(slug, 0)
        seen[slug] = count + 1
        found.add(slug if count == 0 else f"{slug}-{count}")
    return found


def broken_links(root):
    for path in sorted(root.rglob("*.md")):
        if SKIP & set(path.relative_to(root).parts):
            continue
        for number, line in prose_lines(path):
            for match in LINK.finditer(re.sub(r"`[^`]*`", "", line)):
                target = match.group(1) or match.group(2)
                if re.match(r"[a-z][a-z0-9+.-]*:", target):
                    continue  # another site: not looked at
                name, _, anchor = target.partition("#")
                leads_to = (path.parent / name).resolve() if name else path
                if not leads_to.exists():
                    yield f"{path.relative_to(root)}:{number}: no such file: {target}"
                elif anchor and leads_to.suffix == ".md" and anchor not in anchors(leads_to):
                    yield f"{path.relative_to(root)}:{number}: no such heading: {target}"


def main():
    if len(sys.argv) != 2:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    broken = list(broken_links(pathlib.Path(sys.argv[1]).resolve()))
    print("\n".join(broken), end="\n" if broken else "")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
