/** A client of the platform's API in TypeScript: paths, queries, bodies and answers are typed by its description. */
import createClient, { type Client } from "openapi-fetch";
import type { paths } from "./paths.ts";

export type { components, paths } from "./paths.ts";

/** What a request shows of who asks: one of both. */
export type Credential = { readonly accessToken: string } | { readonly apiKey: string };

export interface ClientOptions {
  /** Asked for each request, so that a token that was refreshed is taken from then on; undefined: nobody. */
  readonly credential?: () => Credential | undefined;
}

/**
 * @param baseUrl of the broker, as `https://api.example.com`.
 * @returns `GET`, `POST`, … of openapi-fetch: they give `data` (the envelope of a success), or `error` (the one of a refusal),
 * and `response`; they throw where there is no answer at all.
 */
export function makeClient(baseUrl: string, { credential }: ClientOptions = {}): Client<paths> {
  const client = createClient<paths>({ baseUrl });
  client.use({
    onRequest({ request }) {
      const shown = credential?.();
      if (shown === undefined) return;
      if ("apiKey" in shown) request.headers.set("x-api-key", shown.apiKey);
      else request.headers.set("authorization", `Bearer ${shown.accessToken}`);
    },
  });
  return client;
}
