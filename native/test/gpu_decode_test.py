"""gpu_decode over plans of the bundled models, on the CPU: tokens as models/*/golden.json.gz has them.

  gpu_decode_test.py PROGRAM FOLDER     FOLDER: where plans are written
"""

import gzip
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
sys.dont_write_bytecode = True

from gpu_check.plan import write_plan  # noqa: E402

METHODS = {
    "alone": [],
    "chain": ["--method", "chain", "--widths", "1,1,1"],
    "tree": ["--method", "tree", "--widths", "2,2"],
    "cascade": ["--method", "cascade", "--lengths", "3,1,0,2", "--copies", "yes"],
}


def main():
    program, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    cases = json.loads(gzip.decompress((ROOT / "models" / "base" / "golden.json.gz").read_bytes()))["cases"][:6]
    plan = folder / "bundled.plan"
    write_plan(plan, [ROOT / "models" / name for name in ("base", "small")],
               [case["inputIds"] for case in cases])
    common = ["--device", "cpu", "--dtype", "f32", "--batch", "3", "--max-new", "128",
              "--repeats", "1", "--outputs", "yes"]
    for name, method in METHODS.items():
        done = subprocess.run([program, str(plan), *common, *method], capture_output=True, text=True,
                              check=False)
        if done.returncode != 0:
            sys.exit(f"{name}: exit code {done.returncode}\n{done.stderr}")
        result = json.loads(done.stdout)
        for case, output in zip(cases, result["outputs"], strict=True):
            if output != case["tokens"]:
                sys.exit(f"{name}: {case['text']}: {output}, not {case['tokens']}")
        assert result["tokens"] == sum(len(case["tokens"]) for case in cases)
        assert result["tokensPerSecond"] > 0
        assert (result["tokensPerCall"] > 1) == (name != "alone"), result["tokensPerCall"]
    wrong = folder / "wrong.plan"
    for text, expected in (("model\nconfig d_model x\n", "line 2: no value"),
                           ("tensor a\n", "before any model"), ("model\n", "no input")):
        wrong.write_text(text)
        done = subprocess.run([program, str(wrong), "--device", "cpu"], capture_output=True, text=True,
                              check=False)
        assert done.returncode == 1 and expected in done.stderr, done
    print("plans of the bundled models: tokens as the reference has them")


main()
