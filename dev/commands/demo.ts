import { silentLog } from "#shared/log";
import { pause } from "#shared/resilience";
import { useTls } from "#shared/tls";
import { type Command, DATA_OPTION, UsageError } from "../command.ts";
import { openEnds } from "../demo/follow.ts";
import { type Demo, type Step, STEPS } from "../demo/steps.ts";
import { dataDirectory } from "../paths.ts";
import { liveState } from "../state.ts";
import { duration, type Paint, paintFor } from "../terminal.ts";

const EXIT_FAILED = 1;
/** Between two rounds (ms). */
const PAUSE_MS = 500;

export const demo: Command = {
  name: "demo",
  summary: "send one request of each kind, and follow each to its end",
  details: "Exit codes: 0 all steps of all rounds succeeded, 1 one failed or the platform is not up.",
  options: {
    loop: { type: "boolean", about: "again and again, until Ctrl-C; failures are counted, not the end" },
    count: { type: "string", value: "N", about: "so many rounds (default 1)" },
    data: DATA_OPTION,
  },
  async run(args) {
    const rounds = args.flag("loop") ? Number.POSITIVE_INFINITY : countOf(args.text("count"));
    const state = liveState(dataDirectory(args.text("data")));
    if (state === undefined) {
      process.stderr.write("The platform is not up. Start it in another terminal: bun run up\n");
      return EXIT_FAILED;
    }
    if (state.tls !== undefined) useTls(state.tls, silentLog);
    const { broker } = state.services;
    const { mongodb } = state.backing;
    if (broker === undefined) {
      process.stderr.write("The platform is still starting; see bun run status.\n");
      return EXIT_FAILED;
    }
    if (mongodb === undefined) {
      process.stderr.write(
        "The platform runs without MongoDB: what is logged can't be followed. See bun run status.\n",
      );
      return EXIT_FAILED;
    }
    const inboxUrl = state.backing.smtp?.web;
    const stop = new AbortController();
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => stop.abort());
    const { signal } = stop;
    await using ends = openEnds(mongodb.url, inboxUrl, signal);
    const saw = (what: string) => process.stdout.write(`    ${what}\n`);
    const demonstration: Demo = { brokerUrl: broker.url, ends, hasInbox: inboxUrl !== undefined, saw, signal };

    const paint = paintFor(process.stdout);
    let [failed, done] = [0, 0];
    for (let round = 1; round <= rounds && !signal.aborted; round += 1) {
      if (rounds > 1) process.stdout.write(`${paint.bold(`Round ${round}`)}\n`);
      for (const step of STEPS) {
        const succeeded = await runStep(step, demonstration, paint);
        if (signal.aborted) break;
        done += 1;
        if (!succeeded) failed += 1;
      }
      if (round < rounds) await pause(PAUSE_MS, signal);
    }
    const verdict = `${done - failed} of ${done} steps succeeded`;
    process.stdout.write(`${failed === 0 ? paint.green(verdict) : paint.red(verdict)}\n`);
    return failed === 0 ? 0 : EXIT_FAILED;
  },
};

/** Does one step and tells how it went; gives whether it succeeded. */
async function runStep(step: Step, demonstration: Demo, paint: Paint): Promise<boolean> {
  const began = performance.now();
  const took = () => duration(performance.now() - began);
  process.stdout.write(`${step.title}\n`);
  try {
    await step.run(demonstration);
    process.stdout.write(`  ${paint.green("✔")} ${took()}\n`);
    return true;
  } catch (error) {
    const why = demonstration.signal.aborted ? "stopped" : error instanceof Error ? error.message : String(error);
    process.stdout.write(`  ${paint.red("✘")} ${why} (${took()})\n`);
    return false;
  }
}

function countOf(text: string | undefined): number {
  if (text === undefined) return 1;
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new UsageError(`--count is a number from 1, not "${text}"`);
  return Number(text);
}
