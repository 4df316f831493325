"""Conducts a study: begins runs as slots fall free, chooses tuned values, survives failures, kills and Ctrl-C."""

import json
import time
from dataclasses import dataclass
from pathlib import Path

from paring.runtime.files import remove_staging
from paring.runtime.interruption import Interruption
from paring.runtime.lock import run_lock
from paring.runtime.machine import all_cpus
from paring.study import child
from paring.study.cells import PlannedRun
from paring.study.course import Course, Trouble
from paring.study.display import StudyScreen, Tally
from paring.study.processes import Jobs, at_work, local_jobs
from paring.training.config import as_plain

POLL_SECONDS = 0.2


@dataclass(frozen=True)
class StudyEnd:
    """The course of a study, and 0, 1 where a run has no result, or 130 or 143 after an interruption."""

    course: Course
    exit_code: int

    def __str__(self) -> str:
        return "\n".join(self.course.end_words(interrupted=self.exit_code > 1))


def conduct(course: Course, jobs: Jobs, *, resume: bool = False, screen: StudyScreen | None = None) -> StudyEnd:
    """Do all runs of a study that are not done yet, side by side, and choose tuned values on the way.

    A run that fails stops none of the others. Ctrl-C and SIGTERM let every run save and end; a second one ends the
    study at once, and its runs still save. Raises ValueError, before any work is done, where the folder is not free or
    holds another study, and RunIsBusy where another process conducts it."""
    study, folder, screen = course.study, course.folder, screen or StudyScreen()
    folder.check(study, resume=resume)
    folder.make()
    with run_lock(folder.path), Interruption("nothing: its runs save by themselves") as interruption:
        remove_staging(folder.path)
        if not resume:
            folder.check(study, resume=False)
            folder.begin(study)
        course.recall()
        course.choose()
        course.write()
        running: dict[Path, PlannedRun] = {}
        screen.start(study.name, _steps(course), tally(course, running))
        try:
            while not interruption.requested and _begin(course, jobs, running):
                _wait(course, jobs, running, screen)
            jobs.stop()
            while running:
                _wait(course, jobs, running, screen)
        finally:
            screen.finish()
    unfinished = not all(folder.run(planned).result.is_file() for planned in course.runs)
    return StudyEnd(course, interruption.exit_code or int(unfinished))


def jobs_for(course: Course, count: int, *, processes: int = 1, address: str | None = None) -> Jobs:
    """So many runs at once on this machine, or on the Ray cluster at the address, each by so many processes. Raises
    ValueError where the CPUs do not do or a run cannot be divided so, and ModuleNotFoundError without the extra."""
    runs = [planned.run for planned in course.runs]
    if address is None:
        return local_jobs(count, runs, cpus=all_cpus(), processes=processes)
    from paring.study.cluster import RayJobs  # late: an extra

    threads, most = max(1, *(run.threads for run in runs)), max(at_work(run, processes) for run in runs)
    return RayJobs(count, threads=threads, address=address, processes=processes, cpus=threads * most)


def tally(course: Course, running: dict[Path, PlannedRun]) -> Tally:
    """How far the study is, running runs included."""
    under_way = {
        str(planned): (steps_made(course.folder.run(planned).metrics), planned.run.steps)
        for planned in running.values()
    }
    over = [planned for planned in course.runs if course.is_over(planned) and planned not in running.values()]
    without_result = sum(planned.folder in course.troubles for planned in over)
    return Tally(
        runs=len(course.runs) + course.to_come(),
        finished=len(over) - without_result,
        without_result=without_result,
        steps_done=sum(planned.run.steps for planned in over) + sum(step for step, _ in under_way.values()),
        running=under_way,
    )


def _steps(course: Course) -> int:
    """Steps of all runs, those included that are still to be proposed."""
    to_come = course.to_come() * course.tuning[0].run.steps if course.tuning else 0
    return sum(planned.run.steps for planned in course.runs) + to_come


def steps_made(metrics: Path) -> int:
    """The lines of a run's journal: one a step."""
    return metrics.read_bytes().count(b"\n") if metrics.is_file() else 0


def _begin(course: Course, jobs: Jobs, running: dict[Path, PlannedRun]) -> bool:
    """Fill the free slots; whether any run is under way then."""
    for planned in course.ready():
        path = course.folder.path / planned.folder
        if len(running) < jobs.slots and path not in running:
            running[path] = planned
            jobs.start(json.dumps(as_plain(planned.run)), path)
    return bool(running)


def _wait(course: Course, jobs: Jobs, running: dict[Path, PlannedRun], screen: StudyScreen) -> None:
    """A moment; then take note of the runs that have ended in it, and choose the values that they decide."""
    time.sleep(POLL_SECONDS)
    for path, code in jobs.ended().items():
        planned = running.pop(path)
        screen.update(tally(course, running))
        if result := course.result(planned):
            screen.ended(f"{planned}: {result}")
        elif code in child.STOPPED:
            made = steps_made(course.folder.run(planned).metrics)
            screen.note(f"{planned}: saved after {made} of {planned.run.steps} steps")
        else:
            trouble = Trouble("failed" if code == child.FAILED else "broken", child.last_words(path))
            course.troubles[planned.folder] = trouble
            screen.ended(f"{planned} {trouble}")
        for words in course.choose():
            screen.note(words)
        course.write()
    screen.update(tally(course, running))
