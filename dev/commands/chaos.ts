import { CHAOS_FAULTS, CHAOS_RATE, CHAOS_SECONDS, ChaosExperiment, ChaosOverview, ChaosReport } from "#contracts/chaos";
import { Envelope } from "#contracts/envelope";
import { SERVICE_KEY_HEADER } from "#contracts/headers";
import { makeValidator, type Validator } from "#shared/validation";
import { markdownOf } from "../chaos/reports.ts";
import { type Arguments, type Command, CommandError, DATA_OPTION, UsageError } from "../command.ts";
import { dataDirectory } from "../paths.ts";
import { type ChaosAddress, liveState } from "../state.ts";
import { makeLive, paintFor, table } from "../terminal.ts";

const EXIT_LOST = 1;
const ASK_MS = 5_000;
const LOOK_EVERY_MS = 500;

const envelopeOf = makeValidator(Envelope);
const overviewOf = makeValidator(ChaosOverview);
const experimentOf = makeValidator(ChaosExperiment);
const reportOf = makeValidator(ChaosReport);

export const chaos: Command = {
  name: "chaos",
  words: "[suite | <fault> <part> | report <id>]",
  maxWords: 2,
  summary: "break a part of the running platform under load, heal it, and count what was accepted",
  details: `Without a word: what can be broken, and the reports of before. The same is in the console: Break it.
Faults: ${CHAOS_FAULTS.join(", ")}. Ctrl-C stops the experiment: it is healed and counted.
Exit codes: 0 nothing was lost, 1 something was, or it could not be counted, 2 it makes no sense.`,
  options: {
    seconds: { type: "string", value: "N", about: `how long the fault lasts, 1 to 60 (default ${CHAOS_SECONDS})` },
    rate: { type: "string", value: "N", about: `requests a second, 1 to 200 (default ${CHAOS_RATE})` },
    data: DATA_OPTION,
  },
  async run(args) {
    const at = liveState(dataDirectory(args.text("data")));
    if (at === undefined) throw new CommandError("No platform runs here: bun run up starts it");
    if (at.chaos === undefined)
      throw new CommandError("This platform can't be broken: it was started with --direct, or for production");
    const [first, second] = args.words;
    if (first === undefined) return list(at.chaos);
    if (first === "report") return report(at.chaos, second ?? "");
    return experiment(at.chaos, args);
  },
};

function number(args: Arguments, name: string): Record<string, number> {
  const text = args.text(name);
  if (text === undefined) return {};
  const value = Number(text);
  if (text === "" || Number.isNaN(value)) throw new UsageError(`--${name} is a number, not "${text}"`);
  return { [name]: value };
}

async function ask<T>(at: ChaosAddress, method: string, path: string, check: Validator<T>, body?: unknown): Promise<T> {
  const answer = await fetch(`${at.url}${path}`, {
    method,
    headers: { "content-type": "application/json", [SERVICE_KEY_HEADER]: at.token },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(ASK_MS),
  });
  const envelope = envelopeOf(await answer.json());
  if (!envelope.ok) throw new CommandError(`The controller answered ${answer.status}, and nothing that makes sense`);
  if (!answer.ok) throw new CommandError(envelope.value.message);
  const checked = check(envelope.value.data);
  if (!checked.ok) throw new CommandError(`The controller is of another version: ${checked.error.message}`);
  return checked.value;
}

async function list(at: ChaosAddress): Promise<number> {
  const { parts, reports, running } = await ask(at, "GET", "/", overviewOf);
  const paint = paintFor(process.stdout);
  const rows = parts.map(({ name, state, offers }) => [name, state, offers.map(({ fault }) => fault).join(" ")]);
  process.stdout.write(`${table(["part", "state", "faults"], rows, paint)}\n`);
  if (running !== null) process.stdout.write(`\nUnder way: ${running.fault} of ${running.part}: ${running.says}\n`);
  if (reports.length === 0) return 0;
  const past = reports.map((one) => [
    one.started_at,
    one.id,
    one.title,
    one.outcome,
    `${one.accepted} accepted, ${one.lost} lost, ${one.twice} twice`,
  ]);
  process.stdout.write(`\n${table(["when", "report", "what", "outcome", "verdict"], past, paint)}\n`);
  return 0;
}

async function report(at: ChaosAddress, id: string): Promise<number> {
  process.stdout.write(markdownOf(await ask(at, "GET", `/reports/${encodeURIComponent(id)}`, reportOf)));
  return 0;
}

async function experiment(at: ChaosAddress, args: Arguments): Promise<number> {
  const [fault, part] = args.words;
  if (fault !== "suite" && part === undefined) throw new UsageError(`${fault} of which part?`);
  const what = fault === "suite" ? { suite: true } : { fault, part };
  const body = { ...what, ...number(args, "seconds"), ...number(args, "rate") };
  let shown = await ask(at, "POST", "/experiments", experimentOf, body);
  const path = `/experiments/${shown.id}`;
  const stop = new AbortController();
  process.once("SIGINT", () => stop.abort());
  const live = makeLive(process.stderr);
  let isStopped = false;
  while (shown.ended_at === undefined) {
    const { number: step, of } = shown.step;
    live.doing(
      `${shown.fault} of ${shown.part}`,
      `${of > 1 ? `${step} of ${of}: ` : ""}${shown.says}; ${shown.counters.accepted} accepted`,
    );
    await Bun.sleep(LOOK_EVERY_MS);
    if (stop.signal.aborted && !isStopped) {
      isStopped = true;
      await ask(at, "DELETE", path, experimentOf);
    }
    shown = await ask(at, "GET", path, experimentOf);
  }
  live.close();
  const done = await ask(at, "GET", `/reports/${shown.id}`, reportOf);
  process.stdout.write(markdownOf(done));
  const { verdict, outcome } = done;
  const isWell =
    verdict !== undefined &&
    outcome !== "failed" &&
    verdict.lost.count + verdict.twice.count + verdict.altered.count === 0;
  return isWell ? 0 : EXIT_LOST;
}
