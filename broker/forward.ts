/** Calls to the services behind: what of their answers is handed on to our caller, and what is a misunderstanding. */
import { failureOfAnswer, type JsonClient, type Method } from "#shared/client";
import { FAILURES, Failure, type FailureCode, fail, ok, type Result } from "#shared/errors";
import type { Edge } from "#shared/resilience";
import { type CallContext, overEdge } from "#shared/telemetry";
import type { Validator } from "#shared/validation";
import { isAway } from "./handle.ts";

export interface Neighbour {
  readonly client: JsonClient;
  readonly edge: Edge;
}

export interface Question<T> {
  readonly method: Method;
  readonly path: string;
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
  /** The status that is a success, or each of them. */
  readonly status: number | readonly number[];
  readonly check: Validator<T>;
  /** Refusals that the caller is told as they are; others are a misunderstanding between us and the service. */
  readonly ofTheCaller?: readonly FailureCode[];
}

export interface Told<T> {
  readonly status: number;
  readonly message: string;
  readonly data: T;
  /** The owner has answered the same request before. */
  readonly replayed: boolean;
}

/** Refusals that are said of what the caller sent, whoever says them. */
export const OF_THE_CALLER: readonly FailureCode[] = ["invalid", "too_large", "exhausted"];

/**
 * What a refusal by a part behind means to our caller: itself where it is said of the caller's request, or of that
 * part's health; else the two of us do not understand each other (no such route, a token that is wrong, a bug there).
 */
export function refusalOf(failure: Failure, ofTheCaller: readonly FailureCode[] = OF_THE_CALLER): Failure {
  if (ofTheCaller.includes(failure.code) || FAILURES[failure.code].queue === "hold") return failure;
  return new Failure("bad_gateway", undefined, { cause: failure });
}

/** When to ask again where nobody said (s): a circuit tries again that soon. */
const RETRY_AFTER_S = 1;

/** @returns failure `unavailable`, `deadline`, `bad_gateway`, all with a time to try again, and those of the caller. */
export async function ask<T>(
  neighbour: Neighbour,
  question: Question<T>,
  context: CallContext,
): Promise<Result<Told<T>>> {
  const { method, path, body, headers, status, check, ofTheCaller } = question;
  const told = await overEdge<Told<T>>(neighbour.edge, context, async (inner) => {
    const answer = await neighbour.client.request(method, path, body, inner, headers);
    if (!answer.ok) return answer;
    const { envelope, status: given, replayed } = answer.value;
    if (![status].flat().includes(given)) {
      return { ok: false, error: refusalOf(failureOfAnswer(answer.value), ofTheCaller) };
    }
    const checked = check(envelope.data);
    return checked.ok
      ? ok({ status: given, message: envelope.message, data: checked.value, replayed })
      : fail("bad_gateway", undefined, { cause: checked.error });
  });
  if (told.ok || told.error.retryAfterS !== undefined || !isAway(told.error)) return told;
  return fail(told.error.code, told.error.message, { cause: told.error, retryAfterS: RETRY_AFTER_S });
}
