"""What gpu-check runs on, and what it lacks."""

import datetime
import os
import pathlib
import platform
import re
import shutil
import subprocess

from .outcome import Missing

ROOT = pathlib.Path(__file__).resolve().parents[2]


def output_of(command, timeout=60):
    """What a program prints, or None where it is missing or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def find_toolkit(program):
    """A program of the CUDA toolkit: on the PATH, or where toolkits are installed."""
    found = shutil.which(program)
    if found:
        return found
    homes = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"]
    nvcc = shutil.which("nvcc")
    if nvcc:
        homes.append(pathlib.Path(nvcc).resolve().parent.parent)
    for home in filter(None, homes):
        for folder in ("bin", program):
            candidate = pathlib.Path(home) / folder / program
            if os.access(candidate, os.X_OK):
                return str(candidate)
    return None


def read_gpu():
    query = "name,driver_version,compute_cap,memory.total"
    text = output_of(["nvidia-smi", "--id=0", f"--query-gpu={query}", "--format=csv,noheader"])
    if not text:
        return None
    name, driver, capability, memory = (part.strip() for part in text.splitlines()[0].split(","))
    return {"name": name, "driver": driver, "computeCapability": capability, "memory": memory}


def missing_of_gpu(gpu):
    if gpu is None:
        return ["a GPU: nvidia-smi is not there or lists none"]
    if not re.fullmatch(r"\d+\.\d+", gpu["computeCapability"]):
        return [f"a driver that tells the compute capability: it says {gpu['computeCapability']}"]
    if float(gpu["computeCapability"]) < 8.0:
        return [f"compute capability 8.0: {gpu['name']} has {gpu['computeCapability']}"]
    return []


def missing_of_compilers(nvcc):
    missing = []
    if nvcc is None:
        missing.append("a CUDA toolkit: nvcc is neither on the PATH nor under CUDA_HOME")
    if shutil.which("cmake") is None:
        missing.append("CMake: cmake is not on the PATH")
    if shutil.which(os.environ.get("CXX", "c++")) is None:
        missing.append(f"a C++ compiler: {os.environ.get('CXX', 'c++')} is not on the PATH")
    return missing


def compiles(options):
    """Whether anything is built here."""
    return bool(options.pack) or not (options.prebuilt or (options.only and "build" not in options.only))


def describe_machine(options):
    """What is measured on; throws Missing with everything that is not there."""
    nvcc, gpu = find_toolkit("nvcc"), read_gpu()
    missing = [] if options.pack else missing_of_gpu(gpu)
    if compiles(options):
        missing += missing_of_compilers(nvcc)
    if missing:
        raise Missing("\n".join(f"  missing: {one}" for one in missing))
    release = re.search(r"release ([\d.]+)", output_of([nvcc, "--version"]) or "") if nvcc else None
    architecture = gpu["computeCapability"].replace(".", "") if gpu else "90"
    return {
        "gpu": gpu,
        "architecture": options.architecture or {"90": "90a"}.get(architecture, architecture),
        "toolkit": release.group(1) if release else "unknown",
        "nvcc": nvcc,
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "commit": output_of(["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12",
                             "--exclude=*"]) or "unknown",
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
    }
