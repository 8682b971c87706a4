"""The jobs bench: a line for each job, and shards alone as the baseline."""

import pytest

from pipelines.bench.job_workloads import WORKLOADS
from pipelines.bench.jobs import ALONE, JobsBench, run, table


def test_the_table_has_a_line_for_each_job():
    rows = run(JobsBench(rows=600, hidden=(3,), workers=1, repeats=1))
    assert [row.way for row in rows] == [ALONE, *WORKLOADS]
    assert all(row.rows_per_s > 0 for row in rows)
    assert rows[0].times_shards == 1
    lines = table(rows).splitlines()
    assert len(lines) == 1 + len(rows)
    assert all(line.startswith(row.way) for line, row in zip(lines[1:], rows, strict=True))


@pytest.mark.parametrize("fields", [{"rows": 0}, {"repeats": -1}, {"workers": 0}, {"hidden": (0,)}])
def test_a_number_that_cannot_be_is_named(fields):
    with pytest.raises(ValueError, match=f"^{next(iter(fields))} .*; got "):
        JobsBench(**fields)
