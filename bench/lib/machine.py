"""Facts about the machine that the figures were made on."""

import datetime
import os
import platform
import re
import subprocess

import generator
import servers


def cpu_model():
    try:
        with open("/proc/cpuinfo") as info:
            for line in info:
                if line.startswith("model name"):
                    return re.sub(r"\s+", " ", line.split(":", 1)[1].strip())
    except OSError:
        pass
    return platform.machine()


def mount_of(path):
    """File system type of a directory, by its longest mount point."""
    best, kind = "", "unknown"
    real = os.path.realpath(path)
    with open("/proc/mounts") as mounts:
        for line in mounts:
            words = line.split()
            point = words[1]
            inside = real == point or real.startswith(point.rstrip("/") + "/")
            if inside and len(point) >= len(best):
                best, kind = point, words[2]
    return kind


def version_of(program, argument):
    try:
        path = servers.find_program(program)
    except servers.Missing:
        return None
    done = subprocess.run([path, argument], capture_output=True, text=True, check=False)
    match = re.search(r"\d+\.\d+(\.\d+)?", done.stdout + done.stderr)
    return match.group(0) if match else "?"


def facts(data):
    measured = generator.measure("facts", dir=data)
    versions = {"beanstalkd": version_of("beanstalkd", "-v"), "Redis": version_of("redis-server", "--version"),
                "nginx": version_of("nginx", "-v"), "NATS": version_of("nats-server", "--version")}
    return {"date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
            "kernel": platform.release().split("-")[0], "cpu": cpu_model(), "cores": len(os.sched_getaffinity(0)),
            "file_system": mount_of(data), "fdatasync_us": measured["fdatasync"]["p50_us"],
            "fdatasync_p99_us": measured["fdatasync"]["p99_us"], "loopback_us": measured["loopback"]["p50_us"],
            "versions": {name: version for name, version in versions.items() if version}}


def line(known):
    versions = ", ".join(f"{name} {version}" for name, version in known["versions"].items())
    return (f"{known['date']}; {known['cores']} cores ({known['cpu']}), Linux {known['kernel']}, {known['file_system']}: "
            f"fdatasync of 4 KiB {known['fdatasync_us']:.0f} µs (p50; p99 {known['fdatasync_p99_us']:.0f} µs), loopback round trip "
            f"{known['loopback_us']:.0f} µs. {versions}.")
