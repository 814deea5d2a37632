// Loads the models, serves, and on SIGTERM or SIGINT lets running requests finish before it ends.
import { chain, createSession, T5Model } from './speccascade.js';
import { buildApp } from './app.js';
import { readSettings } from './settings.js';

const settings = readSettings(process.env);
const target = await T5Model.load(settings.model);
const drafter = await T5Model.load(settings.draftModel);
const { maxBatch, maxQueue, maxInputTokens, maxNewTokens } = settings;
const draft = chain(drafter, { length: 4 });
const session = await createSession({
  target,
  draft,
  maxBatch,
  maxQueue,
  maxInputTokens,
  maxNewTokens,
});
const { app, requests } = buildApp(session, settings);

let stopping = false;
async function stop() {
  if (stopping) return;
  stopping = true;
  // Answers 503 to newcomers, and to GET /health, while the running ones finish.
  await requests.stop(settings.graceMs);
  await app.close();
  await session.close();
  console.log('stopped');
}
process.on('SIGTERM', stop);
process.on('SIGINT', stop);

console.log(`listening on ${await app.listen({ host: settings.host, port: settings.port })}`);
