"""The real thing, shortened: few clients, some seconds, some kills. And the checker finds what is really wrong: a server that loses
what it had acknowledged, a reader that is shown what was aborted, a compacted topic that forgets."""

import pytest

pytest.importorskip("confluent_kafka")
pytest.importorskip("kafka")
from run import Run, report  # noqa: E402


def live(folder, seconds, plant=None):
    run = Run(folder, few=True, plant=plant)
    print(f"seed {run.seed}")
    report(run.go(seconds))
    return run


def test_nothing_is_found_though_the_server_is_killed(tmp_path):
    run = live(tmp_path, 12)
    assert run.found == {} and run.problems == []
    assert run.kills >= 2
    assert all(run.left_out), "neither records nor keys are gone from the compacted topic"
    done = {(op["f"], op["type"]) for op in run.ops}
    assert {(f, "ok") for f in ("send", "commit", "abort", "txn-offsets", "offsets", "delete", "full")} <= done


def test_a_journal_that_loses_its_end_is_found(tmp_path):
    assert "missing" in live(tmp_path, 4, "tail").found


def test_a_reader_that_is_shown_everything_is_found(tmp_path):
    assert "aborted" in live(tmp_path, 6, "lie").found


def test_a_compacted_topic_that_forgets_is_found(tmp_path):
    assert "vanished" in live(tmp_path, 6, "forget").found
