/** Reads a request's body within the limit, whatever its headers claim. */
import { HTTP_LIMITS } from "#contracts/limits";
import { Failure } from "#shared/errors";
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
 * The one JSON value that a request's body is.
 * @throws Failure `unsupported_media_type`, `too_large`, `malformed` or `invalid` (depth, number of values).
 */
export async function readJson(request: Request): Promise<unknown> {
  const hasLength = request.headers.get("content-length") !== null;
  const isEmpty = request.body === null || request.headers.get("content-length") === "0";
  const contentType = request.headers.get("content-type");
  if (!isEmpty || contentType !== null) checkContentType(contentType);
  if (isEmpty || request.body === null)
    throw new Failure("malformed", "the body is empty where one JSON value is needed");
  const parsed = parseJson(hasLength ? await request.bytes() : await readChunked(request.body), HTTP_LIMITS);
  if (!parsed.ok) throw parsed.error;
  return parsed.value;
}
