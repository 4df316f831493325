"""`paring study`."""

from pathlib import Path
from typing import Annotated

import typer

from paring.commands.shared import Debug, Overrides, errors_in_words, parsed


def study(
    study: Annotated[str, typer.Argument(help="A study's TOML file, or the folder of one that was started.")],
    overrides: Overrides = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the study; by default studies/<name of the file>.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Runs side by side.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a study that was started.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Estimate its cost by short probes; keep nothing.")
    ] = False,
    ray: Annotated[str | None, typer.Option(help="Address of a Ray cluster to run on, such as auto.")] = None,
    debug: Debug = False,
) -> None:
    """Run a study: arms x seeds x settings, each an ordinary run."""
    with errors_in_words(debug):
        from paring.study.cost import cost_table
        from paring.study.course import Course
        from paring.study.declaration import load_study
        from paring.study.runner import conduct, jobs_for
        from paring.study.study_folder import StudyFolder

        folder = out or (Path(study) if Path(study).is_dir() else Path("studies") / Path(study).stem)
        course = Course(load_study(study, parsed(overrides)), StudyFolder(folder))
        course.folder.check(course.study, resume=resume)
        where = jobs_for(course, jobs, address=ray)
        if dry_run:
            print(cost_table(course, where))
            return
        outcome = conduct(course, where, resume=resume)
        print(outcome)
        raise typer.Exit(outcome.exit_code)
