"""`paring study`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from paring.commands.shared import Overrides, parsed


def study(
    study: Annotated[
        str | None, typer.Argument(help="A shipped study's name, a TOML file, or the folder of a started study.")
    ] = None,
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the study; by default studies/<its name>.")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Runs side by side.")] = 1,
    processes: Annotated[int, typer.Option(min=1, help="Processes that train each run together.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a study that was started.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Estimate its cost by short probes; keep nothing.")
    ] = False,
    power: Annotated[
        bool, typer.Option("--power", help="The differences that its design detects, by its finished runs.")
    ] = False,
    ray: Annotated[str | None, typer.Option(help="Address of a Ray cluster to run on, such as auto.")] = None,
) -> None:
    """Run a study: arms x seeds x settings, each an ordinary run."""
    from paring.study.cost import cost_table
    from paring.study.course import Course
    from paring.study.declaration import load_study, study_file, study_names
    from paring.study.detection import power_table
    from paring.study.runner import conduct, jobs_for
    from paring.study.study_folder import StudyFolder

    if (started := os.environ.get("WORLD_SIZE", "1")) != "1":
        raise ValueError(
            f"WORLD_SIZE = {started}: a study starts the processes of its runs itself, and must not be started several "
            "times; leave torchrun out, and give --processes and --jobs"
        )
    if study is None:
        raise ValueError(f"name a study: {', '.join(study_names())}, a TOML file, or the folder of a started study")
    file = study_file(study)
    is_started = file == Path(study).expanduser() / "study.toml"
    folder = out or (file.parent if is_started else Path("studies") / file.stem)
    course = Course(load_study(study, parsed(overrides)), StudyFolder(folder))
    if power:
        course.recall()
        print(power_table(course))
        return
    course.folder.check(course.study, resume=resume)
    where = jobs_for(course, jobs, processes=processes, address=ray)
    if dry_run:
        print(cost_table(course, where))
        return
    outcome = conduct(course, where, resume=resume)
    print(outcome)
    raise typer.Exit(outcome.exit_code)
