import { makeAnnounceKey, makeServiceKey } from "#shared/service-keys";
import { type Command, UsageError } from "../command.ts";

const ALL = ["broker", "auth", "listener", "logger", "mail"];
/** Over HTTP it calls no other. */
const ONLY_CALLED = ["logger"];
/** This one is called by none. */
const ONLY_CALLS = ["broker"];

export const serviceKey: Command = {
  name: "service-key",
  typed: "bun run service-key",
  words: "[service…]",
  maxWords: 16,
  summary: "make keys that services show each other, and what those that are called have to know",
  details: `Without a name: one for each of ${ALL.join(", ")}. Prints environment variables; each
<NAME>_SERVICE_KEY (shown to those it calls) and <NAME>_ANNOUNCE_KEY (signs what it announces, shown to nobody) are secrets of that service; SERVICE_CALLERS (who may call) and SERVICE_ANNOUNCERS
(whose announcements in the registry are believed) are none, and go to all of them. How a key is changed without an outage: docs/service-keys.md.`,
  options: {},
  run({ words }) {
    const odd = words.find((name) => !/^[a-z][a-z0-9-]{0,62}$/.test(name));
    if (odd !== undefined) throw new UsageError(`"${odd}" is no name of a service`);
    const names = words.length === 0 ? ALL : [...new Set(words)];
    const made = names.map((name) => ({ name, ...makeServiceKey() }));
    const calling = made.filter(({ name }) => !ONLY_CALLED.includes(name));
    const keys = calling.map(({ name, key }) => `${variableOf(name)}_SERVICE_KEY=${key}\n`);
    const known = calling.map(({ name, sha256 }) => `${name}:${sha256}`).join(",");
    const announcing = names
      .filter((name) => !ONLY_CALLS.includes(name))
      .map((name) => ({ name, ...makeAnnounceKey() }));
    const signing = announcing.map(({ name, key }) => `${variableOf(name)}_ANNOUNCE_KEY=${key}\n`);
    const believed = announcing.map(({ name, publicKey }) => `${name}:${publicKey}`).join(",");
    const lists = [
      ...(calling.length === 0 ? [] : [`SERVICE_CALLERS=${known}\n`]),
      ...(announcing.length === 0 ? [] : [`SERVICE_ANNOUNCERS=${believed}\n`]),
    ];
    process.stdout.write(`${keys.join("")}${signing.join("")}${lists.join("")}`);
    return Promise.resolve(0);
  },
};

function variableOf(name: string): string {
  return name.replaceAll("-", "_").toUpperCase();
}
