/** The soak: many clients at once against all scenes, until time or requests run out. */
import { setInterval } from 'node:timers';
import { setTimeout } from 'node:timers/promises';
import { Host, type Churn } from './host.ts';
import { MemoryLog, type MemoryTrend } from './memory.ts';
import { kinds, sendOne, type Outcomes } from './requests.ts';
import { prepareScenes } from './scenes.ts';
import { Watchdog } from './watchdog.ts';

export interface SoakOptions {
  /** It ends at whichever comes first. */
  minutes: number;
  requests: number;
  /** Requests per scene whose results are computed beforehand. */
  templates: number;
  /** Requests under way at once, at most. */
  clients: number;
  /** Requests sent per second, at most; Infinity: as fast as they are answered. */
  rate: number;
  /** A request, an opening of a session or the last ends that take longer fail the run. */
  settleSeconds: number;
  /** Called every ten seconds. */
  onProgress?: (report: SoakReport) => void;
}

export interface SoakReport extends Churn {
  seconds: number;
  sent: number;
  /** How many ended in each way; together as many as were sent. */
  outcomes: Outcomes;
  memory: MemoryTrend;
}

/** Throws at the first outcome that is not what it must be. */
export async function soak(options: SoakOptions, random: () => number): Promise<SoakReport> {
  const scenes = await prepareScenes(options.templates, random);
  const churn: Churn = { sessions: 0, abrupt: 0, loads: 0 };
  const watchdog = new Watchdog(options.settleSeconds);
  const hosts = scenes.map((scene) => new Host(scene, random, churn, watchdog));
  const outcomes = Object.fromEntries([...kinds, 'closed'].map((kind) => [kind, 0])) as Outcomes;
  const memory = new MemoryLog();
  const begin = performance.now();
  let sent = 0;
  let failed = false;
  const report = (): SoakReport => {
    const seconds = (performance.now() - begin) / 1000;
    return { seconds, sent, outcomes, ...churn, memory: memory.trend() };
  };
  const reading = setInterval(() => memory.read(), 100);
  const telling = setInterval(() => options.onProgress?.(report()), 10_000);

  const client = async (): Promise<void> => {
    const until = begin + options.minutes * 60_000;
    while (!failed && sent < options.requests && performance.now() < until) {
      const due = begin + (1000 * sent) / options.rate;
      sent += 1;
      const early = due - performance.now();
      if (early > 0) await setTimeout(early);
      const host = hosts[Math.floor(random() * hosts.length)]!;
      try {
        await host.use((lease) => sendOne(lease, host.scene, random, outcomes, watchdog));
      } catch (cause) {
        failed = true;
        throw new Error(`scene "${host.scene.name}"`, { cause });
      }
    }
  };
  try {
    await Promise.all(Array.from({ length: options.clients }, client));
    await Promise.all(hosts.map((host) => host.end()));
  } finally {
    clearInterval(reading);
    clearInterval(telling);
    watchdog.stop();
  }
  return report();
}
