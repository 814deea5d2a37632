"""Reads torch and transformers from the disk before they are needed."""

import os
import subprocess
import sys

# A static cache compiles: what that imports comes with them.
IMPORTS = ("import torch, transformers\n"
           "from transformers import T5ForConditionalGeneration\n"
           "import torch._inductor.compile_fx\n")
# Parts beside which the imports may run: none of their results is a time.
UNTIMED = ("conformance", "fragments", "node", "sessions")


def import_in_background():
    """A process that imports them, or None: from a cold disk that takes most of a minute, and those who
    import them later find the files in memory. That it fails, as where they are missing, costs nothing."""
    try:
        return subprocess.Popen(
            [sys.executable, "-c", IMPORTS], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
    except OSError:
        return None


def end_imports(process):
    """Beside what is timed, they must not go on."""
    if process is not None and process.poll() is None:
        process.kill()
        process.wait()
