/** Reads a request's body within the limit, whatever its headers claim. */
import { gunzip } from "node:zlib";
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

/** A route whose body is not one JSON value of ours, by a protocol of its own, which also says how failures are told. */
export interface ForeignRoute {
  /** Media types of its body, in lower case. */
  readonly types: readonly string[];
  /** Longest that a body may become where it is compressed (bytes). */
  readonly inflatedBytes: number;
  /** What a failure is answered with, in place of an envelope. */
  readonly failure: (
    failure: Failure,
    request: Request,
  ) => { readonly status: number; readonly type: string; readonly body: string | Uint8Array<ArrayBuffer> };
}

/** @throws Failure `too_large` as soon as it is more than `max` bytes, `malformed` for what is not gzip. */
function inflate(bytes: Uint8Array, max: number): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    gunzip(bytes, { maxOutputLength: max }, (error, inflated) => {
      if (error === null) return resolve(inflated);
      const isLarge = "code" in error && error.code === "ERR_BUFFER_TOO_LARGE";
      reject(
        isLarge
          ? new Failure("too_large", `the body is larger than ${max} bytes once it is inflated`)
          : new Failure("malformed", "the body is not gzip, though Content-Encoding says so", { cause: error }),
      );
    });
  });
}

/**
 * The bytes of a body, inflated where it is compressed by gzip.
 * @throws Failure `unsupported_media_type` for another type or compression, `too_large`, `malformed`, `deadline`.
 */
export async function readForeign(
  request: Request,
  { types, inflatedBytes }: ForeignRoute,
  deadline: Deadline,
  onLate: () => void,
): Promise<Uint8Array> {
  const { headers, body } = request;
  const type = headers.get("content-type")?.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  if (!types.includes(type)) {
    throw new Failure("unsupported_media_type", `Content-Type must be ${types.join(" or ")}`);
  }
  const encoding = headers.get("content-encoding")?.trim().toLowerCase() ?? "";
  if (!["", "identity", "gzip"].includes(encoding)) {
    throw new Failure("unsupported_media_type", "Content-Encoding must be absent, identity or gzip");
  }
  const length = headers.get("content-length");
  if (body === null || length === "0") return new Uint8Array();
  const bytes = await arrived(length === null ? readChunked(body) : request.bytes(), deadline, onLate);
  return encoding === "gzip" ? inflate(bytes, inflatedBytes) : bytes;
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
