"""A process of a runner that is killed while it looks at an execution, in the middle of the job that told it to."""

import asyncio
import os
import signal
import sys

from hostler.core.ambient import SystemAmbient
from hostler.dispatch.procrastinate import ProcrastinateDispatch


async def main(url: str, runner: str) -> None:
    dispatch = ProcrastinateDispatch(url, runner, SystemAmbient())
    await dispatch.start(lambda execution: os.kill(os.getpid(), signal.SIGKILL))
    await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
