/** Who may use the operators' routes, and on whose behalf they act. */
import { createHash, timingSafeEqual } from "node:crypto";
import type { Field } from "#shared/config";
import { Secret } from "#shared/config";
import { fail, ok, type Result } from "#shared/errors";
import type { Deadline } from "#shared/resilience";
import type { Sessions } from "../sessions/sessions.ts";

/** Text that a bearer token can be (RFC 6750 §2.1), long enough not to be guessed. */
const TOKEN = /^[\w.~+/-]{16,512}=*$/;

export const operatorTokenField: Field<Secret | undefined> = {
  about: "Bearer token of the operators' routes. Without it they are open in development and closed in production",
  allowed: "16 to 512 characters of A-Z a-z 0-9 - . _ ~ + /",
  default: undefined,
  required: false,
  secret: true,
  parse: (value) => (TOKEN.test(value) ? new Secret(value) : undefined),
};

export interface OperatorOptions {
  readonly token: Secret | undefined;
  readonly environment: "development" | "production";
  readonly sessions: Pick<Sessions, "verify">;
}

export interface Operator {
  /**
   * @param given the bearer token of the request. @param address of the client.
   * @returns whose doing it is, for audit entries: `operator`, `user:<id>` or the address; failure `unauthenticated`,
   * `forbidden`.
   */
  admit(given: string | undefined, address: string, deadline: Deadline): Promise<Result<string>>;
}

export function makeOperator({ token, environment, sessions }: OperatorOptions): Operator {
  /** The user of a token that is a session's. */
  async function userOf(given: string | undefined, deadline: Deadline): Promise<string | undefined> {
    if (given === undefined) return undefined;
    const session = await sessions.verify(given, deadline);
    return session.ok ? `user:${session.value.sub}` : undefined;
  }

  return {
    async admit(given, address, deadline) {
      if (token === undefined) {
        return environment === "production"
          ? fail("forbidden", "closed: the broker's OPERATOR_TOKEN has to be set")
          : ok((await userOf(given, deadline)) ?? address);
      }
      if (given !== undefined && isSame(given, token.reveal())) return ok("operator");
      const user = await userOf(given, deadline);
      return user === undefined
        ? fail("unauthenticated", "the operators' token is needed")
        : fail("forbidden", "this is for operators");
    },
  };
}

/** In a time that tells nothing of how much of it is right. */
function isSame(given: string, token: string): boolean {
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(given), digest(token));
}
