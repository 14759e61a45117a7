"""The servers of `bench kafka`: bide by its Kafka door, and Apache Kafka as one broker that is its own controller."""

import os
import resource
import socket
import struct
import subprocess
import time

import servers

START_SECONDS = 60
POLL_SECONDS = 0.001
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DIST = os.path.join(ROOT, "test", "conformance", "kafka", "kafka-dist", "kafka-dist.mjs")
CLUSTER = "AAAAAAAAAAAAAAAAAAAAAQ"

# What Kafka's own scripts start a broker with.
JAVA_BROKER = ("-Xmx1G", "-Xms1G", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35",
               "-XX:+ExplicitGCInvokesConcurrent", "-XX:MaxInlineLevel=15", "-Djava.awt.headless=true")
JAVA_TOOL = ("-Xmx512M", "-XX:+UseG1GC")


def metadata_answers(port):
    """Metadata of everything, version 1, asked over a fresh connection: whether a broker is in the answer."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as conn:
            body = struct.pack(">hhih", 3, 1, 7, 5) + b"bench" + struct.pack(">i", -1)
            conn.sendall(struct.pack(">i", len(body)) + body)
            answer = b""
            while len(answer) < 12:
                got = conn.recv(65536)
                if not got:
                    return False
                answer += got
            return struct.unpack(">i", answer[8:12])[0] > 0
    except OSError:
        return False


def await_metadata(server):
    deadline = time.monotonic() + START_SECONDS
    while not metadata_answers(server.port):
        if server.process.poll() is not None or time.monotonic() > deadline:
            raise servers.Broken(f"{server.name} did not start within {START_SECONDS} s: {server.last_words()}")
        time.sleep(POLL_SECONDS)


class Timed:
    """Knows how long it took from the start of the process to the first answer to Metadata."""

    seconds = None

    def run(self):
        began = time.monotonic()
        super().run()
        self.seconds = time.monotonic() - began

    def terminate(self):
        """As whoever runs it stops it; the directory stays, for run()."""
        self.process.terminate()
        self.process.wait(START_SECONDS)
        servers.running.remove(self)
        if self.process.stdout:
            self.process.stdout.close()


class BideKafka(Timed, servers.Bide):
    """Its port is that of the Kafka door."""

    def command(self):
        return super().command() + ["--kafka", "127.0.0.1:0"]

    def await_ready(self):
        said = []
        while not (said and said[-1].startswith("listening kafka ")):
            said.append(self.process.stdout.readline().decode())
            if not said[-1]:
                raise servers.Broken(f"{self.name} did not start: {self.last_words()}")
        self.port = int(said[-1].rsplit(":", 1)[1])
        await_metadata(self)


class BideKafkaUnsynced(BideKafka):
    name = "bide-os"
    label = "bide `--sync=os`"
    sync = "os"


PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs={directory}/data
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
{more}
"""


class Kafka(Timed, servers.Server):
    name = driver = "kafka"
    label = "Kafka, its defaults: not synced"
    more = ""
    libs = None  # where its jars are, once that is known

    def __init__(self, directory):
        super().__init__(directory)
        self.controller = 0

    @staticmethod
    def jars():
        """Fetched by Maven the first time, held against checksums."""
        if not Kafka.libs:
            servers.find_program("java")
            servers.find_program("mvn")
            done = subprocess.run([servers.find_program("node"), DIST], capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise servers.Missing(f"Apache Kafka could not be fetched: {done.stderr.strip()[-300:]}")
            Kafka.libs = done.stdout.strip().splitlines()[-1]
        return os.path.join(Kafka.libs, "*")

    @staticmethod
    def version():
        """By the name of its jar; None when it was not fetched."""
        for name in os.listdir(Kafka.libs) if Kafka.libs else ():
            if name.startswith("kafka-server-") and not name.startswith("kafka-server-common"):
                return name[len("kafka-server-"):-len(".jar")]
        return None

    def properties(self):
        path = os.path.join(self.directory, "server.properties")
        with open(path, "w") as out:
            out.write(PROPERTIES.format(port=self.port, controller=self.controller, directory=self.directory, more=self.more))
        return path

    def start(self):
        jars = self.jars()
        os.makedirs(self.directory)
        self.controller = servers.free_port()
        done = subprocess.run(["java", "-cp", jars, "kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", self.properties()],
                              capture_output=True, text=True, check=False, preexec_fn=servers.child_setup)
        if done.returncode != 0:
            raise servers.Missing(f"{self.name}: its storage was not made: {(done.stderr or done.stdout).strip()[-300:]}")
        self.run()
        return self

    def command(self):
        return ["java", *JAVA_BROKER, "-cp", self.jars(), "kafka.Kafka", self.properties()]

    def await_ready(self):
        await_metadata(self)

    def stop(self):
        """What it would still write is thrown away anyway."""
        if self.process and self.process.poll() is None:
            self.process.kill()
        super().stop()


class KafkaSynced(Kafka):
    name = "kafka-synced"
    label = "Kafka, `log.flush.interval.messages=1`"
    more = "log.flush.interval.messages=1"


def resident_bytes(pid):
    """All that is in memory of a process, files it has mapped too."""
    with open(f"/proc/{pid}/status") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0


def user_bytes(pid):
    """Heap, stacks, what it has written: as bide-bench counts it."""
    total = 0
    with open(f"/proc/{pid}/smaps_rollup") as rollup:
        for line in rollup:
            if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
                total += int(line.split()[1]) * 1024
    return total


def java_tool(tool, *arguments, seconds=120):
    """One of Kafka's own tools; what it prints."""
    command = ["java", *JAVA_TOOL, "-cp", Kafka.jars(), "org.apache.kafka.tools." + tool, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False, preexec_fn=servers.child_setup)
    except subprocess.TimeoutExpired:
        raise servers.Broken(f"{tool}: no end after {seconds} s") from None
    if done.returncode != 0:
        raise servers.Broken(f"{tool}: {(done.stderr or done.stdout).strip()[-400:]}")
    return done.stdout


def files_allow(count):
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1] >= count
