/** One request to another service as a span: told by whom it is asked, since paths have ids in them. */
import type { Result } from "#shared/errors";
import { type CallContext, inSpan, type Span } from "#shared/telemetry";

export interface Asked {
  /** As in messages, `the mail service`. */
  readonly name: string;
  readonly method: string;
  readonly baseUrl: string;
}

/** Does `work`, which sends one request with the context that it is given. */
export function asClient<T>(
  { name, method, baseUrl }: Asked,
  context: CallContext,
  work: (context: CallContext, span: Span) => Promise<Result<T>>,
): Promise<Result<T>> {
  const service = name.replace(/^the /, "");
  return inSpan(context, `${method} ${service}`, { kind: "client" }, (inner, span) => {
    if (span.isRecorded) {
      const { hostname, port, protocol } = new URL(baseUrl);
      span.set({
        "http.request.method": method,
        "peer.service": service,
        "server.address": hostname,
        "server.port": Number(port) || (protocol === "https:" ? 443 : 80),
      });
    }
    return work(inner, span);
  });
}

/** What was answered. To whoever asked, a refusal is an error as well (semantic conventions of HTTP spans). */
export function noteStatus(span: Span, status: number): void {
  span.set({ "http.response.status_code": status });
  if (status >= 400) span.fail(String(status));
}
