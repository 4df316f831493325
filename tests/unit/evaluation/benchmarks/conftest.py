"""The benchmark files where they are at hand, and a small benchmark where they are not."""

import json
from pathlib import Path

import pytest

REAL = Path(__file__).parents[4] / "shared" / "data"


@pytest.fixture
def real() -> str:
    """The folder of the benchmark files."""
    if not (REAL / "math500" / "test.jsonl").is_file():
        pytest.skip("the benchmark files are not here")
    return str(REAL)


@pytest.fixture
def write(tmp_path):
    """Writes rows as the test file of a benchmark, and gives the folder for `data`."""

    def put(name, rows):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(tmp_path)

    return put
