"""The servers under test: started in fresh directories on free ports, stopped whatever happens, nothing left behind."""

import atexit
import ctypes
import filecmp
import os
import resource
import shutil
import signal
import socket
import subprocess
import time

START_SECONDS = 15
STOP_SECONDS = 15
NCHAN_MODULES = ("/usr/lib/nginx/modules/ngx_nchan_module.so", "/usr/share/nginx/modules/ngx_nchan_module.so")
PR_SET_PDEATHSIG = 1

running = []


class Missing(Exception):
    """A server that is not on this machine."""


class Broken(Exception):
    """A server or a generator that did not do what it should."""


def child_setup():
    """In the child: every file descriptor we may have, and death with the parent."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_seconds(pid):
    """CPU time so far of all threads of a process, from the scheduler's sum (what clock_getcpuclockid names)."""
    return time.clock_gettime(~pid << 3 | 2)


def find_program(name):
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")
    if not path:
        raise Missing(f"{name} is not installed")
    return path


class Server:
    """One server process with its directory. Subclasses say how it is called (`command`) and what it promises."""

    name = ""  # unique: key of all results
    label = ""  # for the tables
    driver = ""  # what bide-bench calls its protocol
    announces = False  # prints "listening http ADDR:PORT" itself

    def __init__(self, directory):
        self.directory = os.path.join(directory, self.name)
        self.port = 0
        self.process = None

    def command(self):
        raise NotImplementedError

    def start(self):
        os.makedirs(self.directory)
        self.run()
        return self

    def run(self):
        self.port = 0 if self.announces else free_port()
        with open(os.path.join(self.directory, "stderr"), "wb") as errors:
            output = subprocess.PIPE if self.announces else errors
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=output, stderr=errors,
                                            cwd=self.directory, preexec_fn=child_setup, start_new_session=True)
        running.append(self)
        self.await_ready()

    def kill(self):
        """kill -9; the directory stays, for run()."""
        self.process.kill()
        self.process.wait()
        running.remove(self)
        if self.process.stdout:
            self.process.stdout.close()

    def await_ready(self):
        deadline = time.monotonic() + START_SECONDS
        if self.announces:
            line = self.process.stdout.readline().decode()
            while line.startswith("["):  # it says other things first
                line = self.process.stdout.readline().decode()
            if not line.startswith("listening http "):
                raise Broken(f"{self.name} did not start: {line.strip() or self.last_words()}")
            self.port = int(line.rsplit(":", 1)[1])
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise Broken(f"{self.name} did not start: {self.last_words()}") from None
                time.sleep(0.01)

    def last_words(self):
        with open(os.path.join(self.directory, "stderr"), errors="replace") as errors:
            return errors.read()[-400:].strip()

    @property
    def pid(self):
        return self.process.pid

    def pids(self):
        """The process and its children (nginx's worker)."""
        found = [self.pid]
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                with open(f"/proc/{entry}/stat") as stat:
                    parent = int(stat.read().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            if parent == self.pid:
                found.append(int(entry))
        return found

    def stop(self):
        if self in running:
            running.remove(self)
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                pass
        if self.process:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait()
            if self.process.stdout:
                self.process.stdout.close()
        shutil.rmtree(self.directory, ignore_errors=True)


class Bide(Server):
    name = label = driver = "bide"
    announces = True
    program = None  # set by bench/run
    extra = ()
    sync = "always"

    def command(self):
        if not self.program or not os.access(self.program, os.X_OK):
            raise Missing(f"bide is not built ({self.program})")
        return [self.program, "serve", "--data", self.directory, "--http", "127.0.0.1:0", "--sync", self.sync, *self.extra]


class BideUnsynced(Bide):
    name = "bide-os"
    label = "bide `--sync=os`"
    sync = "os"


class Beanstalkd(Server):
    name = driver = "beanstalkd"
    label = "beanstalkd `-b -f0`"
    arguments = ("-b", ".", "-f0")

    def command(self):
        return [find_program("beanstalkd"), "-l", "127.0.0.1", "-p", str(self.port), *self.arguments]


class BeanstalkdMemory(Beanstalkd):
    name = "beanstalkd-memory"
    label = "beanstalkd in memory"
    arguments = ()


class Redis(Server):
    name = "redis"
    label = "Redis `appendfsync always`"
    driver = "redis"
    # Rewriting the append-only file in the middle of a run would cost Redis time: it is spared that.
    arguments = ("--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0")

    def command(self):
        return [find_program("redis-server"), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.directory,
                "--save", "", "--daemonize", "no", "--protected-mode", "no", "--maxclients", "19000", *self.arguments]


class RedisMemory(Redis):
    name = "redis-memory"
    label = "Redis in memory"
    arguments = ("--appendonly", "no")


class Nats(Server):
    name = driver = "nats"
    label = "NATS JetStream (not synced)"

    def command(self):
        return [find_program("nats-server"), "-js", "-sd", self.directory, "-a", "127.0.0.1", "-p", str(self.port)]


class Durable(Server):
    """The Durable Streams protocol's own server, in Node."""

    name = driver = "durable"
    label = "the protocol's own server, in Node"
    announces = True
    home = None  # set by bench/run: where npm installs it

    def command(self):
        source = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "durable")
        return [find_program("node"), os.path.join(npm_install(source, self.home), "serve.mjs"), os.path.join(self.directory, "data")]


def npm_install(source, home):
    """What `source` locks, installed in `home` if it is not there yet. No package's own scripts are run."""
    npm = find_program("npm")
    locked = os.path.join(source, "package-lock.json")
    stamp = os.path.join(home, "installed")
    if not os.path.exists(stamp) or not filecmp.cmp(stamp, locked, shallow=False):
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(source, home)
        done = subprocess.run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error",
                               "--cache", os.path.join(home, "cache")], cwd=home, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Missing(f"npm could not install {os.path.basename(source)}: {done.stderr.strip()[-200:]}")
        shutil.copyfile(locked, stamp)
    shutil.copyfile(os.path.join(source, "serve.mjs"), os.path.join(home, "serve.mjs"))
    return home


NCHAN_CONFIG = """
load_module {module};
daemon off;
worker_processes 1;
worker_rlimit_nofile {files};
{user}
pid {directory}/nginx.pid;
error_log {directory}/error crit;
events {{ worker_connections {connections}; }}
http {{
  access_log off;
  keepalive_requests 100000000;
  keepalive_timeout 600s;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  nchan_shared_memory_size 1g;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location = /pub {{ nchan_publisher; nchan_channel_id $arg_id; nchan_message_buffer_length 1; }}
    location = /sub {{ nchan_subscriber longpoll; nchan_channel_id $arg_id; nchan_subscriber_first_message newest; }}
    location = /sse {{ nchan_subscriber eventsource; nchan_channel_id $arg_id; nchan_subscriber_first_message newest; }}
    location = /spub {{ nchan_publisher; nchan_channel_id $arg_id; nchan_message_buffer_length 1000000; nchan_message_timeout 1h; }}
    location = /ssub {{ nchan_subscriber longpoll; nchan_channel_id $arg_id; nchan_subscriber_first_message oldest; }}
    location = /status {{ nchan_stub_status; }}
  }}
}}
"""


class Nchan(Server):
    name = driver = "nchan"
    label = "nginx + nchan (in memory)"

    def command(self):
        module = next((path for path in NCHAN_MODULES if os.path.exists(path)), None)
        if not module:
            raise Missing("nginx's nchan module is not installed")
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        path = os.path.join(self.directory, "nginx.conf")
        with open(path, "w") as config:
            config.write(NCHAN_CONFIG.format(module=module, directory=self.directory, port=self.port, files=files,
                                             connections=min(files - 100, 40000),
                                             user="user root;" if os.geteuid() == 0 else ""))
        return [find_program("nginx"), "-p", self.directory, "-c", path, "-e", os.path.join(self.directory, "error")]


class Floor(Server):
    name = driver = "floor"
    label = "the floor (bare `write`s)"
    announces = True
    generator = None  # set by bench/run: bide-bench has it built in
    answer_bytes = 300

    stay = "0"

    def command(self):
        return [self.generator, "floor", "--answer-bytes", str(self.answer_bytes), "--waiters", "20000", "--stay", self.stay]


class FloorEvents(Floor):
    """Who asked stays, and what is written is one more event."""

    name = driver = "floor-sse"
    stay = "1"


class BytesFloor(Floor):
    """Sends the records of a stream from one file, in answers of a MiB."""

    style = "sendfile"
    name = "bytes-sendfile"
    driver = "bide"
    label = "the floor (bare `sendfile`)"
    answer_bytes = 1 << 20
    records = body_bytes = 0  # set by the case

    def command(self):
        return [self.generator, "bytes", "--style", self.style, "--dir", self.directory, "--records", str(self.records),
                "--body-bytes", str(self.body_bytes), "--answer-bytes", str(self.answer_bytes)]


class BytesFloorWritev(BytesFloor):
    style = "writev"
    name = "bytes-writev"
    label = "the floor (bare `writev`)"


def stop_all():
    for server in list(running):
        server.stop()


def start_all(kinds, directory, say):
    """Starts what is there; says what is not. Name → server, in the given order."""
    started = {}
    for kind in kinds:
        server = kind(directory)
        try:
            started[server.name] = server.start()
        except Missing as missing:
            shutil.rmtree(server.directory, ignore_errors=True)
            say(f"left out: {missing}")
    return started


atexit.register(stop_all)
