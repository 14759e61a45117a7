#!/usr/bin/env python3
"""One client process of a history: `worker.py LIBRARY ROLE NAME FOLDER PORT SEED [lie]`. Ends when its standard input does.

With `lie` it says of itself that it reads what is committed, and reads everything: a fault planted, which the checker must find.
"""

import faulthandler
import importlib
import json
import os
import sys
import threading
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))
sys.dont_write_bytecode = True

from history import Recorder  # noqa: E402
from roles import ROLES, Context  # noqa: E402


def main():
    library, role, name, folder, port, seed, *lie = sys.argv[1:]
    with open(os.path.join(folder, "topics.json")) as file:
        topics = json.load(file)
    recorder = Recorder(os.path.join(folder, f"{name}.jsonl"), name)
    ctx = Context(importlib.import_module(f"client_{library}"), recorder, ("127.0.0.1", int(port)), topics, seed)
    ctx.lies = bool(lie)

    def until_told():
        sys.stdin.buffer.read()
        ctx.stop.set()

    threading.Thread(target=until_told, daemon=True).start()
    ROLES[role](ctx)
    recorder.note("left")


code = 1
faulthandler.enable()
try:
    main()
    code = 0
except Exception:
    traceback.print_exc()
finally:
    sys.stderr.flush()
    os._exit(code)  # threads of a library that hang do not hold it up
