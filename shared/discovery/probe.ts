/** Asks one instance how it is, over HTTP: `/ready`, which is free for everybody. */
import { quietContext, traceHeaders } from "#shared/telemetry";
import { REQUEST_ID_HEADER } from "#contracts/headers";
import { type Endpoint, fetchAt } from "./endpoint.ts";
import type { Probed } from "./pool.ts";

/** Of a body only the sentence is looked at. */
const MAX_BYTES = 65_536;

/** 200 is up; any other answer says that it is alive and not ready; without one it is down. */
export async function probeHttp(endpoint: Endpoint, withinMs: number): Promise<Probed> {
  const { requestId, trace, deadline } = quietContext(withinMs);
  try {
    const response = await fetchAt(endpoint, "/ready", {
      headers: { [REQUEST_ID_HEADER]: requestId, ...traceHeaders(trace) },
      redirect: "manual",
      signal: deadline.signal,
    });
    if (response.status === 200) {
      await response.body?.cancel();
      return { state: "up" };
    }
    const text = await beginningOf(response);
    return { state: "not_ready", error: new Error(sentenceOf(text) ?? `answered ${response.status}`) };
  } catch (error) {
    return { state: "down", error };
  }
}

async function beginningOf({ body }: Response): Promise<string> {
  const decoder = new TextDecoder();
  let [text, size] = ["", 0];
  for await (const part of body ?? []) {
    size += part.byteLength;
    if (size > MAX_BYTES) break;
    text += decoder.decode(part, { stream: true });
  }
  return text;
}

function sentenceOf(text: string): string | undefined {
  try {
    const { message } = JSON.parse(text) as { message?: unknown };
    return typeof message === "string" ? message.slice(0, 200) : undefined;
  } catch {
    return undefined;
  }
}
