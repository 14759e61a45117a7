"""Plants a violation of every kind, one at a time, in a small tree that has none, and looks whether check.py finds just that."""
import contextlib
import io
import pathlib
import shutil
import tempfile

# A tree without violations, full of what merely looks like one.
CLEAN = {
    "src/base/mem.h": "/* Memory. */\n#pragma once\n\n#include <stddef.h>\n\nvoid *mem_alloc(size_t size_bytes);\n",
    "src/base/mem.c": '#include "base/mem.h"\n\n#include <stdlib.h>\n\nvoid *mem_alloc(size_t n)\n{\n\treturn malloc(n);\n}\n',
    "src/base/CMakeLists.txt": "bide_library(base\n  SOURCES mem.c\n  DEPS PkgConfig::ISAL)\n",
    "src/job/job_priv.h": "#pragma once\n\nstruct job { int (*read)(int); };\n",
    "src/job/job.c": """#include "base/mem.h"
#include "job/job_priv.h"
#include "sequencer/store.h"

/* #include "server/server.h"; once it called read(1) and time(NULL) */
// #include <time.h>
static const char said[] = "#include \\"server/server.h\\" strcpy(malloc(1)) \\" open(2)";
static const struct job table[] = {{0}};

#define READ_TWICE(j) \\
	do { (j)->read(1); \\
	} while (0)

int job_read(struct job *job);

struct job *job_of(int reading)
{
	if (said[0] == '"' || said[0] == '{')
		return mem_alloc(table[0].read ? 1 : 2);
	return ((struct job *)0)[reading].read(1) ? 0 : 0;
}
""",
    "src/job/job_test.c": '#include "base/mem.h"\n#include "job/job_priv.h"\n\n#include <time.h>\n#include <unistd.h>\n',
    "src/job/CMakeLists.txt": "bide_library(job\n  SOURCES job.c # and more: server\n  DEPS base m)\n",
    "src/sequencer/store.h": "#pragma once\n",
    "src/sequencer/sequencer.h": "/* The sequencer. */\n#pragma once\n",
    "src/net/loop.h": "#pragma once\n",
    "src/net/loop.c": '#include "net/loop.h"\n\n#include <sys/epoll.h>\n#include <unistd.h>\n\n'
                      "void loop_poll(void)\n{\n\tread(0, 0, 0);\n}\n",
    "src/http/codec/parse.h": "#pragma once\n",
    "src/http/api/routes.h": "#pragma once\n",
    "src/http/api/routes.c": '#include "http/api/routes.h"\n#include "http/codec/parse.h"\n#include "sequencer/sequencer.h"\n',
    "src/http/api/CMakeLists.txt": "bide_library(http_api SOURCES routes.c DEPS sequencer http_codec)\n",
    "src/server/server.h": "#pragma once\n",
    "src/server/main.c": '#include "server/server.h"\n#include "http/api/routes.h"\n#include "net/loop.h"\n',
    "src/cli/cli.h": "#pragma once\n",
    "bench/run.c": '#include "other.h"\n',
    "doc/ARCHITECTURE.md": "`src/base`, `src/job/*.c`, src/sequencer, src/net. Then src/http/codec, `src/http/api`;\n"
                           "src/server, src/cli: see src/job/job.c and src/net/loop.\n",
    "README.md": "See http://example.org/home/page, ~/root/x, and ${HOME}/home/y. A `/home/` alone is a place like any other.\n",
    "packaging/bide.service": "InaccessiblePaths=/ho" "me/someone\n",
    "build/log.txt": "/ho" "me/someone\n",
    "picture.bin": "\0/ho" "me/someone\n",
}

LONG_BODY = "\tint x;\n" * 57

# rule, where it must be found, what is done: file → its new text; a text that begins with + is appended to the clean one
PLANTED = [
    ("arrow", "src/base/mem.c", {"src/base/mem.c": '+#include "job/job.h"\n', "src/job/job.h": "#pragma once\n"}),
    ("arrow", "src/job/job.c", {"src/job/job.c": '+#include "sequencer/sequencer.h"\n'}),
    ("arrow", "src/job/job_test.c", {"src/job/job_test.c": '+#include "net/loop.h"\n'}),
    ("arrow", "src/job/job.c", {"src/job/job.c": '+/* a */ # include "net/loop.h" /* b */\n'}),
    ("arrow", "src/net/loop.c", {"src/net/loop.c": '+#include "http/codec/parse.h"\n'}),
    ("arrow", "src/http/codec/parse.h", {"src/http/codec/parse.h": '+#include "net/loop.h"\n'}),
    ("arrow", "src/http/api/routes.c", {"src/http/api/routes.c": '+#include "server/server.h"\n'}),
    ("arrow", "src/cli/cli.h", {"src/cli/cli.h": '+#include "server/server.h"\n'}),
    ("arrow", "src/sim/world.c", {"src/sim/world.c": '#include "net/loop.h"\n', "doc/ARCHITECTURE.md": "+src/sim\n"}),
    ("unknown-folder", "src/attic/a.c", {"src/attic/a.c": "\n", "doc/ARCHITECTURE.md": "+src/attic\n"}),
    ("unknown-folder", "src/http/x.h", {"src/http/x.h": "#pragma once\n", "doc/ARCHITECTURE.md": "+src/http\n"}),
    ("no-such-header", "src/job/job.c", {"src/job/job.c": '+#include "job.h"\n'}),
    ("link", "src/job/CMakeLists.txt", {"src/job/CMakeLists.txt": "bide_library(job SOURCES job.c DEPS base net)\n"}),
    ("link", "src/job/CMakeLists.txt", {"src/job/CMakeLists.txt": "bide_library(job SOURCES job.c DEPS base sequencer)\n"}),
    ("link", "src/job/CMakeLists.txt", {"src/job/CMakeLists.txt": "bide_library(job\n  SOURCES job.c)\n"}),
    ("link", "src/job/CMakeLists.txt", {"src/job/CMakeLists.txt": "bide_library(jobs SOURCES job.c DEPS base)\n"}),
    ("link", "src/http/api/CMakeLists.txt",
     {"src/http/api/CMakeLists.txt": "bide_library(http_api SOURCES routes.c DEPS sequencer)\n"}),
    ("private", "src/server/main.c", {"src/server/main.c": '+#include "job/job_priv.h"\n'}),
    ("private", "bench/run.c", {"bench/run.c": '+#include "job/job_priv.h"\n'}),
    ("pragma-once", "src/cli/cli.h", {"src/cli/cli.h": "/*\n#pragma once\n*/\n"}),
    ("pure-include", "src/job/job.c", {"src/job/job.c": "+#include <time.h>\n"}),
    ("pure-include", "src/job/job_priv.h", {"src/job/job_priv.h": "+#include <sys/stat.h>\n"}),
    ("pure-include", "src/base/mem.h", {"src/base/mem.h": "+#include <pthread.h>\n"}),
    ("pure-include", "src/base/mem.h", {"src/base/mem.h": "+  #  include <unistd.h>\n"}),
    ("pure-include", "src/sequencer/sequencer.h", {"src/sequencer/sequencer.h": "+#include <fcntl.h>\n"}),
    ("pure-call", "src/job/job.c", {"src/job/job.c": "+int f(void)\n{\n\treturn read(0, 0, 0);\n}\n"}),
    ("pure-call", "src/job/job.c", {"src/job/job.c": "+int f(void)\n{\n\treturn /* */ clock_gettime (0, 0);\n}\n"}),
    ("pure-call", "src/job/job.c", {"src/job/job.c": "+int f(void)\n{\n\treturn getrandom(0, 0, 0);\n}\n"}),
    ("pure-call", "src/job/job.c", {"src/job/job.c": "+void *f(void)\n{\n\treturn malloc(1);\n}\n"}),
    ("pure-call", "src/job/job.c", {"src/job/job.c": "+void send(int message)\n{\n}\n"}),
    ("no-call", "src/net/loop.c", {"src/net/loop.c": "+void f(char *a)\n{\n\tstrcpy(a, a);\n}\n"}),
    ("no-call", "bench/run.c", {"bench/run.c": "+int f(char *a)\n{\n\treturn 1+atoi(a);\n}\n"}),
    ("file-length", "src/net/loop.c", {"src/net/loop.c": "+" + "\n" * 600}),
    ("function-length", "src/net/loop.c", {"src/net/loop.c": "+int f(int a,\n      int b)\n{\n" + LONG_BODY + "}\n"}),
    ("function-length", "bench/run.c", {"bench/run.c": "+struct a *f(int a) {\n" + LONG_BODY + "{{\n}}\n}\n"}),
    ("house", "doc/ARCHITECTURE.md", {"src/wait/wheel.h": "#pragma once\n"}),
    ("house", "doc/ARCHITECTURE.md", {"doc/ARCHITECTURE.md": "+and src/attic/stairs.c\n"}),
    ("house", "doc/ARCHITECTURE.md", {"doc/ARCHITECTURE.md": None}),
    ("stranger", "README.md", {"README.md": "+cd /ho" "me/someone/bide\n"}),
    ("stranger", "demo/run", {"demo/run": "#!/bin/sh\nexec '/ro" "ot/bide'\n"}),
    ("stranger", "src/net/loop.c", {"src/net/loop.c": "+/* see /ho" "me/someone */\n"}),
]


def write_tree(root, changes):
    shutil.rmtree(root, ignore_errors=True)
    for name in {**CLEAN, **changes}:
        text = changes.get(name, CLEAN.get(name))
        if text is None:
            continue
        if name in changes and text.startswith("+"):
            text = CLEAN[name] + text[1:]
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def ends_with(check, root, code):
    with contextlib.redirect_stdout(io.StringIO()):
        return check.main([str(root)]) == code


def near_the_limits(check, root):
    """As long as may be, and no violation."""
    write_tree(root, {
        "src/net/loop.c": '#include "net/loop.h"\n' + "\n" * 599,
        "bench/run.c": "int f(int a)\n{\n" + LONG_BODY + "}\n",
    })
    return check.check(root)[1]


def run(check):
    wrong = []
    with tempfile.TemporaryDirectory() as directory:
        root = pathlib.Path(directory, "tree")
        write_tree(root, {})
        if check.check(root)[1] or not ends_with(check, root, 0):
            wrong.append(f"the clean tree: {check.check(root)[1]}")
        for rule, where, changes in PLANTED:
            write_tree(root, changes)
            found = check.check(root)[1]
            if [(path, its) for path, _, its, _ in found] != [(where, rule)] or not ends_with(check, root, 1):
                wrong.append(f"{rule} in {where}, by {changes}: found {found}")
        if near_the_limits(check, root):
            wrong.append(f"just short enough: {check.check(root)[1]}")
        shutil.rmtree(root / "src")
        if not check.check(root)[1]:
            wrong.append("a tree without sources passes")
    wrong += [f"nothing is planted for {rule}" for rule in sorted(check.RULES - {rule for rule, _, _ in PLANTED})]
    print("\n".join(wrong + [f"{len(PLANTED)} violations planted, {len(wrong)} complaints"]))
    return 1 if wrong else 0
