/** What access asks of auth. */
import type { Static } from "@sinclair/typebox";
import { type ApiKeyCheck, KeyHolder } from "#contracts/auth";
import { RevocationList } from "#contracts/identity";
import { failureOfAnswer, type JsonClient } from "#shared/client";
import { fail, ok } from "#shared/errors";
import { makeValidator } from "#shared/validation";
import { ask, type Neighbour } from "../forward.ts";
import type { ApiKeysOptions } from "./api-keys.ts";
import type { RevocationFeedOptions } from "./revocation-feed.ts";

const holderOf = makeValidator(KeyHolder, { name: "auth's answer" });
const listOf = makeValidator(RevocationList, { name: "auth's answer" });

/** `POST /api-keys/verify`. */
export const askKeyHolder =
  (auth: Neighbour): ApiKeysOptions["ask"] =>
  async ({ key }, context) => {
    const question = {
      method: "POST",
      path: "/api-keys/verify",
      body: { key } satisfies Static<typeof ApiKeyCheck>,
      status: [200, 202],
      check: holderOf,
      ofTheCaller: ["unauthenticated", "exhausted"],
    } as const;
    const told = await ask(auth, question, context);
    return told.ok ? ok(told.value.data) : told;
  };

/** `GET /revocations`. Without an edge: it is asked by the clock, once at a time, and who asks waits by himself. */
export const askRevocations =
  (auth: JsonClient): RevocationFeedOptions["read"] =>
  async (since, context) => {
    const query = since === undefined ? "" : `?since=${encodeURIComponent(since)}`;
    const told = await auth.request("GET", `/revocations${query}`, undefined, context);
    if (!told.ok) return told;
    if (told.value.status !== 200) return { ok: false, error: failureOfAnswer(told.value) };
    const checked = listOf(told.value.envelope.data);
    return checked.ok ? checked : fail("bad_gateway", undefined, { cause: checked.error });
  };
