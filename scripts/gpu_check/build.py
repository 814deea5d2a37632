"""The programs that check a GPU: built here, or from an archive that another machine made."""

import json
import pathlib
import re
import shutil
import tarfile

from .machine import ROOT
from .outcome import Skipped

BENCHES = ("cuda_ceilings", "gpu_decode", "gpu_encoder", "gpu_passes", "gpu_speculation", "gpu_verify")
TESTS = "CTestTestfile.cmake"
ABOUT = "about.json"


def list_tests(build_dir):
    """The tests cuda_* by name, each with why it is skipped, or None."""
    if not (build_dir / TESTS).exists():
        raise Skipped(f"{build_dir} holds no build")
    line = r'^add_test\(\W*(cuda_\w+)\W.*?(?:"skipped: \w+ ([^"]*)")?\)$'
    return dict(re.findall(line, (build_dir / TESTS).read_text(), re.MULTILINE))


def compile_programs(runner):
    """Returns the programs' names."""
    (runner.build_dir / ABOUT).unlink(missing_ok=True)
    ninja = shutil.which("ninja") is not None
    runner.must("configure", [
        "cmake", "-S", str(ROOT), "-B", str(runner.build_dir), *(["-G", "Ninja"] if ninja else []),
        "-DCMAKE_BUILD_TYPE=Release", "-DSPECCASCADE_CUDA=ON", "-DSPECCASCADE_TESTS=ON",
        "-DSPECCASCADE_DEVICE_TESTS=ON", "-DSPECCASCADE_BENCH=ON",
        f"-DCMAKE_CUDA_COMPILER={runner.machine['nvcc']}",
        f"-DCMAKE_CUDA_ARCHITECTURES={runner.machine['architecture']}-real",
    ], 300)
    tests = list_tests(runner.build_dir)
    programs = [*BENCHES, *(name for name, reason in tests.items() if not reason)]
    for name in programs:  # one that does not compile must not be an older one
        (runner.build_dir / name).unlink(missing_ok=True)
    # A program that does not compile must not cost the others.
    runner.must("build", [
        "cmake", "--build", str(runner.build_dir), "-j", str(runner.options.jobs),
        "--target", *programs, "--", *(["-k", "0"] if ninja else ["-k"]),
    ], 3000)
    return programs


def pack(runner):
    """Builds, and writes the archive."""
    pathlib.Path(runner.options.pack).parent.mkdir(parents=True, exist_ok=True)
    programs = compile_programs(runner)
    folder = runner.build_dir / "packed"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in programs:
        runner.must("strip", ["strip", "-o", str(folder / name), str(runner.build_dir / name)], 60)
    shutil.copy(runner.build_dir / TESTS, folder)
    about = {key: runner.machine[key] for key in ("architecture", "commit", "toolkit")}
    (folder / ABOUT).write_text(json.dumps(about))
    # Each program holds the whole core: a window of 64 MiB finds it in the one before.
    with tarfile.open(runner.options.pack, "w:xz", preset=9) as archive:
        archive.add(folder, ".")


def describe_programs(runner):
    """The commit and toolkit of programs that an archive brought."""
    about = runner.build_dir / ABOUT
    if about.exists():
        runner.machine.update(json.loads(about.read_text()))


def build(runner, counts):
    if runner.options.prebuilt is None:
        compile_programs(runner)
        return f"sm_{runner.machine['architecture']}"
    shutil.unpack_archive(runner.options.prebuilt, runner.build_dir)
    describe_programs(runner)
    return f"sm_{runner.machine['architecture']}, built elsewhere"
