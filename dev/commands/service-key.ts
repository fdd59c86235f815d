import { Secret } from "#shared/config";
import { announcerOf, makeServiceKey } from "#shared/service-keys";
import { type Command, UsageError } from "../command.ts";

const ALL = ["broker", "auth", "listener", "logger", "mail"];
/** Over HTTP it calls no other. */
const ONLY_CALLED = ["logger"];
/** This one is called by none. */
const ONLY_CALLS = ["broker"];

export const serviceKey: Command = {
  name: "service-key",
  typed: "bun run service-key",
  words: "[caller…]",
  maxWords: 16,
  summary: "make keys that services show each other, and what those that are called have to know",
  details: `Without a name: one for each of ${ALL.join(", ")}. Prints environment variables; each
<CALLER>_SERVICE_KEY is a secret of that service alone; SERVICE_CALLERS (who may call) and SERVICE_ANNOUNCERS
(whose announcements in the registry are believed) are none, and go to all of them. How a key is changed without an outage: docs/service-keys.md.`,
  options: {},
  run({ words }) {
    const odd = words.find((name) => !/^[a-z][a-z0-9-]{0,62}$/.test(name));
    if (odd !== undefined) throw new UsageError(`"${odd}" is no name of a service`);
    const names = words.length === 0 ? ALL : [...new Set(words)];
    const made = names.map((name) => ({ name, ...makeServiceKey() }));
    const keys = made.map(({ name, key }) => `${name.replaceAll("-", "_").toUpperCase()}_SERVICE_KEY=${key}\n`);
    const calling = made.filter(({ name }) => !ONLY_CALLED.includes(name));
    const known = calling.map(({ name, sha256 }) => `${name}:${sha256}`).join(",");
    const announcing = made.filter(({ name }) => !ONLY_CALLS.includes(name));
    const believed = announcing.map(({ name, key }) => `${name}:${announcerOf(new Secret(key))}`).join(",");
    const lists = [
      ...(calling.length === 0 ? [] : [`SERVICE_CALLERS=${known}\n`]),
      ...(announcing.length === 0 ? [] : [`SERVICE_ANNOUNCERS=${believed}\n`]),
    ];
    process.stdout.write(`${keys.join("")}${lists.join("")}`);
    return Promise.resolve(0);
  },
};
