/** The ways out of auth: HTTP to the mail service, events to RabbitMQ. They talk and never decide. */
import { LOGS_EXCHANGE, routingKeyOf } from "#contracts/events";
import { IDEMPOTENCY_KEY_HEADER } from "#contracts/headers";
import { MailReply, MailView } from "#contracts/mail";
import type { Publisher } from "#shared/amqp";
import { type Answer, failureOfAnswer, type JsonClient } from "#shared/client";
import { FAILURES, Failure, fail, ok, type Result } from "#shared/errors";
import type { Edge } from "#shared/resilience";
import { type CallContext, overEdge } from "#shared/telemetry";
import { makeValidator } from "#shared/validation";
import type { RelayOptions } from "./outbox/relay.ts";
import type { Sent, WelcomePorts } from "./registration/welcome.ts";

export interface Clients {
  readonly mail: { readonly client: JsonClient; readonly edge: Edge };
  readonly publisher: Publisher;
}

const replyOf = makeValidator(MailReply, { name: "mail's answer" });
const viewOf = makeValidator(MailView, { name: "mail's answer" });
const encoder = new TextEncoder();

/** What no caller can mend is a misunderstanding between the two services: worth trying again, once one of them is mended. */
function failureOfMail(answer: Answer): Failure {
  const failure = failureOfAnswer(answer);
  return FAILURES[failure.code].queue === "hold" ? failure : new Failure("bad_gateway", undefined, { cause: failure });
}

export function makeClients({ mail, publisher }: Clients): Omit<WelcomePorts, "store"> {
  function ask<T>(
    method: "GET" | "POST",
    path: string,
    body: unknown,
    context: CallContext,
    read: (answer: Answer) => Result<T>,
    headers?: Record<string, string>,
  ): Promise<Result<T>> {
    return overEdge(mail.edge, context, async (inner) => {
      const answer = await mail.client.request(method, path, body, inner, headers);
      return answer.ok ? read(answer.value) : answer;
    });
  }

  return {
    sendMail: (letter, id, context) =>
      ask<Sent>(
        "POST",
        "/send",
        letter,
        context,
        (answer) => {
          if (answer.status === 422) return ok({ refusal: answer.envelope.message });
          if (answer.status !== 202) return { ok: false, error: failureOfMail(answer) };
          const reply = replyOf(answer.envelope.data);
          return reply.ok ? ok({ reply: reply.value }) : fail("bad_gateway", undefined, { cause: reply.error });
        },
        { [IDEMPOTENCY_KEY_HEADER]: id },
      ),
    findMail: (id, context) =>
      ask("GET", `/mails/${id}`, undefined, context, (answer) => {
        if (answer.status === 404) return ok(undefined);
        if (answer.status !== 200) return { ok: false, error: failureOfMail(answer) };
        const view = viewOf(answer.envelope.data);
        return view.ok ? view : fail("bad_gateway", undefined, { cause: view.error });
      }),
    publish: (id, at, data, context) =>
      publisher.publish(
        {
          exchange: LOGS_EXCHANGE,
          routingKey: routingKeyOf("INFO"),
          messageId: id,
          body: encoder.encode(JSON.stringify({ name: "user.registered", data })),
          timestamp: new Date(at),
        },
        context,
      ),
  };
}

/** A mail of the outbox: that the mail service refuses it is the end of it. */
export function deliveryOf(sendMail: WelcomePorts["sendMail"]): RelayOptions["sendMail"] {
  return async (mail, id, context) => {
    const sent = await sendMail(mail, id, context);
    if (!sent.ok) return sent;
    return "refusal" in sent.value ? fail("invalid", sent.value.refusal) : ok();
  };
}
