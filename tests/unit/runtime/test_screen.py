"""The screen: hostile text shown as text, marks, the plain line, and the live display."""

import io
import math
import re

import pytest
from rich.console import Console

from paring.runtime.gauges import GAUGES, Gauge, gauges_for, trend
from paring.runtime.glossary import HEALTHY, METRICS
from paring.runtime.screen import Screen
from paring.runtime.text import duration, visible

HOSTILE = (
    "\x1b]0;owned\x07\x1b[2J\x9b31m[/red][bold]x[/bold]\u202eevil\u2066\u200b\ud800\r\x00\x7f\ufeff\U000e0041\u2028"
)
METRICS_OF_A_STEP = {
    "step": 12,
    "reward": 0.43,
    "accuracy": 0.38,
    "length": 17.23,
    "kl": 0.001,
    "loss": 0.1,
    "entropy": 1.25,
    "truncated": 0.05,
    "groups_without_signal": 0.25,
    "seconds": 0.5249,
}


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


def test_every_dangerous_character_becomes_a_visible_escape():
    assert visible(HOSTILE) == (
        r"\x1b]0;owned\x07\x1b[2J\x9b31m[/red][bold]x[/bold]\u202eevil\u2066\u200b\ud800\r\x00\x7f\ufeff\U000e0041\u2028"
    )


@pytest.mark.parametrize(
    "codes",
    [
        pytest.param(range(0x00, 0x20), id="C0"),
        pytest.param(range(0x7F, 0xA0), id="C1"),
        pytest.param([*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x061C, 0x200E, 0x200F], id="direction"),
        pytest.param([0x00AD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, 0xFFF9], id="no width"),
        pytest.param([0x2028, 0x2029], id="line separators"),
        pytest.param(range(0xD800, 0xE000), id="surrogates"),
    ],
)
def test_no_control_direction_or_invisible_character_passes(codes):
    for code in codes:
        shown = visible(f"a{chr(code)}b")
        if chr(code) in "\n\t":
            assert shown == f"a{chr(code)}b"
        else:
            assert re.fullmatch(r"a\\(r|x..|u....)b", shown), hex(code)


@pytest.mark.parametrize("text", ["", "plain", "two\nlines\tand tab", "ö ∑ 你好 ٣ 😀 \u3000 \xa0", "a\\b", "é" * 50])
def test_ordinary_text_stays_as_it_is(text):
    assert visible(text) == text


def test_a_limit_bounds_what_comes_back():
    assert visible("abcdef", 6) == "abcdef"
    assert visible("abcdefg", 6) == "abcde…"
    assert visible("\x1b" * 9, 6) == "\\x1b\\…"
    assert visible("ab", 1) == "…"
    assert len(visible("x" * 10**7, 100)) == 100


@pytest.fixture
def clock():
    return Clock()


def plain_lines(clock, metrics, *, total=120, done=10):
    file = io.StringIO()
    screen = Screen(file, clock=clock)
    screen.start("a run", total, done)
    clock.now += 5.0
    screen.step(metrics)
    screen.finish()
    return file.getvalue().splitlines()


def test_the_plain_line(clock):
    assert plain_lines(clock, METRICS_OF_A_STEP) == [
        "a run",
        # 2 steps in 5 s, 108 to go: 270 s
        "step 12/120  reward 0.43  accuracy 38 %  length 17.2  kl 0.001  0.52 s  left 4 min 30 s",
    ]


def test_the_plain_line_shows_what_is_unhealthy(clock):
    metrics = METRICS_OF_A_STEP | {"truncated": 0.35, "grad_norm": math.nan, "kl": None, "dropped_steps": 2}
    line = plain_lines(clock, metrics)[1]
    for alarm in ("  ! truncated 35 %", "  ! grad norm nan", "  ! kl None", "  ! dropped steps 2"):
        assert alarm in line
    assert "entropy" not in line


def test_without_a_reward_the_loss_is_shown(clock):
    assert plain_lines(clock, {"step": 11, "loss": 2.5})[1] == "step 11/120  loss 2.5  left 9 min 05 s"
    assert [gauge.name for gauge in gauges_for({"loss": 1.0, "reward": 1.0})] == ["reward"]


def test_a_file_that_knows_only_ascii_gets_escapes(clock):
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii")
    Screen(file, clock=clock).note("ö \x1b[2J")
    assert raw.getvalue() == b"\\xf6 \\x1b[2J\n"


@pytest.mark.parametrize("term", ["dumb", None])
def test_a_terminal_that_cannot_move_its_cursor_gets_plain_lines(clock, monkeypatch, term):
    monkeypatch.delenv("TERM", raising=False)
    if term:
        monkeypatch.setenv("TERM", term)
    terminal = Terminal()
    screen = Screen(terminal, clock=clock)
    screen.start("a run", 2)
    screen.step({"step": 1, "reward": 1.0})
    screen.finish()
    assert terminal.getvalue() == "a run\nstep 1/2  reward 1  left 0 s\n"


def live_output(clock, title, note, **environment):
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=100, _environ={"TERM": "xterm-256color", **environment})
    screen = Screen(console=console, clock=clock)
    screen.start(title, 120, 10)
    clock.now += 5.0
    screen.step(METRICS_OF_A_STEP | {"truncated": 0.35})
    screen.note(note)
    screen.finish()
    return file.getvalue()


def test_the_live_display_shows_progress_and_marks(clock):
    output = live_output(clock, "a run", "saved", NO_COLOR="1")
    last = output[output.rindex("a run") :]
    assert "step 12/120  elapsed 5 s  left 4 min 30 s" in last
    assert re.search(r"! +truncated +35 %", re.sub(r"\x1b\[[0-9;]*m", "", last))
    assert re.search(r"✓ +kl +0.001", re.sub(r"\x1b\[[0-9;]*m", "", last))
    assert re.search(r"  +reward +0.43", last)
    assert "saved\n" in output


def test_no_colour_is_respected(clock):
    colour = r"\x1b\[(?:[0-9]+;)*(?:3[0-7]|9[0-7]|38;[0-9;]*)m"
    assert re.search(colour, live_output(clock, "a run", ""))
    assert not re.search(colour, live_output(clock, "a run", "", NO_COLOR="1"))


def test_hostile_text_reaches_the_terminal_as_text(clock):
    output = live_output(clock, HOSTILE, HOSTILE)
    ours = re.compile(r"\x1b\[(?:[0-9;]*m|\?25[hl]|2K|1A)|\r|\n")
    rest = ours.sub("", output)
    assert rest.isprintable(), ascii(rest)
    assert "[/red][bold]x[/bold]" in rest, "no markup"
    assert rest.count(visible(HOSTILE)[:40]) >= 2


def test_the_cursor_stays_visible_so_that_a_kill_leaves_it(clock):
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=100, _environ={"TERM": "xterm"})
    screen = Screen(console=console, clock=clock)
    screen.start("a run", 2)
    screen.step({"step": 1, "reward": 1.0})
    output = file.getvalue()
    screen.finish()
    assert output.rindex("\x1b[?25h") > output.rindex("\x1b[?25l")


def test_notes_and_finish_need_no_start(clock):
    file = io.StringIO()
    screen = Screen(file, clock=clock)
    screen.note("resumed from step 10")
    screen.finish()
    assert file.getvalue() == "resumed from step 10\n"
    Screen(console=Console(file=file, force_terminal=True, _environ={"TERM": "xterm"})).finish()


def test_gauges_are_metrics():
    assert {gauge.name for gauge in GAUGES} <= set(METRICS)
    assert set(HEALTHY) - {gauge.name for gauge in GAUGES} == {
        *("clip_fraction", "ratio_max"),
        *("mismatch_kl", "importance_bounded"),
    }


@pytest.mark.parametrize(
    "value, mark", [(0.0, "✓"), (0.2, "✓"), (0.21, "!"), (math.inf, "!"), (math.nan, "!"), (None, "!")]
)
def test_marks_at_the_edges(value, mark):
    assert Gauge("truncated", "truncated", str).mark(value) == mark
    assert Gauge("reward", "reward", str).mark(1.0) == " "


@pytest.mark.parametrize(
    "seconds, text",
    [
        (0.2, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (725, "12 min 05 s"),
        (3599.7, "1 h 00 min"),
        (11_520, "3 h 12 min"),
        (86_400 * 2 + 3 * 3600 + 59, "2 d 03 h"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("values", "width", "expected"),
    [
        ([], 5, ""),
        ([2.0, 2.0, 2.0], 5, "▁▁▁"),
        ([0.0, 1.0], 5, "▁█"),
        ([float(number) for number in range(8)], 8, "▁▂▃▄▅▆▇█"),
        ([0.0, 0.0, 4.0, 8.0], 2, "▁█"),
        ([-1e300, 1e300], 2, "▁█"),
        ([-1e308, 1e308], 2, "▁▁"),
    ],
)
def test_a_trend_runs_from_the_least_to_the_greatest(values, width, expected):
    assert trend(values, width) == expected


def test_the_live_display_shows_trends_the_phase_and_a_harmless_sample(clock):
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=120, _environ={"TERM": "xterm-256color"})
    screen = Screen(console=console, clock=clock)
    screen.start("a run", 120, 10, history=[{"step": 9, "reward": 0.1}, {"step": 10, "reward": math.nan}])
    screen.step({"step": 11, "reward": 0.5})
    screen.phase("rollout")
    clock.now += 3.0
    screen.sample("1+1=", HOSTILE, 1.0)
    screen.finish()
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", file.getvalue())
    assert "▁█" in shown and "0.1 to 0.5" in shown
    assert "rollout 3 s" in shown and "1+1= -> \\x1b]0;owned" in shown
    assert "\x1b[2J" not in file.getvalue()
