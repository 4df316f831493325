"""Servers forget versions, all servers at once and in time; only then is a version's folder removed."""

import threading
import time
from collections.abc import Sequence

from paring.rollout.served import routes
from paring.rollout.served.fleet import Member
from paring.rollout.served.published import Shelf
from paring.runtime.interruption import is_interrupted

STEP_SECONDS = 1.0
"""What a server has not forgotten by then stays for later: the step goes on."""
PAUSE, END_SECONDS = 0.2, 30.0
"""At the end of a run it is waited for so long that servers forget. Ctrl-C ends the wait."""


class LeavingVersions:
    """Versions that are not in use, and that some server may still know.

    Unload first, delete last: vLLM dies where the folder of an adapter that it has is gone."""

    def __init__(self, members: Sequence[Member], shelf: Shelf) -> None:
        self._members, self._shelf = members, shelf
        self._names: dict[str, None] = {}

    def comes_back(self, name: str) -> None:
        """A version is in use again."""
        self._names.pop(name, None)

    def leave(self, names: Sequence[str]) -> None:
        """Let servers forget these, and those that they have not forgotten before."""
        self._names |= dict.fromkeys(names)
        for name in self._forgotten(STEP_SECONDS):
            self._shelf.remove(name)
            del self._names[name]

    def leave_all(self, names: Sequence[str]) -> None:
        """The same, patiently. No folder stays: a server that has not answered by then has been told at least, and no
        request of this run names the version any more."""
        deadline = time.monotonic() + END_SECONDS
        self.leave(names)
        while self._names and time.monotonic() < deadline and not is_interrupted():
            time.sleep(PAUSE)
            self.leave(())
        for name in self._names:
            self._shelf.remove(name)
        self._names.clear()

    def _forgotten(self, seconds: float) -> list[str]:
        """The names that no server knows any more, after at most so many seconds."""
        names, deadline = list(self._names), time.monotonic() + seconds
        known = {name: set(range(len(self._members))) for name in names}

        def tell(place: int) -> None:
            for name in names:
                left = max(0.01, deadline - time.monotonic())
                if routes.unload(self._members[place].server, name, seconds=left):
                    known[name].discard(place)

        threads = [threading.Thread(target=tell, args=(place,), daemon=True) for place in range(len(self._members))]
        for thread in threads if names else ():
            thread.start()
        for thread in threads if names else ():
            thread.join(max(0.0, deadline - time.monotonic()))
        return [name for name in names if not known[name]]
