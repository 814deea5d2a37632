/**
 * Copies TypeScript modules with a counter in every branch, so that a fuzzer sees which way an
 * input went. The copies run as they are: same statements, same order.
 */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import ts from 'typescript';

export interface Instrumented {
  /** Module namespaces in the order of the files asked for. */
  modules: unknown[];
  /** How often each branch was taken; whoever reads them sets them to 0. */
  counters: Uint32Array;
}

/** Name under which the copies find their counters. */
const global = '__branchCounters';
const maxBranches = 4096;

const copies = new Map<string, Promise<Instrumented>>();

/**
 * The modules at these paths (relative to lib/), and what they import, with counters. One copy per
 * process and set of files.
 */
export function instrument(files: readonly string[]): Promise<Instrumented> {
  const key = files.join();
  const found = copies.get(key) ?? copyOf(files);
  copies.set(key, found);
  return found;
}

async function copyOf(files: readonly string[]): Promise<Instrumented> {
  const lib = path.resolve(import.meta.dirname, '../../../lib');
  const folder = await mkdtemp(path.join(tmpdir(), 'speccascade-fuzz-'));
  try {
    const branches = { count: 0 };
    const queue = [...files];
    for (const file of queue) {
      const source = await readFile(path.join(lib, file), 'utf8');
      const copy = path.join(folder, file.replace(/\.ts$/, '.js'));
      await mkdir(path.dirname(copy), { recursive: true });
      await writeFile(copy, withCounters(source, file, branches));
      for (const next of importsOf(source, file)) if (!queue.includes(next)) queue.push(next);
    }
    await writeFile(path.join(folder, 'package.json'), '{"type": "module"}');
    const counters = new Uint32Array(branches.count);
    Object.assign(globalThis, { [global]: counters });
    const modules: unknown[] = [];
    for (const file of files) {
      const { href } = pathToFileURL(path.join(folder, file.replace(/\.ts$/, '.js')));
      modules.push(await import(/* @vite-ignore */ href));
    }
    return { modules, counters };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Relative imports that are more than types. */
function importsOf(source: string, file: string): string[] {
  const { importedFiles } = ts.preProcessFile(transpile(source, []), true, true);
  return importedFiles
    .filter(({ fileName }) => fileName.startsWith('.'))
    .map(({ fileName }) => path.posix.join(path.posix.dirname(file), fileName))
    .map((name) => name.replace(/\.js$/, '.ts'));
}

function transpile(source: string, before: ts.TransformerFactory<ts.SourceFile>[]): string {
  return ts.transpileModule(source, {
    compilerOptions: {
      target: ts.ScriptTarget.ES2023,
      module: ts.ModuleKind.ESNext,
      verbatimModuleSyntax: true,
      rewriteRelativeImportExtensions: true,
    },
    transformers: { before },
  }).outputText;
}

function withCounters(source: string, file: string, branches: { count: number }): string {
  const code = transpile(source, [
    (context) => (root) => ts.visitNode(root, counting(context, branches)) as ts.SourceFile,
  ]);
  if (branches.count > maxBranches) throw new Error(`${file}: more than ${maxBranches} branches`);
  return `const __c = globalThis.${global};\n${code}`;
}

/** A visitor that puts `__c[n]++` before whatever runs only sometimes. */
function counting(context: ts.TransformationContext, branches: { count: number }): ts.Visitor {
  const { factory } = context;
  const hit = () =>
    factory.createPostfixIncrement(
      factory.createElementAccessExpression(
        factory.createIdentifier('__c'),
        factory.createNumericLiteral(branches.count++),
      ),
    );
  const counted = (expression: ts.Expression) =>
    factory.createParenthesizedExpression(factory.createComma(hit(), expression));
  const statement = (body: ts.Statement) =>
    ts.isBlock(body)
      ? factory.updateBlock(body, [factory.createExpressionStatement(hit()), ...body.statements])
      : factory.createBlock([factory.createExpressionStatement(hit()), body], true);
  const lazy = new Set([
    ts.SyntaxKind.AmpersandAmpersandToken,
    ts.SyntaxKind.BarBarToken,
    ts.SyntaxKind.QuestionQuestionToken,
  ]);

  const visit: ts.Visitor = (original) => {
    const node = ts.visitEachChild(original, visit, context);
    if (ts.isIfStatement(node)) {
      const otherwise = statement(node.elseStatement ?? factory.createBlock([]));
      return factory.updateIfStatement(
        node,
        node.expression,
        statement(node.thenStatement),
        otherwise,
      );
    }
    if (ts.isForOfStatement(node)) {
      const { awaitModifier, initializer, expression } = node;
      const body = statement(node.statement);
      return factory.updateForOfStatement(node, awaitModifier, initializer, expression, body);
    }
    if (ts.isForStatement(node)) {
      const { initializer, condition, incrementor } = node;
      const body = statement(node.statement);
      return factory.updateForStatement(node, initializer, condition, incrementor, body);
    }
    if (ts.isWhileStatement(node)) {
      return factory.updateWhileStatement(node, node.expression, statement(node.statement));
    }
    if (ts.isCatchClause(node)) {
      return factory.updateCatchClause(node, node.variableDeclaration, statement(node.block));
    }
    if (ts.isBlock(node) && ts.isFunctionLike(original.parent)) return statement(node);
    if (ts.isConditionalExpression(node)) {
      const { condition, questionToken, colonToken } = node;
      const yes = counted(node.whenTrue);
      const no = counted(node.whenFalse);
      return factory.updateConditionalExpression(
        node,
        condition,
        questionToken,
        yes,
        colonToken,
        no,
      );
    }
    if (ts.isBinaryExpression(node) && lazy.has(node.operatorToken.kind)) {
      const { left, operatorToken } = node;
      return factory.updateBinaryExpression(node, left, operatorToken, counted(node.right));
    }
    return node;
  };
  return visit;
}
