/** Options of a method that mean nothing beside others: said before any model is loaded. */
import { wantedModels } from './draft-options.ts';
import { ruleOf, type MethodValues } from './method-options.ts';
import { UsageError } from './options.ts';

/** The rules that read an option. */
const readers = {
  alpha: ['lossy', 'chow', 'diff', 'opt', 'tokenV1', 'tokenV2', 'tokenV3'],
  beta: ['lossy'],
  loss: ['chow', 'diff', 'opt'],
  rollback: ['bild'],
  fallback: ['bild'],
} as const satisfies Partial<Record<keyof MethodValues, readonly string[]>>;

/** Options that say how drafts are made and tested. */
const ofDrafts = ['length', 'tree', 'nodes', 'lengths', 'adaptive'] as const;

/** Throws UsageError. `drafts`: whether there is a drafter, Max-Gram included. */
export function checkMethodOptions(values: MethodValues, drafts: boolean): void {
  wantedModels(values);
  checkRuleOptions(values);
  const { verifier, strategy } = values;
  if (!drafts) {
    const name = ofDrafts.find(
      (option) => values[option] !== undefined && values[option] !== false,
    );
    if (name !== undefined) throw new UsageError(`--${name} needs a drafter`);
    if (strategy !== 'speculative') throw new UsageError(`--strategy ${strategy} needs a drafter`);
    if (verifier !== 'auto' && verifier !== 'token') {
      throw new UsageError(`--verifier ${verifier} needs a drafter`);
    }
  } else if (strategy === 'speculative') {
    checkVerifier(values);
  } else {
    checkCascade(values);
  }
}

function checkRuleOptions(values: MethodValues): void {
  for (const [name, rules] of Object.entries(readers)) {
    const read = (rules as readonly string[]).includes(values.rule);
    if (read || values[name as keyof typeof readers] === undefined) continue;
    const list = rules.join(', ').replace(/, (\w+)$/, ' or $1');
    throw new UsageError(`--${name} is of --rule ${list}; the rule is ${values.rule}`);
  }
  if (values.fallback !== undefined && values.lengths !== undefined) {
    throw new UsageError('--fallback is of a drafter that drafts by itself, not of --lengths');
  }
  ruleOf(values);
}

function checkVerifier({ verifier, tree, nodes, replacement }: MethodValues): void {
  const widths = tree?.split(',').map(Number) ?? [];
  const branches = nodes !== undefined || widths.some((width) => width > 1);
  if (verifier === 'block' && branches) {
    throw new UsageError('--verifier block is of chains; trees take token or traversal');
  }
  if (verifier === 'traversal' && !branches) {
    throw new UsageError('--verifier traversal is of trees; chains take block');
  }
  if (verifier === 'k-seq' && !(tree !== undefined && replacement)) {
    throw new UsageError('--verifier k-seq is of --tree with --replacement');
  }
}

/** Of the strategies without speculation. */
function checkCascade(values: MethodValues): void {
  const { strategy, rule, verifier } = values;
  const shapes = ['tree', 'nodes', 'lengths', 'adaptive', 'max-gram'] as const;
  const shape = shapes.find((name) => values[name] !== undefined && values[name] !== false);
  if (shape !== undefined) {
    throw new UsageError(`--strategy ${strategy} takes a chain of one model: not --${shape}`);
  }
  if (verifier !== 'auto') {
    throw new UsageError(`--verifier ${verifier}: --strategy ${strategy} verifies nothing`);
  }
  if (strategy === 'token-cascade' && rule === 'lossless') {
    throw new UsageError('--strategy token-cascade needs a --rule that can keep the drafter');
  }
  if (strategy === 'sequence-cascade' && rule !== 'lossless') {
    throw new UsageError(`--rule ${rule}: --strategy sequence-cascade decides by --threshold`);
  }
}
