/** The running platform as fuzzers see it, and what it must be like after each of them. */
import { readFile } from "node:fs/promises";
import { logFile } from "../../../dev/paths.ts";
import { SERVICE_NAMES, type ServiceName } from "../../../dev/services.ts";
import { type Platform, until } from "../../kit.ts";
import { footprintOf, watchPings } from "../watch.ts";

/** What a campaign may leave behind (bytes, open files): caches, compiled code, pools of connections; not the attack itself. */
const LEFT_BYTES = 96 * 1_048_576;
const LEFT_FILES = 150;
/** Longest that memory and files may take to be back (ms). */
const BACK_MS = 30_000;
/** A token is renewed well before its 10 minutes are over (ms). */
const RENEW_MS = 300_000;
/** Longest that it may take to get one (ms). */
const LOGIN_MS = 60_000;

/** How the platform that is attacked is set up: hashes that are cheap, and the broker's guard as in production, but for one client. */
export const TARGET_ENV = {
  AUTH_BCRYPT_COST: "4",
  BROKER_GUARD: "on",
  BROKER_GUARD_CONNECTIONS_PER_ADDRESS: "1024",
};

export interface Guard {
  /** Ends the watch: promises that were broken meanwhile, in words. */
  check(): Promise<string[]>;
}

export interface Target {
  readonly platform: Platform;
  readonly url: (service: ServiceName) => string;
  /** An access token of somebody who may everything: the same for a while. */
  token(): Promise<string>;
  /** It counts no longer: some attacks end sessions, and not by mistake. */
  forget(token: string): void;
  /** Watches from now on: nobody else is kept waiting, no service dies or has a bug, memory and files come back. */
  guard(): Promise<Guard>;
}

interface Account {
  readonly email: string;
  readonly password: string;
}

/** Somebody who may everything and is in no example: whoever is in one is changed by attacks that succeed. */
async function makeAccount(platform: Platform): Promise<Account> {
  const account = { email: `${Bun.randomUUIDv7()}@example.com`, password: Bun.randomUUIDv7() };
  const made = await platform.post("auth", "/users", account);
  const { id } = made.body.data as { id: number };
  const authorization = `Bearer ${await tokenOf(platform, { email: "admin@example.com", password: "verysecret" })}`;
  const changed = await fetch(`${platform.url("auth")}/users/${id}`, {
    method: "PATCH",
    headers: { "content-type": "application/json", authorization },
    body: JSON.stringify({ version: 1, role: "admin" }),
  });
  if (changed.status !== 200) throw new Error(`no account to attack with: ${changed.status} ${await changed.text()}`);
  return account;
}

/** Patient: what attacks the login may keep it busy. */
function tokenOf(platform: Platform, account: Account): Promise<string> {
  return until(
    `${account.email} is logged in`,
    async () => {
      const { body } = await platform.post("auth", "/authenticate", account);
      return (body.data as { access_token?: string } | undefined)?.access_token;
    },
    LOGIN_MS,
  );
}

export async function openTarget(platform: Platform): Promise<Target> {
  const account = await makeAccount(platform);
  const url = platform.url;
  let held: { token: Promise<string>; is: string | undefined; at: number } | undefined;

  return {
    platform,
    url,
    async token() {
      if (held === undefined || performance.now() - held.at > RENEW_MS) {
        held = { token: tokenOf(platform, account), is: undefined, at: performance.now() };
      }
      const mine = held;
      mine.is = await mine.token;
      return mine.is;
    },
    forget(token) {
      if (held?.is === token) held = undefined;
    },
    async guard() {
      const pidOf = (name: ServiceName): number => platform.stack.part(name).pid ?? 0;
      const before = new Map(
        await Promise.all(
          SERVICE_NAMES.map(async (name) => {
            const lines = (await logLines(platform, name)).length;
            return [name, { pid: pidOf(name), lines, ...(await footprintOf(pidOf(name))) }] as const;
          }),
        ),
      );
      const pings = watchPings(SERVICE_NAMES.map(url));
      return {
        async check() {
          const wrong: string[] = [];
          const silent = (await pings.stop()).filter((ms) => ms === Number.POSITIVE_INFINITY).length;
          if (silent > 0) wrong.push(`${silent} times /ping was not answered within 2 s`);
          for (const [name, was] of before) {
            if (pidOf(name) !== was.pid) {
              wrong.push(`${name} was started again: it had died`);
              continue;
            }
            const bugs = bugsIn((await logLines(platform, name)).slice(was.lines));
            wrong.push(...bugs.slice(0, 3).map((line) => `${name} took it for a bug of its own: ${line}`));
            let is = was as { rssBytes: number; files: number };
            await until(
              `${name} is back`,
              async () => {
                is = await footprintOf(was.pid);
                return is.rssBytes <= was.rssBytes + LEFT_BYTES && is.files <= was.files + LEFT_FILES;
              },
              BACK_MS,
            ).catch(() => {
              const grown = Math.round((is.rssBytes - was.rssBytes) / 1_048_576);
              wrong.push(`${name} kept ${grown} MiB and ${is.files - was.files} open files`);
            });
          }
          return wrong;
        },
      };
    },
  };
}

async function logLines(platform: Platform, name: ServiceName): Promise<string[]> {
  return (await readFile(logFile(platform.stack.dataDir, name), "utf8")).trimEnd().split("\n");
}

/** A line that is not JSON is the runtime's own report of what nobody caught. */
function bugsIn(lines: readonly string[]): string[] {
  return lines.filter((line) => line !== "" && (!line.startsWith("{") || line.includes('"level":"error"')));
}
