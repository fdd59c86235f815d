/** Links with which a recipient takes himself off a mailing list, with one click (RFC 8058). */
import { createHmac, hkdfSync, timingSafeEqual } from "node:crypto";
import type { Secret } from "#shared/config";
import { fail, ok, type Result } from "#shared/errors";

/** Who leaves what. */
export interface Leaving {
  readonly address: string;
  readonly list: string;
}

export interface Unsubscribe {
  /** Text of a URL's path that stands for these two, and that only this secret makes. The same two have the same. */
  token(address: string, list: string): string;
  /** @returns failure `not_found` for what was not made by `token` with this secret. */
  verify(token: string): Result<Leaving>;
  /** `<publicUrl>/v1/unsubscribe/<token>`. @param publicUrl without a slash at its end */
  urlFor(publicUrl: string, address: string, list: string): string;
}

/** Version of what a token holds and of how it is signed. */
const PREFIX = "v1";
/** An address of 254 characters and a list of 64 make 485. */
const MAX_TOKEN = 600;
const REFUSED = "this link to unsubscribe with is not valid";

/** A link has no end: a mail may be read years later. With another secret all links are void. */
export function makeUnsubscribe(secret: Secret): Unsubscribe {
  const key = Buffer.from(hkdfSync("sha256", secret.reveal(), "", "mail/unsubscribe/v1", 32));
  const sign = (payload: string): string =>
    createHmac("sha256", key).update(`${PREFIX}.${payload}`).digest("base64url");

  function token(address: string, list: string): string {
    const payload = Buffer.from(JSON.stringify([address, list])).toString("base64url");
    return `${PREFIX}.${payload}.${sign(payload)}`;
  }

  return {
    token,

    verify(text) {
      const [prefix, payload = "", signature = "", ...more] = text.length <= MAX_TOKEN ? text.split(".") : [];
      const expected = Buffer.from(sign(payload));
      const given = Buffer.from(signature);
      const isOurs = given.byteLength === expected.byteLength && timingSafeEqual(given, expected);
      if (prefix !== PREFIX || !isOurs || more.length > 0) return fail("not_found", REFUSED);
      const [address, list] = JSON.parse(Buffer.from(payload, "base64url").toString()) as [string, string];
      return ok({ address, list });
    },

    urlFor: (publicUrl, address, list) => `${publicUrl}/v1/unsubscribe/${token(address, list)}`,
  };
}

/** The same for a mail service that may not be configured for it. */
export interface UnsubscribeLinks {
  /** Whether mails to a list can be taken; failure `invalid`, in words for who sends them. */
  readonly ready: Result<void>;
  /** Of one recipient of a mail to a list; undefined where the service is not configured for it. */
  urlFor(address: string, list: string): string | undefined;
  /** As `Unsubscribe.verify`. */
  verify(token: string): Result<Leaving>;
}

/** @param publicUrl the broker's, as the world reaches it, without a slash at its end */
export function unsubscribeLinks(publicUrl: string | undefined, secret: Secret | undefined): UnsubscribeLinks {
  if (publicUrl === undefined || secret === undefined) {
    return {
      ready: fail("invalid", "list needs PUBLIC_URL and UNSUBSCRIBE_SECRET at the mail service"),
      urlFor: () => undefined,
      verify: () => fail("not_found", REFUSED),
    };
  }
  const unsubscribe = makeUnsubscribe(secret);
  return {
    ready: ok(),
    urlFor: (address, list) => unsubscribe.urlFor(publicUrl, address, list),
    verify: (token) => unsubscribe.verify(token),
  };
}
