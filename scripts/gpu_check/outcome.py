"""How a part of gpu-check ends."""

import dataclasses
import time


class Missing(Exception):
    """Without this nothing can be checked."""


class Skipped(Exception):
    """A part cannot run here; the message says why."""


class Failed(Exception):
    """A part ran and is not right."""


class Stopped(Exception):
    """A part's time is over; the message says before what. What it has so far stays."""


@dataclasses.dataclass
class Part:
    name: str
    state: str
    seconds: float
    detail: str
    counts: dict


def run_part(runner, name, work):
    """work(runner, counts) fills the counts as it goes, and returns a remark."""
    print(f"{name} ...", flush=True)
    begin = time.monotonic()
    state, counts = "ok", {}
    try:
        detail = work(runner, counts)
    except Skipped as reason:
        state, detail = "skipped", str(reason)
    except Failed as reason:
        state, detail = "failed", str(reason)
    except Stopped as reason:
        state, detail = "stopped", str(reason)
    except Exception as error:  # one part's mistake must not cost the others
        state, detail = "failed", f"{type(error).__name__}: {error}"
    part = Part(name, state, round(time.monotonic() - begin, 1), detail, counts)
    print(f"{name}: {state} ({part.seconds} s) {detail}", flush=True)
    return part
