/** HTTP side of the mails that let somebody in: who asks for one, and what its link is good for. Translates only. */
import { Elysia } from "elysia";
import { AddressRequest, ConfirmRequest, ResetRequest } from "#contracts/auth";
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
    const asked = addressOf(body);
    if (!asked.ok) throw asked.error;
    const noted = await requests.ask(purpose, asked.value.email, within(contextOf(request), ASK_MS));
    if (!noted.ok) throw noted.error;
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
      const confirmation = confirmationOf(body);
      if (!confirmation.ok) throw confirmation.error;
      const confirmed = await confirm.address(confirmation.value.token, within(contextOf(request), ASK_MS));
      if (!confirmed.ok) throw confirmed.error;
      return envelope("Address verified");
    })
    .post("/password-resets/confirm", async ({ body, request }) => {
      const reset = resetOf(body);
      if (!reset.ok) throw reset.error;
      const { token, new_password } = reset.value;
      const done = await confirm.password(token, new_password, within(contextOf(request), HASHING_MS));
      if (!done.ok) throw done.error;
      return envelope("Password changed; all sessions have ended");
    });
};
