/** What is read of a request at more than one place, as the router and RFC 6750 read it. */

/** Asked by machines that know an address, and neither a name nor a credential. */
export const PROBES: readonly string[] = ["/ping", "/ready", "/metrics"];

/** The path of a request's URL, undecoded: after the host, without the query. */
export function pathOf(url: string): string {
  const start = url.indexOf("/", url.indexOf("://") + 3);
  const end = url.indexOf("?", start);
  return start === -1 ? "/" : url.slice(start, end === -1 ? undefined : end);
}

/** The token of `Authorization: Bearer …` (§2.1); undefined where there is none in that form. No other place is looked at. */
export function bearerOf(request: Request): string | undefined {
  return /^bearer +([\w.~+/-]+=*) *$/i.exec(request.headers.get("authorization") ?? "")?.[1];
}
