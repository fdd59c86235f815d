/** Where figures come from: `/metrics` of each instance, and the listener's word on the queues. Talks, never decides. */
import { QueueList, type QueueView } from "#contracts/dead-letters";
import { REQUEST_ID_HEADER } from "#contracts/headers";
import { clientOfOne, serviceKeyHeaders } from "#shared/client";
import type { Secret } from "#shared/config";
import { type Endpoint, fetchAt } from "#shared/discovery";
import { failureOf, fail, ok, type Result } from "#shared/errors";
import { quietContext, traceHeaders } from "#shared/telemetry";
import { makeValidator } from "#shared/validation";

/** Longest that one instance may take (ms): less than there is between two samples. */
const WITHIN_MS = 2_500;
/** Largest text that is read (bytes); a service has about 100 KiB. */
const MAX_BYTES = 4 * 1_048_576;

const queuesOf = makeValidator(QueueList, { name: "the listener's answer" });

/** @returns failure `unavailable`, `deadline`, or `bad_gateway` where what is answered are no metrics. */
export async function askMetrics(
  endpoint: Endpoint,
  key: Secret | undefined,
  signal: AbortSignal,
): Promise<Result<string>> {
  const { requestId, trace, deadline } = quietContext(WITHIN_MS, signal);
  try {
    const response = await fetchAt(endpoint, "/metrics", {
      headers: { [REQUEST_ID_HEADER]: requestId, ...traceHeaders(trace), ...serviceKeyHeaders(key) },
      redirect: "manual",
      signal: deadline.signal,
    });
    if (response.status === 200) return await textOf(response);
    await response.body?.cancel();
    return fail("bad_gateway", undefined, { cause: `/metrics was answered with ${response.status}` });
  } catch (cause) {
    return fail(failureOf(cause).code === "deadline" ? "deadline" : "unavailable", undefined, { cause });
  }
}

async function textOf({ body }: Response): Promise<Result<string>> {
  const decoder = new TextDecoder();
  let [text, size] = ["", 0];
  for await (const part of body ?? []) {
    size += part.byteLength;
    if (size > MAX_BYTES) return fail("bad_gateway", undefined, { cause: "/metrics has no end" });
    text += decoder.decode(part, { stream: true });
  }
  return ok(text + decoder.decode());
}

/** What is in RabbitMQ's queues, by one listener. @returns failure `unavailable`, `deadline`, `bad_gateway`. */
export async function askQueues(
  endpoint: Endpoint,
  key: Secret | undefined,
  signal: AbortSignal,
): Promise<Result<readonly QueueView[]>> {
  const client = clientOfOne("the listener", endpoint, { key });
  const answer = await client.request("GET", "/events/queues", undefined, quietContext(WITHIN_MS, signal));
  if (!answer.ok) return answer;
  if (answer.value.status !== 200) return fail("unavailable", answer.value.envelope.message);
  const list = queuesOf(answer.value.envelope.data);
  return list.ok ? ok(list.value.items) : fail("bad_gateway", undefined, { cause: list.error });
}
