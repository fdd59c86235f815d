/** HTTP side of the mails that let somebody in: who asks for one, and what its link is good for. Translates only. */
import { Elysia } from "elysia";
import { AddressRequest, ConfirmRequest, ResetRequest } from "#contracts/auth";
import { orThrow } from "#shared/errors";
import { contextOf, envelope } from "#shared/http";
import { within } from "#shared/telemetry";
import { makeValidator } from "#shared/validation";
import type { Confirm } from "./confirm.ts";
import type { LinkPurpose } from "./letters.ts";
import type { MailRequests } from "./requests.ts";

const ASK_MS = 3_000;
/** Longest that a new password may take (ms), waiting for a hashing thread included. */
const HASHING_MS = 10_000;

const addressOf = makeValidator(AddressRequest, { unknown: "refuse" });
const confirmationOf = makeValidator(ConfirmRequest, { unknown: "refuse" });
const resetOf = makeValidator(ResetRequest, { unknown: "refuse" });

export interface FlowOperations {
  requests: Pick<MailRequests, "ask">;
  confirm: Confirm;
}

export const flowRoutes = ({ requests, confirm }: FlowOperations) => {
  /** The same whoever has the address, if anybody. */
  const ask = async (purpose: LinkPurpose, body: unknown, request: Request) => {
    const { email } = orThrow(addressOf(body));
    orThrow(await requests.ask(purpose, email, within(contextOf(request), ASK_MS)));
    return envelope("If the address is that of a user, a mail is on its way to it");
  };

  return new Elysia({ name: "auth.flows" })
    .post("/email-verifications", async ({ body, request, set }) => {
      const answer = await ask("verify_address", body, request);
      set.status = 202;
      return answer;
    })
    .post("/password-resets", async ({ body, request, set }) => {
      const answer = await ask("reset_password", body, request);
      set.status = 202;
      return answer;
    })
    .post("/email-verifications/confirm", async ({ body, request }) => {
      const { token } = orThrow(confirmationOf(body));
      orThrow(await confirm.address(token, within(contextOf(request), ASK_MS)));
      return envelope("Address verified");
    })
    .post("/password-resets/confirm", async ({ body, request }) => {
      const { token, new_password } = orThrow(resetOf(body));
      orThrow(await confirm.password(token, new_password, within(contextOf(request), HASHING_MS)));
      return envelope("Password changed; all sessions have ended");
    });
};
