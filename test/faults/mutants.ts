/**
 * Mistakes that are planted on purpose, each in a copy of the code: a matrix that does not see them proves nothing.
 * A mutant is caught when a case misses its bar, or a test fails, in the copy.
 */
import { spawn } from "node:child_process";
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "../..");
const LEFT_OUT = new Set(["node_modules", ".git", ".data", "dist", "coverage"]);
/** Longest that the cases of one mutant may take (ms). */
const MUTANT_MS = 300_000;
const KILL_AFTER_MS = 20_000;

export interface Mutant {
  readonly name: string;
  readonly file: string;
  /** Occurs exactly once in the file. */
  readonly find: string;
  readonly replace: string;
  /** Cases that have to see it, in their short form, until one does. */
  readonly cases?: readonly string[];
  /** Tests that have to see it, where no case can. */
  readonly tests?: readonly string[];
}

export const MUTANTS: readonly Mutant[] = [
  {
    name: "the listener acknowledges before the logger has stored",
    file: "listener/handler.ts",
    find: "pipeline.push(itemOf(options.unwrap(message), settle), isSuspect);",
    replace: "pipeline.push(itemOf(options.unwrap(message), settle), isSuspect);\n        settle();",
    cases: ["F15b", "F13", "F14"],
  },
  {
    name: "the logger acknowledges before MongoDB has stored",
    file: "logger/group-commit.ts",
    find: "      return promise;\n    },\n    get waiting",
    replace:
      '      void promise;\n      return Promise.resolve({ ok: true, value: "stored" });\n    },\n    get waiting',
    cases: ["F5"],
  },
  {
    name: "the spool answers before it has written",
    file: "shared/spool/writer.ts",
    find: "    running ??= run();\n    return promise;",
    replace: "    running ??= run();\n    void promise;\n    return Promise.resolve(ok());",
    cases: ["F7", "F6"],
  },
  {
    // The page cache outlives the process: no kill -9 can tell. A disk of memory, which forgets what was not synced, can.
    name: "the spool answers before fdatasync",
    file: "shared/spool/writer.ts",
    find: "    await file.datasync();",
    replace: "    void file.datasync().catch(() => undefined);",
    tests: ["shared/spool/"],
  },
  {
    name: "the broker answers 202 before the spool has the entry",
    file: "broker/handle.ts",
    find: 'const spooled = await ports.spoolEntry(entry, context);\n    return spooled.ok ? ok("spooled") : spooled;',
    replace: 'void ports.spoolEntry(entry, context);\n    return ok("spooled");',
    cases: ["F7"],
  },
  {
    name: "what the spool hands on counts as delivered before it is",
    file: "shared/spool/forwarder.ts",
    find: 'outcomes = await deadline.bound(deliver(records, deadline.signal), "delivery from the spool");',
    replace:
      'void deliver(records, deadline.signal).catch(() => undefined);\n      outcomes = records.map(() => "delivered" as const);',
    cases: ["F6", "F6b"],
  },
  {
    name: "an entry that the logger did not answer for is queued under another id",
    file: "broker/clients.ts",
    find: "messageId: entry.event_id,",
    replace: "messageId: Bun.randomUUIDv7(),",
    cases: ["F2", "F1"],
  },
  {
    name: "a dead letter is acknowledged before it is confirmed",
    file: "listener/moving.ts",
    find: "    move(deadLetters, message.routingKey, message, identity, reason);",
    replace:
      "    move(deadLetters, message.routingKey, message, identity, reason).then(() => ok()) && Promise.resolve(ok());",
    cases: ["F12b"],
  },
  {
    name: "the outbox writes down that a mail is sent before the mail server has answered",
    file: "mail/outbox/outbox.ts",
    find: "return smtp.send({ from: sender, to: mail.recipient, bytes, trace }, beginContent, signal);",
    replace:
      'void smtp.send({ from: sender, to: mail.recipient, bytes, trace }, beginContent, signal);\n    return { ok: true, code: 250, text: "ok" };',
    cases: ["F19b"],
  },
];

/** Plants every mutant (or those whose name contains `only`) and tells which case caught it. @returns whether all were. */
export async function catchMutants(only: string | undefined, say: (line: string) => void): Promise<boolean> {
  const chosen = MUTANTS.filter(({ name }) => only === undefined || name.includes(only));
  if (chosen.length === 0) throw new RangeError(`no mutant's name contains "${only}"`);
  const giveUp = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => giveUp.abort());
  let caught = 0;
  for (const mutant of chosen) {
    if (giveUp.signal.aborted) return false;
    say(`       ${mutant.name} (${mutant.file})`);
    const by = await plant(mutant, giveUp.signal);
    if (by === undefined) say(`MISSED ${mutant.name}: nobody saw it`);
    else say(`caught by ${by.who}: ${mutant.name}\n${by.said.map((line) => `       ${line}`).join("\n")}`);
    if (by !== undefined) caught += 1;
  }
  say(`${caught} of ${chosen.length} mutants were caught.`);
  return caught === chosen.length;
}

interface Catch {
  readonly who: string;
  readonly said: readonly string[];
}

async function plant(mutant: Mutant, signal: AbortSignal): Promise<Catch | undefined> {
  const copy = await mkdtemp(join(tmpdir(), "platform-mutant-"));
  try {
    await cp(ROOT, copy, {
      recursive: true,
      filter: (path) => !LEFT_OUT.has(path.slice(ROOT.length + 1).split("/")[0] ?? ""),
    });
    await symlink(join(ROOT, "node_modules"), join(copy, "node_modules"));
    const file = join(copy, mutant.file);
    await writeFile(file, mutated(mutant, await readFile(file, "utf8")));
    const unfit: string[] = [];
    for (const id of mutant.cases ?? []) {
      const { code, output } = await bun(copy, ["test/faults/main.ts", "--short", `--only=${id}`, "--seed=1"], signal);
      const missed = output.split("\n").filter((line) => /^\s+- /.test(line));
      // A platform that does not even start is no proof that the mistake was seen.
      const seen = missed.filter((line) => !line.includes("could not be run"));
      if (code === 1 && seen.length > 0) return { who: id, said: seen.map((line) => line.trim()) };
      unfit.push(...missed);
    }
    if (unfit.length > 0) throw new Error(`${mutant.name}: ${unfit.join().trim()}`);
    for (const path of mutant.tests ?? []) {
      const { code, output } = await bun(copy, ["test", path], signal);
      const failed = output.split("\n").filter((line) => line.startsWith("(fail)"));
      if (code !== 0 && failed.length > 0) return { who: `bun test ${path}`, said: failed };
    }
    return undefined;
  } finally {
    await rm(copy, { recursive: true, force: true });
  }
}

/** @throws where the text is not there exactly once: the code has changed, and the mutant has to follow. */
export function mutated({ name, file, find, replace }: Mutant, text: string): string {
  const times = text.split(find).length - 1;
  if (times !== 1) throw new Error(`"${name}" can't be planted: its text is ${times} times in ${file}`);
  return text.replace(find, () => replace);
}

function bun(cwd: string, args: readonly string[], signal: AbortSignal): Promise<{ code: number; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...args], { cwd, stdio: ["ignore", "pipe", "pipe"] });
    // It ends its platform by itself; where it does not, it is ended, and the next run takes away what it left.
    const end = (): void => {
      child.kill("SIGTERM");
      setTimeout(() => child.kill("SIGKILL"), KILL_AFTER_MS).unref();
    };
    const timer = setTimeout(end, MUTANT_MS);
    signal.addEventListener("abort", end, { once: true });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text: string) => (output += text));
    child.once("error", reject);
    child.once("close", (code) => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve({ code: code ?? 1, output });
    });
  });
}
