/** What the broker tells the page in the page itself: nothing has to be asked before the first drawing. */

export interface PlatformFacts {
  readonly version: string;
  readonly environment: "development" | "production";
  /** Page of the development inbox. */
  readonly inbox?: string;
  /** Whether the API is described at `/openapi`. */
  readonly described: boolean;
  /** Whether whoever reads the page may read `/metrics`. */
  readonly measured: boolean;
  /** Whether the platform can be broken from here. */
  readonly breakable: boolean;
}

function read(): PlatformFacts {
  const content = document.querySelector<HTMLMetaElement>('meta[name="platform"]')?.content ?? "{}";
  return JSON.parse(content) as PlatformFacts;
}

export const FACTS = read();
