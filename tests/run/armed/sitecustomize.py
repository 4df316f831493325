"""Python runs this where it starts: the first process that finds the claim free is killed as children.py was asked."""

import atexit
import json
import os
from pathlib import Path

from killing import Killer

root, position, mode, claim, count = json.loads(os.environ["PARING_TEST_KILL"])
try:
    os.close(os.open(claim, os.O_CREAT | os.O_EXCL))
except FileExistsError:
    pass
else:
    killer = Killer(root, position, mode)
    killer.arm()
    if count:
        atexit.register(lambda: Path(count).write_text(str(killer.count)))
