"""The figures that follow from the database, once more on Postgres, which flushes each commit to the disk."""

from collections.abc import Iterator
from dataclasses import replace

from bench import part_api, part_crash, part_steps, part_stops
from bench.figures import Figure
from bench.stage import on_postgres
from hostler.testing.postgres import NoPostgres, programs

PARTS = (
    part_api.measure,
    part_stops.measure,
    part_steps.measure_shape,
    part_steps.measure_elsewhere,
    part_crash.measure,
)


def measure() -> Iterator[Figure]:
    try:
        programs()
    except NoPostgres:
        return
    with on_postgres():
        for part in PARTS:
            for figure in part():
                yield replace(figure, part="postgres")
