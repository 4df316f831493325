"""Compressed rows: what is torn is left out, what is damaged or too large is refused."""

import io

import pytest

from paring.runtime import members as room
from paring.runtime.journal import Journal, read_rows
from paring.runtime.members import members, packed

CONTENTS = [b"one\n" * 50, b"two\n", b"three\n" * 20_000]


def test_members_come_back_with_their_ends():
    parts = [packed(content) for content in CONTENTS]
    found = list(members(io.BytesIO(b"".join(parts))))
    assert [content for content, _ in found] == CONTENTS
    assert [end for _, end in found] == [sum(map(len, parts[: place + 1])) for place in range(3)]


def test_a_torn_member_is_left_out_wherever_it_is_torn():
    whole, torn = packed(CONTENTS[0]), packed(CONTENTS[1])
    for length in range(len(torn)):
        assert list(members(io.BytesIO(whole + torn[:length]))) == [(CONTENTS[0], len(whole))]


@pytest.mark.parametrize("block", [1, 7, 1 << 16])
def test_reading_goes_on_from_an_end_in_blocks_of_any_size(monkeypatch, block):
    monkeypatch.setattr(room, "BLOCK", block)
    parts = [packed(content) for content in CONTENTS[:2]]
    file = io.BytesIO(b"".join(parts))
    file.seek(len(parts[0]))
    assert list(members(file)) == [(CONTENTS[1], sum(map(len, parts)))]


def test_damage_and_a_bomb_are_refused(monkeypatch):
    flipped = bytearray(packed(CONTENTS[0]))
    flipped[-6] ^= 1
    with pytest.raises(ValueError, match="cannot be unpacked"):
        list(members(io.BytesIO(bytes(flipped))))
    monkeypatch.setattr(room, "LARGEST", 1000)
    with pytest.raises(ValueError, match="larger than 1,000 bytes"):
        list(members(io.BytesIO(packed(bytes(1_000_000)))))


def test_a_journal_keeps_every_so_many_steps_and_rewinds_to_the_same_bytes(tmp_path):
    journal = Journal(tmp_path, samples_every=3, compress=True)

    def make(step):
        journal.record({"step": step})
        journal.samples([{"step": step, "member": member, "text": "x" * 90} for member in (0, 1)])

    for step in range(1, 6):
        make(step)
    path = tmp_path / "samples.jsonl.gz"
    before = path.read_bytes()
    assert [row["step"] for row in read_rows(path)] == [1, 1, 3, 3]
    for step in range(6, 10):
        make(step)
    journal.check_whole(8, answers=True)
    journal.rewind(5)
    assert path.read_bytes() == before
    for step in range(6, 10):
        make(step)
    journal.close()
    assert [row["step"] for row in read_rows(path)] == [1, 1, 3, 3, 6, 6, 9, 9]
    with open(path, "ab") as file:
        file.write(packed(b"torn")[:-3])
    Journal(tmp_path, samples_every=3, compress=True).close()
    assert path.stat().st_size == max(end for _, end in members(path.open("rb")))
