"""How a part of gpu-check ends."""

import dataclasses
import time


class Missing(Exception):
    """Without this nothing can be checked."""


class Skipped(Exception):
    """A part cannot run here; the message says why."""


class Failed(Exception):
    """A part ran and is not right."""


@dataclasses.dataclass
class Part:
    name: str
    state: str
    seconds: float
    detail: str
    counts: dict


def run_part(runner, name, work):
    print(f"{name} ...", flush=True)
    begin = time.monotonic()
    state, counts = "ok", {}
    try:
        detail, counts = work(runner)
    except Skipped as reason:
        state, detail = "skipped", str(reason)
    except Failed as reason:
        state, detail = "failed", str(reason)
    except Exception as error:  # one part's mistake must not cost the others
        state, detail = "failed", f"{type(error).__name__}: {error}"
    part = Part(name, state, round(time.monotonic() - begin, 1), detail, counts)
    print(f"{name}: {state} ({part.seconds} s) {detail}", flush=True)
    return part
