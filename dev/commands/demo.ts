import { type Command, DATA_OPTION, UsageError } from "../command.ts";
import { openEnds } from "../demo/follow.ts";
import { type Demo, STEPS } from "../demo/steps.ts";
import { dataDirectory } from "../paths.ts";
import { liveState } from "../state.ts";
import { duration, paintFor } from "../terminal.ts";

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
    const broker = state?.services.broker;
    const mongodb = state?.backing.mongodb;
    if (state === undefined || broker === undefined) {
      process.stderr.write("The platform is not up. Start it in another terminal: bun run up\n");
      return EXIT_FAILED;
    }
    if (mongodb === undefined) {
      process.stderr.write(
        "The platform runs without MongoDB: what is logged can't be followed. See bun run status.\n",
      );
      return EXIT_FAILED;
    }
    const inboxUrl = state.backing.smtp?.web;
    await using ends = openEnds(mongodb.url, inboxUrl);
    let stopped = false;
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => (stopped = true));

    const paint = paintFor(process.stdout);
    const saw = (what: string) => process.stdout.write(`    ${what}\n`);
    let failed = 0;
    let done = 0;
    for (let round = 1; round <= rounds && !stopped; round += 1) {
      if (rounds > 1) process.stdout.write(`${paint.bold(`Round ${round}`)}\n`);
      const demonstration: Demo = { brokerUrl: broker.url, ends, hasInbox: inboxUrl !== undefined, saw };
      for (const step of STEPS) {
        if (stopped) break;
        const began = performance.now();
        process.stdout.write(`${step.title}\n`);
        try {
          await step.run(demonstration);
          process.stdout.write(`  ${paint.green("✔")} ${duration(performance.now() - began)}\n`);
        } catch (error) {
          failed += 1;
          const why = error instanceof Error ? error.message : String(error);
          process.stdout.write(`  ${paint.red("✘")} ${why} (${duration(performance.now() - began)})\n`);
        }
        done += 1;
      }
      if (round < rounds && !stopped) await Bun.sleep(PAUSE_MS);
    }
    const verdict = `${done - failed} of ${done} steps succeeded`;
    process.stdout.write(`${failed === 0 ? paint.green(verdict) : paint.red(verdict)}\n`);
    return failed === 0 ? 0 : EXIT_FAILED;
  },
};

function countOf(text: string | undefined): number {
  if (text === undefined) return 1;
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new UsageError(`--count is a number from 1, not "${text}"`);
  return Number(text);
}
