"""Fixtures for the end-to-end and crash suites: `server` (one for a file), `fresh` (your own, with flags), `queue`."""

import itertools
import os
import tempfile

import pytest

from bide_server import Server

counter = itertools.count(1)


def pytest_configure(config):
    config.addinivalue_line("markers", "soak: long; runs only with BIDE_SOAK=1")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One server for all tests of a file, with its defaults."""
    running = Server(tmp_path_factory.mktemp("bide") / "data").start()
    yield running
    assert running.running, f"the server died: {running.stderr()}"
    assert running.stop() == 0, running.stderr()


@pytest.fixture
def fresh(tmp_path):
    """Makes servers for one test: fresh('--max-wait', '5s', faults=...) starts one on a directory of its own."""
    made = []

    def make(*flags, data=None, start=True, **options):
        one = Server(data or tmp_path / f"data{len(made)}", *flags, **options)
        made.append(one)
        return one.start() if start else one

    yield make
    for one in made:
        if one.running:
            one.kill9()


@pytest.fixture
def api(server):
    return server.api


@pytest.fixture
def queue():
    """A queue name of the test's own."""
    return f"q{next(counter)}"


@pytest.fixture
def scratch():
    """A directory that is gone afterwards, for large files."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        yield folder
