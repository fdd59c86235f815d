/**
 * Logins that fail grow slower, by account and by address, and nobody is locked out: whoever waits is let in, and whoever
 * has logged in to the account from his address before does not wait for what strangers do. An account that nobody has is
 * treated like any other. Knows no HTTP and no SQL.
 */
import { fail, type Result } from "#shared/errors";
import { addressGroup } from "#shared/http";
import type { Attempt, Delay, Delays } from "#shared/limits";
import type { WorkContext } from "#shared/postgres";
import type { Metrics } from "#shared/telemetry";
import type { Login } from "./login.ts";

const HOUR_MS = 3_600_000;

/** Ten typing errors cost nothing; who guesses on gets about a hundred tries a day (OWASP ASVS 6.3.1). */
const ACCOUNT: Delay = { free: 10, firstMs: 15_000, maxMs: 900_000, forgetMs: HOUR_MS };
/** Many people share an address, and nearly all of them know their passwords. */
const ADDRESS: Delay = { free: 50, firstMs: 5_000, maxMs: 300_000, forgetMs: HOUR_MS };

export interface Throttle {
  /**
   * Does `login` if it may be tried now.
   * @param account as it is typed in. @param address of the client; `unknown` is nobody's.
   * @returns its outcome; failure `exhausted` with the time to wait, without having done it: the same whether the account exists.
   */
  <T>(account: string, address: string, context: WorkContext, login: () => Promise<Result<T>>): Promise<Result<T>>;
}

export interface ThrottlePorts {
  readonly delays: Delays;
  /** What an account is called in keys: those who read them learn no address. */
  readonly nameOf: (account: string) => string;
  /** Addresses that sessions of an account were opened from lately, or links in its mails used; none for an account that nobody has. */
  readonly addressesOf: (account: string, context: WorkContext) => Promise<Result<readonly string[]>>;
  readonly metrics: Metrics;
}

export function makeThrottle({ delays, nameOf, addressesOf, metrics }: ThrottlePorts): Throttle {
  const throttled = metrics.counter(
    "auth_logins_throttled_total",
    "Logins that were not tried, because of those before.",
  );

  async function isFamiliar(account: string, group: string, context: WorkContext): Promise<boolean> {
    const known = await addressesOf(account, context);
    return known.ok && known.value.some((address) => addressGroup(address) === group);
  }

  return async (account, address, context, login) => {
    const name = nameOf(account);
    const group = address === "unknown" ? undefined : addressGroup(address);
    const strange = [{ key: `account:${name}`, delay: ACCOUNT }];
    if (group !== undefined) strange.push({ key: `address:${group}`, delay: ADDRESS });
    let admitted = await delays.admit(strange);
    let forget: string[] = [];
    if ("retryAfterS" in admitted && group !== undefined && (await isFamiliar(account, group, context))) {
      const own = { key: `pair:${name}:${group}`, delay: ACCOUNT };
      admitted = await delays.admit([own]);
      // He is who he says: that he took some tries is of no interest any more.
      forget = [own.key];
    }
    if ("retryAfterS" in admitted) {
      throttled.inc();
      return fail("exhausted", "Too many attempts: try again later", {
        retryAfterS: Math.max(1, admitted.retryAfterS),
      });
    }
    return settled(admitted.attempt, forget, login);
  };
}

/** A refusal stays counted; a success, and what says nothing of the password, is taken back. */
async function settled<T>(
  attempt: Attempt,
  forget: readonly string[],
  login: () => Promise<Result<T>>,
): Promise<Result<T>> {
  const result = await login();
  if (result.ok) await attempt.takeBack(forget);
  else if (result.error.code !== "unauthenticated") await attempt.takeBack();
  return result;
}

/** `login`, tried only where it may be. */
export function throttled(throttle: Throttle, login: Login): Login {
  const tried: (...asked: Parameters<Login>) => ReturnType<Login> = (credentials, context) =>
    throttle(credentials.email, context.client?.address ?? "unknown", context, () => login(credentials, context));
  return Object.assign(tried, { [Symbol.asyncDispose]: () => login[Symbol.asyncDispose]() });
}

/** Where logins are not throttled. */
export const unthrottled: Throttle = (_account, _address, _deadline, login) => login();
