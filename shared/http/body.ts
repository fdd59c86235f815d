/** Reads a request's body within the limit, whatever its headers claim. */
import { HTTP_LIMITS } from "#contracts/limits";
import { Failure } from "#shared/errors";
import type { Deadline } from "#shared/resilience";
import { parseJson } from "#shared/validation";

const TOO_LARGE = `the body is larger than ${HTTP_LIMITS.bytes} bytes`;

/** @throws Failure `too_large` where `Content-Length` says so: nothing of the body has been read then. */
export function checkLength(request: Request): void {
  const length = request.headers.get("content-length");
  if (length !== null && Number(length) > HTTP_LIMITS.bytes) throw new Failure("too_large", TOO_LARGE);
}

/** @throws Failure `unsupported_media_type` unless it is `application/json` (in UTF-8, RFC 8259 §8.1). */
function checkContentType(contentType: string | null): void {
  if (contentType !== null && /^\s*application\/json\s*(;\s*charset\s*=\s*"?utf-?8"?\s*)?;?\s*$/i.test(contentType))
    return;
  throw new Failure("unsupported_media_type", "Content-Type must be application/json");
}

/** @throws Failure `unsupported_media_type` for a body that is compressed: what it grows to is not the caller's to choose. */
function checkContentEncoding(encoding: string | null): void {
  if (encoding === null || /^\s*(identity)?\s*$/i.test(encoding)) return;
  throw new Failure("unsupported_media_type", "Content-Encoding must be absent or identity");
}

/** A body whose length nobody told: read until it ends or is too large. */
async function readChunked(body: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  // Leaving the loop by a throw cancels the stream, so that the rest is not buffered.
  for await (const chunk of body) {
    size += chunk.byteLength;
    if (size > HTTP_LIMITS.bytes) throw new Failure("too_large", TOO_LARGE);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size);
}

/**
 * All of a body, once it is here.
 * @throws Failure `malformed` where it ends before its end, `deadline` where it does not come in time (after `onLate`).
 */
async function arrived(bytes: Promise<Uint8Array>, deadline: Deadline, onLate: () => void): Promise<Uint8Array> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    onLate();
    reject(new Failure("deadline", "the body took too long to arrive"));
  }, deadline.remainingMs());
  try {
    return await Promise.race([bytes, late]);
  } catch (cause) {
    if (cause instanceof Failure) throw cause;
    throw new Failure("malformed", "the body ended too early", { cause });
  } finally {
    clearTimeout(timer);
  }
}

/**
 * The one JSON value that a request's body is.
 * @param onLate the body did not come in time: what is still to come is nobody's, and the connection had better be closed.
 * @throws Failure `unsupported_media_type`, `too_large`, `malformed`, `deadline` or `invalid` (depth, number of values).
 */
export async function readJson(request: Request, deadline: Deadline, onLate: () => void): Promise<unknown> {
  const { headers, body } = request;
  const length = headers.get("content-length");
  const contentType = headers.get("content-type");
  const isEmpty = body === null || length === "0";
  if (!isEmpty || contentType !== null) checkContentType(contentType);
  if (isEmpty) throw new Failure("malformed", "the body is empty where one JSON value is needed");
  checkContentEncoding(headers.get("content-encoding"));
  const bytes = length === null ? readChunked(body) : request.bytes();
  const parsed = parseJson(await arrived(bytes, deadline, onLate), HTTP_LIMITS);
  if (!parsed.ok) throw parsed.error;
  return parsed.value;
}
