import { makeServiceKey } from "#shared/service-keys";
import { type Command, UsageError } from "../command.ts";

/** The services that call others over HTTP. */
const CALLERS = ["broker", "auth", "mail", "listener"];

export const serviceKey: Command = {
  name: "service-key",
  typed: "bun run service-key",
  words: "[caller…]",
  maxWords: 16,
  summary: "make keys that services show each other, and what those that are called have to know",
  details: `Without a name: one for each of ${CALLERS.join(", ")}. Prints environment variables; each
<CALLER>_SERVICE_KEY is a secret of that service alone, SERVICE_CALLERS is none and goes to
all of them. How a key is changed without an outage: docs/service-keys.md.`,
  options: {},
  run({ words }) {
    const odd = words.find((name) => !/^[a-z][a-z0-9-]{0,62}$/.test(name));
    if (odd !== undefined) throw new UsageError(`"${odd}" is no name of a service`);
    const names = words.length === 0 ? CALLERS : [...new Set(words)];
    const made = names.map((name) => ({ name, ...makeServiceKey() }));
    const keys = made.map(({ name, key }) => `${name.replaceAll("-", "_").toUpperCase()}_SERVICE_KEY=${key}\n`);
    const known = made.map(({ name, sha256 }) => `${name}:${sha256}`).join(",");
    process.stdout.write(`${keys.join("")}SERVICE_CALLERS=${known}\n`);
    return Promise.resolve(0);
  },
};
