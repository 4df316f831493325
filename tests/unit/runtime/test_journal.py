"""The journal: strict JSON whatever a model wrote, torn tails, rewinding, and a glossary without gaps."""

import json
import math
import os
import resource

import pytest

from paring.runtime.glossary import HEALTHY, METRICS, UnknownMetric, explain
from paring.runtime.journal import Journal, read_rows

HOSTILE = '\x1b]0;owned\x07 \x9b2J \ud800 \udfff \u202e \u2028 \0 \U0001f600 </script> [bold] NaN \r\n \\ "'


def refuse(constant):
    raise AssertionError(f"{constant} is not strict JSON")


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path)
    yield journal
    journal.close()


def test_rows_come_back_as_they_were(tmp_path, journal):
    rows = [{"step": 1, "reward": 0.1 + 0.2, "reward_parts": {"answer": 1.0}}, {"step": 2, "reward": -5e-324}]
    for row in rows:
        journal.record(row)
        assert list(read_rows(tmp_path / "metrics.jsonl"))[-1] == row, "a step must be on disk when it is recorded"
    assert list(read_rows(tmp_path / "metrics.jsonl")) == rows


def test_numbers_that_are_not_finite_become_null_and_are_named(tmp_path, journal):
    parts = {"answer": -math.inf, "format": [1.0, math.inf]}
    journal.record({"step": 1, "kl": math.nan, "reward": 0.5, "reward_parts": parts})
    line = (tmp_path / "metrics.jsonl").read_text()
    assert json.loads(line, parse_constant=refuse) == {
        "step": 1,
        "kl": None,
        "reward": 0.5,
        "reward_parts": {"answer": None, "format": [1.0, None]},
        "nonfinite": ["kl", "reward_parts.answer", "reward_parts.format.1"],
    }
    assert math.isnan(0.0 * parts["answer"]), "the caller's metrics are not changed"


def test_any_text_can_be_written_and_no_control_character_lies_in_the_file(tmp_path, journal):
    journal.samples([{"step": 1, "text": HOSTILE}, {"step": 1, "text": ""}])
    raw = (tmp_path / "samples.jsonl").read_bytes()
    assert set(raw) <= set(range(0x20, 0x7F)) | {0x0A}
    assert raw.count(b"\n") == len(raw.decode().splitlines()) == 2
    assert [row["text"] for row in read_rows(tmp_path / "samples.jsonl")] == [HOSTILE, ""]


def test_an_unknown_metric_is_an_error_and_nothing_is_written(tmp_path, journal):
    with pytest.raises(UnknownMetric, match="no metric is called 'entropie'; did you mean 'entropy'"):
        journal.record({"step": 1, "entropie": 1.0})
    assert (tmp_path / "metrics.jsonl").read_bytes() == b""


def test_steps_may_not_go_back(journal):
    journal.record({"step": 2})
    with pytest.raises(AssertionError, match="step 1 after step 2"):
        journal.record({"step": 1})


def test_rewind_keeps_what_is_up_to_the_step_in_both_files(tmp_path, journal):
    for step in (1, 2, 3):
        journal.record({"step": step, "reward": step / 10})
        journal.samples([{"step": step, "member": member, "text": HOSTILE} for member in (0, 1)])
    before = [(tmp_path / name).read_bytes() for name in ("metrics.jsonl", "samples.jsonl")]
    journal.rewind(2)
    assert [row["step"] for row in read_rows(tmp_path / "metrics.jsonl")] == [1, 2]
    assert [(row["step"], row["member"]) for row in read_rows(tmp_path / "samples.jsonl")] == [
        (1, 0), (1, 1), (2, 0), (2, 1)
    ]  # fmt: skip
    journal.record({"step": 3, "reward": 0.3})
    journal.samples([{"step": 3, "member": member, "text": HOSTILE} for member in (0, 1)])
    assert [(tmp_path / name).read_bytes() for name in ("metrics.jsonl", "samples.jsonl")] == before
    journal.rewind(0)
    assert list(read_rows(tmp_path / "metrics.jsonl")) == []


@pytest.mark.parametrize("cut", range(1, len(b'{"step": 2, "reward": 12.5}\n')))
def test_a_torn_last_line_is_left_out_and_cut_off(tmp_path, cut):
    lines = b'{"step": 1, "reward": 0.5}\n{"step": 2, "reward": 12.5}\n'
    (tmp_path / "metrics.jsonl").write_bytes(lines[:-cut])
    assert [row["step"] for row in read_rows(tmp_path / "metrics.jsonl")] == [1]
    resumed = Journal(tmp_path)
    resumed.record({"step": 2, "reward": 12.5})
    resumed.close()
    assert (tmp_path / "metrics.jsonl").read_bytes() == lines


def test_a_torn_line_longer_than_a_block_is_cut_off(tmp_path):
    (tmp_path / "samples.jsonl").write_bytes(b'{"step": 1}\n' + b'{"step": 2, "text": "' + b"x" * 200_000)
    Journal(tmp_path).close()
    assert (tmp_path / "samples.jsonl").read_bytes() == b'{"step": 1}\n'
    (tmp_path / "samples.jsonl").write_bytes(b"x" * 200_000)
    Journal(tmp_path).close()
    assert (tmp_path / "samples.jsonl").read_bytes() == b""


@pytest.mark.parametrize("line", [b"{half", b"[1]", b"\xff", b"[" * 100_000])
def test_a_damaged_line_in_the_middle_is_named(tmp_path, line):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n' + line + b'\n{"step": 3}\n')
    with pytest.raises(ValueError, match=r"metrics\.jsonl, line 2: damaged"):
        list(read_rows(path))


def test_a_full_disk_does_not_tear_the_last_line(tmp_path, exit_code_of_child):
    def fill_the_disk():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        journal = Journal(tmp_path)
        journal.samples([{"step": 1, "text": "x" * 500}])
        with pytest.raises(OSError, match="too large"):
            journal.samples([{"step": 2, "text": "short"}, {"step": 2, "text": "y" * 700}])
        journal.samples([{"step": 2, "text": "z"}])
        journal.close()

    assert exit_code_of_child(fill_the_disk) == 0
    assert [row["text"][0] for row in read_rows(tmp_path / "samples.jsonl")] == ["x", "z"]
    assert (tmp_path / "samples.jsonl").read_bytes().endswith(b'"z"}\n')


def test_rows_survive_a_kill_right_after_they_are_recorded(tmp_path, exit_code_of_child):
    def record_and_die():
        Journal(tmp_path).record({"step": 1, "reward": 1.0})
        os.kill(os.getpid(), 9)

    assert exit_code_of_child(record_and_die) == -9
    assert list(read_rows(tmp_path / "metrics.jsonl")) == [{"step": 1, "reward": 1.0}]


def test_every_metric_is_explained_in_a_sentence_and_every_range_belongs_to_one():
    assert set(HEALTHY) <= set(METRICS)
    for name, sentence in METRICS.items():
        assert sentence.endswith(".") and "\n" not in sentence, name
        assert explain(name).startswith(sentence)


def test_explain_names_the_healthy_range():
    assert explain("truncated").endswith("Healthy: at most 0.2.")
    assert explain("entropy").endswith("Healthy: at least 0.02.")
    assert explain("dropped_steps").endswith("Healthy: at most 0.")
    assert explain("reward") == METRICS["reward"]
    with pytest.raises(UnknownMetric, match=r"no metric is called 'zzz'$"):
        explain("zzz")
