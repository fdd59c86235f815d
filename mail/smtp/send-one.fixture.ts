/** Sends one mail to the server that is named, as a process of its own: what it trusts is set by its environment. */
import { Secret } from "#shared/config";
import { outcomeOf } from "../outbox/states.ts";
import { makeSmtp } from "./smtp.ts";

const [, , url = ""] = process.argv;
await using smtp = makeSmtp({
  url: new Secret(url),
  tls: "required",
  name: "here.example",
  connectTimeoutMs: 3_000,
  idleTimeoutMs: 3_000,
  onLost: () => undefined,
});
const bytes = new TextEncoder().encode("Subject: hi\r\n\r\nhello\r\n");
const letter = { from: "ann@example.com", to: "bob@example.org", bytes };
const result = await smtp.send(letter, async () => true, AbortSignal.timeout(5_000));
process.stdout.write(`${outcomeOf(result)}: ${result.text}\n`);
