/** The command `auth keys`: which keys sign and verify access tokens, and putting another in their place. */
import { fail, messageOf, ok, type Result } from "#shared/errors";
import { EXIT } from "#shared/lifecycle";
import type { Log } from "#shared/log";
import { openForCommand, type WorkContext } from "#shared/postgres";
import { Deadline } from "#shared/resilience";
import { type Config, secretOf } from "../config.ts";
import { makeSealer } from "../keys.ts";
import { MIGRATIONS } from "../migrations.ts";
import { makeOutbox } from "../outbox/outbox.ts";
import { makeKeyStore, type StoredKey } from "./key-store.ts";
import { type Keyring, makeKeyring } from "./keyring.ts";

/** Longest wait for the database (ms). */
const WAIT_MS = 10_000;
const USAGE = "usage: keys list | keys rotate | keys retire <kid> [--compromised]";
const BY = "command";

type Asked =
  | { readonly verb: "list" | "rotate" }
  | { readonly verb: "retire"; readonly kid: string; readonly compromised: boolean };

/** @returns failure `invalid` with the usage, where it is no such command. */
export function readKeysCommand(args: readonly string[]): Result<Asked> {
  const [verb = "list", kid, flag, ...rest] = args;
  if ((verb === "list" || verb === "rotate") && kid === undefined) return ok({ verb });
  const isFlagged = flag === "--compromised";
  if (verb !== "retire" || kid === undefined || !/^[\w-]{1,100}$/.test(kid) || rest.length > 0) {
    return fail("invalid", USAGE);
  }
  return flag === undefined || isFlagged ? ok({ verb, kid, compromised: isFlagged }) : fail("invalid", USAGE);
}

/** Prints one JSON object a key. @returns the exit code: 1 where it could not be done, 2 for a command that is none. */
export async function keysCommand(config: Config, log: Log, args: readonly string[]): Promise<number> {
  if (["--help", "-h", "help"].includes(args[0] ?? "")) {
    process.stdout.write(`${USAGE}\n`);
    return EXIT.drained;
  }
  const asked = readKeysCommand(args);
  if (!asked.ok) {
    process.stderr.write(`auth keys: ${asked.error.message}\n`);
    return EXIT.configuration;
  }
  await using opened = openForCommand({ name: "auth keys", url: config.DATABASE_URL, migrations: MIGRATIONS });
  const { database } = opened;
  const secret = secretOf(config);
  // What is put into the outbox is brought out by the service.
  const outbox = makeOutbox(makeSealer(secret, "outbox"));
  const store = makeKeyStore(database);
  const keyring = makeKeyring({ store, sealer: makeSealer(secret), outbox, maxAgeMs: undefined });
  const deadline = Deadline.after(WAIT_MS);
  try {
    const ready = await database.ready(deadline);
    if (!ready.ok) throw ready.error;
    const done = await act(asked.value, keyring, { deadline });
    if (!done.ok) throw done.error;
    const keys = await store.find(new Date(0), { deadline });
    if (!keys.ok) throw keys.error;
    for (const key of keys.value) process.stdout.write(`${JSON.stringify(lineOf(key))}\n`);
    return EXIT.drained;
  } catch (error) {
    log.error("not done", { reason: messageOf(error) });
    return EXIT.bug;
  }
}

async function act(asked: Asked, keyring: Keyring, context: WorkContext): Promise<Result<unknown>> {
  if (asked.verb === "retire") return keyring.retire(asked.kid, BY, { compromised: asked.compromised }, context);
  return asked.verb === "rotate" ? keyring.rotate(BY, context) : ok();
}

function lineOf({ kid, createdAt, activatesAt, retiredAt }: StoredKey, now = Date.now()) {
  const state =
    retiredAt !== null && retiredAt.getTime() <= now
      ? "retired"
      : activatesAt.getTime() <= now
        ? "signing"
        : "published";
  return {
    kid,
    state,
    created_at: createdAt.toISOString(),
    activates_at: activatesAt.toISOString(),
    ...(retiredAt === null ? {} : { retired_at: retiredAt.toISOString() }),
  };
}
