/** Where a thing that was accepted is now, and how it came there. */
import { useRoute } from "preact-iso";
import type { Schema } from "../api.ts";
import { Show, useAsked } from "../asked.tsx";
import { Badge, PageTitle, Section, Time, type Tone } from "../ui.tsx";

const EVERY_MS = 2_000;

const TONES: Readonly<Partial<Record<Schema<"Receipt">["state"], Tone>>> = {
  stored: "good",
  sent: "good",
  accepted: "info",
  spooled: "warn",
  queued: "warn",
  partial: "warn",
};

/** The steps of a receipt, the last of which is where it is. */
export function ReceiptSteps({ receipt }: { receipt: Schema<"Receipt"> }) {
  return (
    <div class="receipt">
      <p>
        <a href={`/console/receipts/${encodeURIComponent(receipt.id)}`}>
          Receipt of the {receipt.kind} <code>{receipt.id}</code>
        </a>{" "}
        {receipt.kind === "mail" ? (
          <a href={`/console/mails/${receipt.id}`}>the mail</a>
        ) : (
          receipt.state === "stored" && <a href={`/console/logs/${encodeURIComponent(receipt.id)}`}>the entry</a>
        )}
      </p>
      <ol class="steps">
        {receipt.steps.map(({ state, where, at, reason }, step) => (
          <li key={`${state}${where}${at}`}>
            <Badge tone={step < receipt.steps.length - 1 ? "info" : (TONES[state] ?? "bad")}>{state}</Badge> {where}{" "}
            <Time at={at} how="clock" />
            {reason !== undefined && <small> {reason}</small>}
          </li>
        ))}
      </ol>
      {!receipt.final && <p class="hint">Not at its end yet.</p>}
      {receipt.unasked.length > 0 && (
        <p class="hint">Did not answer, and may know more: {receipt.unasked.join(", ")}.</p>
      )}
    </div>
  );
}

export function ReceiptPage() {
  const { params } = useRoute();
  const id = params["id"] ?? "";
  const asked = useAsked<Schema<"Receipt">>(`/v1/receipts/${encodeURIComponent(id)}`, { everyMs: EVERY_MS });
  return (
    <>
      <PageTitle title="Receipt" lead="Everything that was accepted can be followed by its id to its end." />
      <Section title="Where it is">
        <Show of={asked} what="the receipt">
          {(receipt) => <ReceiptSteps receipt={receipt} />}
        </Show>
      </Section>
    </>
  );
}
