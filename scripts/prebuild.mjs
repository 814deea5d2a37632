#!/usr/bin/env node
// Makes prebuilds/ with prebuildify. prebuildify wants a node-gyp to run; this file is that
// program too (when called with "rebuild"), since the build needs no Node headers and so nothing
// that node-gyp would fetch. binding.gyp stays for those who run the real one.
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const self = fileURLToPath(import.meta.url);
const root = path.resolve(path.dirname(self), '..');
const asNodeGyp = process.argv[2] === 'rebuild';

function run(file, args, env) {
  const { status } = spawnSync(process.execPath, [file, ...args], {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...env },
  });
  if (status !== 0) process.exit(status ?? 1);
}

if (asNodeGyp) {
  const config = process.argv.includes('--debug') ? 'Debug' : 'Release';
  run(path.join(root, 'scripts', 'build-native.mjs'), ['--config', config]);
} else {
  const prebuildify = path.join(
    path.dirname(createRequire(import.meta.url).resolve('prebuildify/package.json')),
    'bin.js',
  );
  rmSync(path.join(root, 'prebuilds', `${process.platform}-${process.arch}`), {
    recursive: true,
    force: true,
  });
  const target = `--target=${process.versions.node}`;
  run(prebuildify, ['--napi', '--strip', '--tag-libc', target, ...process.argv.slice(2)], {
    PREBUILD_NODE_GYP: self,
  });
}
