import { reasonOf, shown } from "./addresses.ts";
import type { Backing, BackingName, Missing, StartOptions } from "./types.ts";

/** The order in which a service is looked for: one way after the other, and why each that failed did. */

/** A configured server may be far away, behind TLS: it gets longer than a local one (ms). */
const CONFIGURED_MS = 3_000;

/** What a way gives; the rest of a `Backing` is the same for all. */
export type Opened = Omit<Backing, "name" | "tookMs">;

export interface Way {
  /** For the list of what was tried: `embedded PostgreSQL`. */
  readonly what: string;
  /** Its data is not the private instance's: to go on with it would look as if everything was gone. */
  readonly otherData?: boolean;
  /** Gives a server that answers by its protocol, or throws why there is none, leaving nothing behind. */
  readonly open: () => Promise<Opened>;
}

/** There is a private instance's data, and it can't be served as things are: only a person can decide what to do. */
export class Blocked extends Error {
  readonly remedy: string;

  constructor(message: string, remedy: string) {
    super(message);
    this.remedy = remedy;
  }
}

/** What is special about one service, for the ways that all of them share. */
export interface Kind {
  readonly name: BackingName;
  /** As in `PostgreSQL`. */
  readonly title: string;
  /** The variable that configures it. */
  readonly variable: string;
  /** Throws where the server can't be used; gives its version. */
  readonly probe: (url: string, ms?: number) => Promise<string>;
  /** How services take its URL, from how a person wrote it. */
  readonly tidy: (url: string) => string;
  /** URLs at which a server of this kind usually lets a developer in. */
  readonly usual: readonly string[];
  /** The one command that helps most on this machine. */
  readonly remedy: () => string;
}

const nothingToEnd = () => Promise.resolve();

/** Goes through the ways until one gives a server. Where a URL is configured, that is the only way. */
export async function firstThatWorks(
  kind: Kind,
  options: StartOptions,
  privateWays: readonly Way[],
): Promise<Backing | Missing> {
  const began = performance.now();
  const url = options.configured[kind.name];
  const ways = url === undefined ? [...privateWays, running(kind, options)] : [configured(kind, url)];
  const tried: string[] = [];
  let blocked: Blocked | undefined;
  for (const way of ways) {
    options.signal.throwIfAborted();
    if (blocked !== undefined && way.otherData === true) continue;
    options.onProgress(kind.name, way.what);
    try {
      const opened = await way.open();
      return { name: kind.name, tookMs: Math.round(performance.now() - began), ...opened };
    } catch (error) {
      options.signal.throwIfAborted();
      if (error instanceof Blocked) blocked = error;
      tried.push(`${way.what}: ${reasonOf(error)}`);
    }
  }
  const remedy =
    url === undefined
      ? (blocked?.remedy ?? kind.remedy())
      : `correct ${kind.variable}, start that server, or unset ${kind.variable} to get a private one`;
  return { name: kind.name, tried, remedy, configured: url !== undefined };
}

function configured(kind: Kind, url: string): Way {
  return {
    what: `${kind.variable} (${shown(url)})`,
    open: async () => {
      await kind.probe(url, CONFIGURED_MS);
      return { url: kind.tidy(url), source: kind.variable, stop: nothingToEnd };
    },
  };
}

/** A server that somebody else runs on this machine. Never for tests: they would write into a developer's own data. */
function running(kind: Kind, options: StartOptions): Way {
  return {
    what: `a running ${kind.title} at ${kind.usual.map(shown).join(" or ")}`,
    otherData: true,
    open: async () => {
      if (options.ports === "free") throw new Error("not used for tests, they would write into its data");
      let last: unknown;
      for (const url of kind.usual) {
        try {
          const version = await kind.probe(url);
          const source = `running ${kind.title} ${version}`.trim();
          return { url, source: `${source} at ${shown(url)}`, stop: nothingToEnd };
        } catch (error) {
          last = error;
        }
      }
      throw last instanceof Error ? last : new Error(String(last));
    },
  };
}

/** The command that installs a package on this operating system, by the names it has there. */
export function installCommand(names: { readonly apt: string; readonly brew: string; readonly other: string }): string {
  if (process.platform === "darwin") return `brew install ${names.brew}`;
  if (process.platform === "linux" && Bun.which("apt-get") !== null) return `sudo apt-get install -y ${names.apt}`;
  return names.other;
}
