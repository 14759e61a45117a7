"""What is looked at: top, doctor, config, completion, version, help; and the examples, and what a service manager is told."""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys

import pytest

from bide_program import END_S, FAILED, OK, UNREACHABLE, USAGE, Program, bide, environment, ok, submit, url_of
from bide_server import BIN, SLOW

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"
COMMANDS = [command["name"] for command in bide(None, "help", "--json").json()["commands"]]

# -- top


def test_top_prints_plain_pictures_elsewhere_than_on_a_terminal(server, api, queue):
    submit(server, queue)
    api.beat(api.claim_one(queue), progress=0.5, message="half way")
    said = ok(server, "top", "-n2", "-i", "100ms")
    assert said.out.count("\nQUEUE") == 2 and "\033" not in said.out and not said.err
    assert url_of(server) in said.out and re.search(rf"^{queue} +0 +0 +1 ", said.out, re.M)
    assert "50%" in said.out and "half way" in said.out


def test_top_json_is_a_line_for_each_look(server, queue):
    submit(server, queue)
    looks = [json.loads(line) for line in ok(server, "top", "-n2", "-i100ms", "--json").lines()]
    assert len(looks) == 2 and set(looks[0]) == {"info", "queues", "running"}
    assert looks[0]["info"]["pid"] == server.process.pid and queue in [one["queue"] for one in looks[0]["queues"]]


class Screen:
    """As much of a terminal as top uses."""

    def __init__(self, rows, columns):
        self.rows, self.columns, self.lines, self.row, self.column = rows, columns, [[] for _ in range(rows)], 0, 0
        self.overflow = False

    def feed(self, text):
        for escape, char in re.findall(r"\033\[([0-9;?]*[A-Za-z])|(.)", text, re.S):
            if escape == "H":
                self.row = self.column = 0
            elif escape == "K":
                del self.lines[self.row][self.column:]
            elif escape == "J":
                del self.lines[self.row][self.column:]
                for row in range(self.row + 1, self.rows):
                    self.lines[row].clear()
            elif char == "\r":
                self.column = 0
            elif char == "\n":
                self.overflow |= self.row + 1 >= self.rows
                self.row = min(self.row + 1, self.rows - 1)
            elif char:
                line = self.lines[self.row]
                line.extend(" " * (self.column - len(line)))
                line[self.column:self.column + 1] = [char]
                self.column += 1
                self.overflow |= self.column > self.columns
        return self

    def text(self):
        return ["".join(line).rstrip() for line in self.lines]


def pictures(program, size):
    """The screen after each picture so far, from what was drawn."""
    parts = program.text["screen"].decode().split("\033[H")[1:]
    return [Screen(*size).feed("\033[H" + part) for part in parts]


@pytest.mark.parametrize("size", [(24, 80), (50, 160), (8, 40)])
def test_top_fits_the_screen_and_gives_the_terminal_back(server, api, queue, size):
    for i in range(12):
        submit(server, f"{queue}.{i}")
    handle = submit(server, queue)
    api.beat(api.claim_one(queue), progress=0.5, message="half way through a long film with a long name")
    with Program(server, "top", terminal="all", size=size) as program:
        program.until("q quits", "screen")
        program.type(b" ")  # any key looks again
        program.until("(?s)q quits.*q quits", "screen")
        program.type(b"q")
        assert program.end().code == OK
        drawn = program.text["screen"].decode()
        screens = pictures(program, size)
    assert drawn.startswith("\033[?1049h\033[?25l") and drawn.endswith("\033[?25h\033[?1049l")
    assert not any(screen.overflow for screen in screens)
    text = screens[0].text()
    assert text[0].startswith("bide ") and any("q quits" in line for line in text)
    if size[0] >= 24:
        heading = next(line for line in text if line.startswith("QUEUE"))
        assert heading.endswith("OUT/S"), "no column is cut in the middle"
        assert any(handle in line for line in text) and any("half way" in line for line in text)


def test_top_goes_on_while_the_server_is_away(fresh):
    server = fresh()
    with Program(server, "top", "-i", "100ms", terminal="all") as program:
        program.until("q quits", "screen")
        server.kill9()
        program.until("No server answers there", "screen")
        server.start()
        program.until("(?s)No server answers.*no queues yet", "screen")
        program.signal(signal.SIGTERM)
        assert program.end().code == OK
        assert program.text["screen"].endswith(b"\033[?1049l")


# -- doctor


def verdicts(said):
    return {finding["name"]: finding["verdict"] for finding in said.json()}


def test_doctor_on_a_good_place(tmp_path):
    said = bide(None, "doctor", "--data", tmp_path / "data", "--http", "127.0.0.1:0", "--json")
    found = verdicts(said)
    assert said.code == OK and "bad" not in found.values() and found["address"] == found["exposure"] == "ok"
    assert all(finding["text"] for finding in said.json())
    assert not os.listdir(tmp_path), "looking leaves nothing behind"
    lines = ok(None, "doctor", "--data", tmp_path, "--http", "127.0.0.1:0").lines()
    assert all(re.match(r"(ok|warn)  |      -> ", line) for line in lines) and not os.listdir(tmp_path)


def test_doctor_warns_of_an_open_door_and_of_a_taken_one(server, tmp_path):
    said = bide(None, "doctor", "--data", tmp_path, "--http", "0.0.0.0:0", "--json")
    assert said.code == OK and verdicts(said)["exposure"] == "warn"
    said = bide(None, "doctor", "--data", tmp_path, "--http", f"127.0.0.1:{server.port}")
    assert said.code == OK and re.search(r"^warn  address .*\n      -> ", said.out, re.M)


def test_doctor_looks_at_the_kafka_door_if_that_is_asked_for(server, tmp_path):
    said = bide(None, "doctor", "--data", tmp_path, "--http", "127.0.0.1:0", "--kafka", "0.0.0.0:0", "--json")
    found = verdicts(said)
    assert said.code == OK and found["kafka address"] == "ok" and found["kafka exposure"] == "warn"
    said = bide(None, "doctor", "--data", tmp_path, "--http", "127.0.0.1:0", "--kafka", f"127.0.0.1:{server.port}")
    assert "choose another --kafka" in said.out


def test_doctor_says_what_will_not_do():
    for words in (["--data", "/proc/nothing"], ["--http", "192.0.2.1:7080"], ["--http", "nonsense"]):
        said = bide(None, "doctor", *words, "--json")
        assert said.code == FAILED and "bad" in verdicts(said).values(), said
        assert "BAD  " in bide(None, "doctor", *words).out


def test_doctor_with_a_wrong_configuration_is_a_usage_error():
    assert bide(None, "doctor", "--sync", "perhaps").code == USAGE


# -- config


def test_config_show_tells_where_each_value_comes_from(tmp_path):
    (tmp_path / "conf").write_text("# a comment\nmax-wait = 20s\ndrain = 2s\nmax-jobs = 7\n")
    env = {"BIDE_DRAIN": "3s", "BIDE_MAX_JOBS": "8"}
    words = ["config", "show", "--config", tmp_path / "conf", "--max-jobs", "9"]
    origins = {name: (value, origin) for name, value, origin in
               re.findall(r"^(\S+) += (.*?) +# (.*)$", ok(None, *words, "--origin", env=env).out, re.M)}
    assert origins["max-wait"] == ("20s", "file, line 2") and origins["drain"] == ("3s", "environment")
    assert origins["max-jobs"] == ("9", "flag") and origins["sync"] == ("always", "default")
    shown = ok(None, *words, "--json", env=env).json()
    assert {name: (one["value"], one["origin"]) for name, one in shown.items() if name in origins} == origins
    assert "#" not in ok(None, *words, env=env).out


def test_config_show_can_be_read_back(tmp_path):
    text = ok(None, "config", "show", "--max-wait", "33s", "--data", "/a place").out
    (tmp_path / "conf").write_text(text)
    assert ok(None, "config", "show", env={"BIDE_CONFIG": str(tmp_path / "conf")}).out == text


def test_an_unknown_setting_is_an_error_with_a_suggestion(tmp_path):
    (tmp_path / "conf").write_text("[bide]\nmax-wiat = 20s\n")
    for words, env in ((["--config", tmp_path / "conf"], {}), ([], {"BIDE_MAX_WIAT": "1s"}), (["--max-wiat", "1s"], {})):
        said = bide(None, "config", "show", *words, env=env)
        assert said.code == USAGE and re.search(r"[Dd]id you mean \"?(--)?max-wait\"?\?", said.err) and not said.out
    assert f"{tmp_path}/conf:2" in bide(None, "config", "show", "--config", tmp_path / "conf").err
    (tmp_path / "conf").write_text("max-wait = soon\nnonsense\n")
    said = bide(None, "config", "show", "--config", tmp_path / "conf")
    assert said.code == USAGE and ":1" in said.err and ":2" in said.err, "every mistake is told at once"
    assert bide(None, "config", "show", "--config", tmp_path / "missing").code == USAGE


# -- completion


def completed(*words):
    """What bash offers for the last word."""
    script = f"""source <("{BIN}" completion bash) || exit 1
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _bide; printf '%s\\n' "${{COMPREPLY[@]}}" """
    ended = subprocess.run(["bash", "--norc", "-c", script, "bash", "bide", *words], capture_output=True, text=True,
                           timeout=END_S, env=environment(None), cwd=EXAMPLES)
    assert ended.returncode == 0 and not ended.stderr, ended
    return set(ended.stdout.split())


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash")
def test_bash_completes():
    assert completed("") == set(COMMANDS)
    assert completed("que") == {"queues"} and completed("-q", "s") == {"submit", "serve", "stream", "streams"}
    assert completed("submit", "--pri") == {"--priority"} and "--server" in completed("jobs", "--")
    assert completed("jobs", "--state", "r") == {"ready", "running"}
    assert completed("tail", "--from", "") == {"start", "end"} and completed("stream", "cl") == {"close"}
    assert completed("queues", "") == {"list", "show", "pause", "resume", "kick"}
    assert completed("completion", "") == {"bash", "zsh", "fish"} and completed("help", "do") == {"doctor"}
    assert completed("submit", "q", "tour") == {"tour.sh"} and completed("serve", "--config", "tour") == {"tour.sh"}
    assert not completed("submit", "--delay", "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_is_whole(shell, tmp_path):
    script = ok(None, "completion", shell).out
    assert all(name in script for name in COMMANDS) and ("--max-wait" in script or "-l max-wait" in script)
    if shutil.which(shell):
        (tmp_path / "script").write_text(script)
        ended = subprocess.run([shell, "-n", tmp_path / "script"], capture_output=True, text=True)
        assert ended.returncode == 0 and not ended.stderr, ended


# -- version and help


def test_version(server):
    said = ok(None, "version")
    number = re.fullmatch(r"bide (\d+\.\d+\.\d+\S*)\n", said.out)[1]
    assert ok(None, "--version").out == ok(None, "-V").out == said.out
    assert ok(None, "version", "--json").json()["version"] == number == server.info()["version"]


def widest(text):
    return max(map(len, text.splitlines()))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_for_every_command(command):
    said = ok(None, command, "--help")
    assert said.out.startswith(f"bide {command} — ") and f"\n  bide {command} " in said.out and not said.err
    assert widest(said.out) <= 80
    assert ok(None, "help", command).out == ok(None, "-h", command).out == said.out
    told = ok(None, "help", command, "--json").json()
    assert told["name"] == command
    for option in told["options"]:
        assert f"--{option['name']}" in said.out
    assert ok(None, command, "--nonsense", "--help").out == said.out, "who asks for help gets it"


def test_help_for_all():
    said = ok(None, "help")
    assert all(re.search(rf"^  {name}  ", said.out, re.M) for name in COMMANDS) and widest(said.out) <= 80
    assert ok(None, "--help").out == ok(None, "-h").out == said.out
    wrong = bide(None)
    assert wrong.code == USAGE and wrong.err == said.out and not wrong.out


def test_help_is_as_wide_as_the_terminal():
    for columns, limit in ((70, 70), (90, 90), (200, 100)):
        with Program(None, "help", "work", terminal="all", size=(24, columns)) as program:
            program.end()
            text = re.sub(r"\033\[\d*m", "", program.text["screen"].decode().replace("\r", ""))
        assert limit - 20 < widest(text) <= limit, text


def test_help_has_headings_in_bold_on_a_terminal_unless_colours_are_not_wanted():
    for env, bold in (({}, True), ({"NO_COLOR": "1"}, False)):
        with Program(None, "help", terminal="all", env=env) as program:
            program.end()
            assert (b"\033[1mUsage" in program.text["screen"]) == bold


# -- the examples


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl")
def test_the_tour(server):
    ended = subprocess.run([EXAMPLES / "tour.sh"], capture_output=True, text=True, timeout=END_S, env=environment(server))
    assert ended.returncode == 0 and not ended.stderr, ended


@pytest.fixture
def python_worker(queue):
    """Starts examples/worker.py on the test's queue."""
    made = []

    def start(server):
        silent = subprocess.DEVNULL
        made.append(subprocess.Popen([sys.executable, EXAMPLES / "worker.py", queue], env=environment(server), stdin=silent,
                                     stdout=silent, stderr=silent))
        return made[-1]

    yield start
    for worker in made:
        worker.kill()
        worker.wait()


def test_the_worker_in_python(server, queue, python_worker):
    worker = python_worker(server)
    assert ok(server, "submit", queue, "--wait", "--text", "count these").out == "2 words\n"
    server.until_waiting(queue, 1)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20 * SLOW) == 0, "it does not wait until its claim has run out"


def test_the_worker_in_python_endures_a_restart(fresh, queue, python_worker):
    server = fresh()
    python_worker(server)
    server.until_waiting(queue, 1)
    server.kill9()
    server.start()
    assert ok(server, "submit", queue, "--wait", "--text", "again").out == "1 words\n"


# -- what a service manager is told


@pytest.mark.parametrize("abstract", [False, True])
def test_a_service_manager_is_told(fresh, tmp_path, abstract):
    name = f"bide-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name if abstract else name)
        manager.settimeout(END_S)
        server = fresh(env={"NOTIFY_SOCKET": "@" + name if abstract else name})
        assert b"READY=1" in manager.recv(4096).split(b"\n")
        server.signal(signal.SIGTERM)
        assert b"STOPPING=1" in manager.recv(4096).split(b"\n")
        assert server.wait_exit() == 0


def test_a_notify_socket_that_is_not_there_does_no_harm(fresh, tmp_path):
    server = fresh(env={"NOTIFY_SOCKET": str(tmp_path / "nobody")})
    assert server.stop() == 0 and not server.stderr()


def test_an_address_nobody_listens_at_is_unreachable_for_top(fresh):
    server = fresh()
    server.stop()
    assert bide(server, "top", "--json").code == UNREACHABLE
