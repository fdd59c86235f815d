/** Ways to those who know where something is: the spools of this broker, the listener, the logger, the mail service. */
import { Type } from "@sinclair/typebox";
import { DeadLetter } from "#contracts/dead-letters";
import { FoundEntry, RPC_FIND } from "#contracts/logs";
import { MailView } from "#contracts/mail";
import { fail, ok } from "#shared/errors";
import type { Edge } from "#shared/resilience";
import type { RpcClient } from "#shared/rpc";
import type { Spool } from "#shared/spool";
import { overEdge } from "#shared/telemetry";
import { makeValidator } from "#shared/validation";
import { ask, type Neighbour, refusalOf } from "./forward.ts";
import type { Owners } from "./receipts.ts";

/** `data` of the listener's `GET /events/messages/:id`. */
const Whereabouts = Type.Object({
  found: Type.Union([DeadLetter, Type.Null()]),
  queued: Type.Boolean(),
  complete: Type.Boolean(),
});

const whereaboutsOf = makeValidator(Whereabouts, { name: "the listener's answer" });
const foundOf = makeValidator(Type.Array(Type.Union([FoundEntry, Type.Null()]), { minItems: 1, maxItems: 1 }), {
  name: "the logger's answer",
});
const mailOf = makeValidator(MailView, { name: "mail's answer" });

export interface OwnersOptions {
  readonly spools: readonly Pick<Spool, "acceptedAt">[];
  readonly listener: Neighbour;
  readonly logger: { readonly client: RpcClient; readonly edge: Edge };
  readonly mail: Neighbour;
}

export function makeOwners({ spools, listener, logger, mail }: OwnersOptions): Owners {
  return {
    spooledAt(id) {
      for (const spool of spools) {
        const at = spool.acceptedAt(id);
        if (at !== undefined) return at;
      }
      return undefined;
    },

    async inQueues(id, context) {
      const path = `/events/messages/${encodeURIComponent(id)}`;
      const told = await ask(listener, { method: "GET", path, status: 200, check: whereaboutsOf }, context);
      return told.ok ? ok(told.value.data) : told;
    },

    inLogger: (id, context) =>
      overEdge(logger.edge, context, async (inner) => {
        const found = await logger.client.call(RPC_FIND, [[id]], inner);
        if (!found.ok) return { ok: false, error: refusalOf(found.error) };
        const checked = foundOf(found.value);
        return checked.ok
          ? ok(checked.value[0] ?? undefined)
          : fail("bad_gateway", undefined, { cause: checked.error });
      }),

    async inMail(id, context) {
      const path = `/mails/${encodeURIComponent(id)}`;
      const question = { method: "GET", path, status: 200, check: mailOf, ofTheCaller: ["not_found"] } as const;
      const told = await ask(mail, question, context);
      if (told.ok) return ok(told.value.data);
      return told.error.code === "not_found" ? ok(undefined) : told;
    },
  };
}
