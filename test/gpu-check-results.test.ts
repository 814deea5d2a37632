// The tables of scripts/gpu-check, from programs that pretend to have measured a GPU, and what
// becomes of results when it runs again.
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';

import {
  CEILINGS,
  VERIFICATION,
  benches,
  gpuCheck,
  machine,
  noPython,
  type Written,
  written,
} from './support/gpu-check.ts';
import { readJson } from './support/models.ts';

/** Benches of passes and of speculation that print what they are asked for. */
function stepBenches(build: string): void {
  const pass = (rows: number, ms: number) =>
    `{"rows": ${rows}, "medianMs": ${ms}, "minMs": ${ms}, "bytes": 2e9}`;
  const overlap = `'$([ $7 = yes ] && echo true || echo false)'`;
  const step =
    `{"shape": "'$1'", "dtype": "'$3'", "executor": "'$5'", "overlap": ${overlap}, "layers": 24, ` +
    // Of a batch the same arguments say these.
    `"sequences": "'$3'", "source": "'$7'", ` +
    `"phases": '$phases', "passes": [${pass(1, 1)}, ${pass(8, 1.05)}]}`;
  const decoding =
    `{"target": "'$1'", "drafter": "'$2'", "dtype": "bf16", "executor": "'$4'", "gamma": 7, ` +
    '"accepted": 0.99, "tokensPerStep": 8.9, "speedup": 4.5, "predicted": 5, ' +
    `"draftedTokenMs": 0.3, "draftedBytes": 4e8, "phases": '$phases'}`;
  // One kernel alone has phases.
  for (const [name, executor, phases, line] of [
    ['gpu_passes', '$5', 194, step],
    ['gpu_speculation', '$4', 97, decoding],
  ] as const) {
    const body = `phases=0\n[ ${executor} = persistent ] && phases=${phases}\necho '${line}'\n`;
    writeFileSync(path.join(build, name), `#!/bin/sh\n${body}`, { mode: 0o755 });
  }
}

describe.skipIf(noPython !== '')(`results of gpu-check${noPython}`, () => {
  it('puts what benches measured beside ceilings and what is asked', () => {
    const { folder, build } = machine();
    const encoder =
      `{"shape": "'$1'", "rows": 2048, "flops": 4e12, "ms": 10, "cublasLtMs": 6, ` +
      '"attentionMs": 0.0944, "note": "cuBLASLt 13"}';
    benches(build, {
      gpu_encoder: encoder,
      cuda_ceilings: CEILINGS,
      gpu_verify: VERIFICATION,
    });
    stepBenches(build);
    const measured = ['passes', 'batch', 'verification', 'encoder', 'speculation'];
    const parts = [...measured, 'trained', 'transformers'];
    const only = parts.flatMap((part) => ['--only', part]);
    const { status, stdout, results } = gpuCheck(folder, ...only, '--shape', 'xl');
    expect(stdout).toContain('speculation: ok');
    expect(stdout).toContain('encoder: ok');
    // No torch, or one that sees no GPU.
    for (const part of ['trained', 'transformers']) {
      expect(stdout).toMatch(
        new RegExp(`${part}: skipped .*(No module named|sees no GPU|is not built)`),
      );
    }
    expect(status).toBe(0);
    const { lines } = written(results);
    const passes = lines.filter((line) => /^\| \w+ \| (bf16|int8) \|/.test(line));
    expect(passes).toEqual([
      '| xl | bf16 | kernels |  | 2.000 | 1.000 | 50% | 75%, 85% | 1.05 |',
      '| xl | int8 | kernels |  | 2.000 | 1.000 | 50% |  | 1.05 |',
      '| xl | bf16 | one kernel | 8 | 2.000 | 1.000 | 50% | 75%, 85% | 1.05 |',
      '| xl | bf16 | kernels one by one |  | 2.000 | 1.000 | 50% | 75%, 85% | 1.05 |',
    ]);
    expect(lines).toContain('| xl | 32 | 512 | 8 | 1.000 | 1.050 | 1.05 | 48% |');
    expect(lines.join('\n')).toContain('86.0 MB at 4300 GB/s');
    expect(lines).toContain('| chow | 40.0 | 2.00 |');
    expect(lines).toContain('| xl | 10.000 | 400 | 6.000 | 60% | 0.094 |');
    // Both beside the barriers of the one that has phases.
    for (const how of ['kernels', 'one kernel']) {
      expect(lines).toContain(
        `| xl | small | ${how} | 0.990 | 8.90 | 4.50 | 5.00 | 90% | 300.0 | 1.5 |`,
      );
    }
  });

  it('measures what is asked for first', () => {
    const { folder, build } = machine();
    benches(build, { cuda_ceilings: CEILINGS });
    stepBenches(build);
    const { results } = gpuCheck(folder, '--only', 'passes', '--only', 'speculation');
    const [passes, speculation] = written(results).parts.map(
      ({ counts }) => counts.rows as Record<string, string | boolean>[],
    );
    expect(
      passes?.map(({ shape, dtype, executor, overlap }) =>
        [shape, dtype, executor, overlap].join(' '),
      ),
    ).toEqual([
      'xl bf16 kernels true',
      'xxl bf16 kernels true',
      'large bf16 kernels true',
      'xl int8 kernels true',
      'xxl int8 kernels true',
      'large int8 kernels true',
      'small bf16 kernels true',
      'base bf16 kernels true',
      'small bf16 persistent true',
      'xl bf16 persistent true',
      'xl bf16 kernels false',
    ]);
    expect(speculation?.map(({ target, executor }) => [target, executor].join(' '))).toEqual([
      'xxl kernels',
      'xl kernels',
      'large kernels',
      'large persistent',
    ]);
  });

  it('shows a case of verification that is wrong, and the others', () => {
    const { folder, build } = machine();
    const wrong = VERIFICATION.replace('}', ', "problem": "sequence 0 accepted 1 of 8"}');
    benches(build, { cuda_ceilings: CEILINGS });
    const body = `echo '${wrong}'\necho '${VERIFICATION.replace('chow', 'opt')}'\nexit 1\n`;
    writeFileSync(path.join(build, 'gpu_verify'), `#!/bin/sh\n${body}`, { mode: 0o755 });
    const { status, results } = gpuCheck(folder, '--only', 'verification');
    expect(status).toBe(1);
    const { lines } = written(results);
    expect(lines).toContain('| chow | failed: sequence 0 accepted 1 of 8 | |');
    expect(lines).toContain('| opt | 40.0 | 2.00 |');
  });

  it('keeps what earlier commands wrote of the same machine and commit', () => {
    const { folder, build } = machine();
    const opt = VERIFICATION.replace('chow', 'opt');
    benches(build, { cuda_ceilings: CEILINGS, gpu_verify: `${VERIFICATION}\n${opt}` });
    gpuCheck(folder, '--only', 'ceilings', '--only', 'verification', '--only', 'node');
    benches(build, { cuda_ceilings: CEILINGS.replace('4000', '4001') });
    // One that is cut short does not replace what measured more.
    for (const first of ['', `echo '${opt.replace('40', '44')}'\n`]) {
      const body = `#!/bin/sh\n${first}exec /bin/sleep 600\n`;
      writeFileSync(path.join(build, 'gpu_verify'), body, { mode: 0o755 });
      gpuCheck(folder, '--only', 'verification', '--seconds', '2');
    }
    const { results } = gpuCheck(folder, '--only', 'ceilings', '--only', 'encoder');
    const both = written(results);
    expect(both.parts.map(({ name, state }) => [name, state])).toEqual([
      ['node', 'skipped'],
      ['ceilings', 'ok'],
      ['verification', 'ok'],
      ['encoder', 'skipped'],
    ]);
    expect(both.parts[1]?.counts).toMatchObject({ copyGBps: 4001 });
    expect(both.lines).toContain('| chow | 40.0 | 2.00 |');
    expect(both.lines).toContain('| opt | 40.0 | 2.00 |');

    // Elsewhere, as where the first command's files were taken away.
    const elsewhere = path.join(folder, 'elsewhere');
    const merge = ['--only', 'sessions', '--out', elsewhere, '--merge', both.json];
    expect(gpuCheck(folder, ...merge).stdout).not.toContain('not merged');
    expect(written(elsewhere).parts.map(({ name }) => name)).toEqual([
      'node',
      'ceilings',
      'verification',
      'encoder',
      'sessions',
    ]);

    // Of another commit: neither merged nor overwritten.
    writeFileSync(path.join(folder, 'git'), '#!/bin/sh\necho ba9876543210\n');
    const { stdout } = gpuCheck(folder, ...merge);
    expect(stdout).toContain(`not merged: ${both.json} differs in commit`);
    expect(readdirSync(elsewhere)).toHaveLength(4);
    const other = readdirSync(elsewhere).find((name) => name.endsWith('-2.json')) ?? '';
    const { parts } = JSON.parse(readFileSync(path.join(elsewhere, other), 'utf8')) as Written;
    expect(parts.map(({ name }) => name)).toEqual(['sessions']);
  });

  it('tells of programs that an archive brought where they come from', () => {
    const { folder, build } = machine();
    benches(build, { cuda_ceilings: CEILINGS });
    const about = { architecture: '90a', commit: 'fedcba987654', toolkit: '13.0' };
    writeFileSync(path.join(build, 'about.json'), JSON.stringify(about));
    const { results } = gpuCheck(folder, '--only', 'ceilings');
    expect(written(results).machine).toMatchObject(about);
  });

  it('counts the vectors that Node compared, and none where it found no GPU', () => {
    const vectors = (output: string, status: number) => {
      const { folder } = machine();
      const node = path.join(folder, 'node');
      const body = `#!/bin/sh\n[ "$1" = --version ] && echo v20.0.0 && exit\n${output}exit ${status}\n`;
      writeFileSync(node, body, { mode: 0o755 });
      const { results } = gpuCheck(folder, '--only', 'node', '--node', node);
      const { state, detail, counts } = written(results).parts[0]!;
      return { state, detail, counts };
    };
    const rows =
      "echo 'pi          float        8/9       1.0e-7  1 skipped: double is of the CPU'\n";
    const none = "echo 'pi           9 skipped: no CUDA device'\n";
    expect(vectors(rows, 0)).toMatchObject({ state: 'ok', counts: { passed: 8, skipped: 1 } });
    expect(vectors(rows, 1)).toMatchObject({ state: 'failed' });
    expect(vectors('', 0)).toMatchObject({ state: 'failed' });
    const skipped = {
      state: 'skipped',
      detail: 'Node v20.0.0: pi           9 skipped: no CUDA device',
    };
    expect(vectors(none, 0)).toMatchObject(skipped);
  });

  it('looks at --merge before it spends time', () => {
    const { folder } = machine();
    const { status, stderr } = gpuCheck(folder, '--only', 'node', '--merge', '/no/such.json');
    expect(stderr).toContain('missing: results in /no/such.json');
    expect(status).toBe(2);
  });

  describe('beside transformers', () => {
    const run = '{"tokens": 100, "tokensPerSecond": 50, "leastSeconds": 1.9, "mostSeconds": 2.1, ';
    const outputs = '"acceptance": 0.9, "outputs": [[5], [6], [7], [8]]}';

    /** Rows of the bundled pair, with a torch that does this when transformers' side imports it. */
    function beside(torch: string) {
      const { folder, build } = machine();
      benches(build, { gpu_decode: run + outputs });
      const packages = path.join(folder, 'packages');
      mkdirSync(packages);
      const gpu = 'class cuda:\n    is_available = staticmethod(lambda: True)\n';
      const its = `import sys\n${gpu}if sys.argv[0].endswith("torch_gpu.py"):\n    ${torch}\n`;
      writeFileSync(path.join(packages, 'torch.py'), its);
      for (const name of ['transformers', 'safetensors']) {
        writeFileSync(path.join(packages, `${name}.py`), '');
      }
      // No widened target is of that shape.
      const { results } = gpuCheck(folder, '--only', 'transformers', '--shape', 'xxl');
      const { lines, parts } = written(results);
      const rows = lines.filter((line) => /^(\| bundled|- bundled)/.test(line));
      return { rows, state: parts[0]?.state };
    }

    const theirs = (how: string, rate: number) =>
      `{"batch": 1, "how": "${how}", "tokensPerSecond": ${rate}, "range": [9, 11], ` +
      '"outputs": [[5], [6], [7], [9]]}';
    const print = (...lines: string[]) =>
      `print(${lines.map((line) => `'${line}'`).join(', ')}, sep='\\n')`;

    it('puts a drafter beside their assisted generation', () => {
      const side = print(theirs('dynamic cache', 20), theirs('assisted', 10));
      const { rows, state } = beside(`${side}; sys.exit()`);
      expect(state).toBe('ok');
      expect(rows).toEqual([
        '| bundled | 1 | dynamic cache | 20 (9-11) | autoregressive | 50 (48-53) | 2.50 | 3 of 4 |',
        '| bundled | 1 | assisted | 10 (9-11) | chain of 4 | 50 (48-53) | 5.00 | 3 of 4 |',
        '| bundled | 64 | not measured |  | autoregressive | 50 (48-53) |  |  |',
      ]);
    });

    it('says why there is none, and how far they came', () => {
      const note = print(
        '{"note": "batch 1, assisted: TypeError: none"}',
        theirs('dynamic cache', 20),
      );
      const [, chain, , ...notes] = beside(`${note}; sys.exit(3)`).rows;
      expect(chain).toContain('| dynamic cache | 20 (9-11) | chain of 4 |');
      expect(notes).toEqual([
        '- bundled: batch 1, assisted: TypeError: none',
        '- bundled: transformers did not come beyond: dynamic cache x 1',
      ]);
      const { rows, state } = beside('raise OSError("no libcudart")');
      expect(state).toBe('stopped'); // nothing stands beside ours
      expect(rows.at(-1)).toMatch(
        /^- bundled: transformers did not come beyond: importing \(\d.\d s\); OSError: no libcudart$/,
      );
    });
  });
});

const torch = spawnSync('python3', ['-c', 'import torch, transformers'], { encoding: 'utf8' });
const noTorch = torch.status === 0 ? '' : ' (skipped: this python3 has no torch and transformers)';

describe.skipIf(noTorch !== '')(`transformers${noTorch}`, () => {
  // Of `base`, the decoder has fewer layers than the encoder.
  it('decodes with a drafter of fewer decoder layers', { timeout: 300_000 }, () => {
    const models = path.join(import.meta.dirname, '..', 'models');
    const golden = readJson(path.join(models, 'large', 'golden.json.gz')) as {
      cases: { inputIds: number[] }[];
    };
    const request = {
      target: path.join(models, 'large'),
      drafter: path.join(models, 'base'),
      inputs: golden.cases.slice(0, 1).map(({ inputIds }) => inputIds),
      batches: [],
      one_by_one: 1,
      max_new_tokens: 8,
      repeats: 1,
      device: 'cpu',
    };
    const side = path.join(import.meta.dirname, '..', 'scripts', 'bench', 'torch_gpu.py');
    const { stdout } = spawnSync('python3', [side], {
      encoding: 'utf8',
      input: JSON.stringify(request),
    });
    expect(stdout).not.toContain('"note"');
    expect(stdout).toContain('"how": "assisted"');
  });
});
