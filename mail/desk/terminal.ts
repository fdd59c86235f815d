/** Mails as a person reads them: a table, and one mail whole. */
import type { MailAttempt, MailView } from "#contracts/mail";
import { ageOf, dim, oneLine, table, type Terminal } from "#shared/terminal";

type Paper = Pick<Terminal, "colour" | "columns">;

function toOf({ to, recipients }: MailView): string {
  return recipients.length === 1 ? to : `${to} +${recipients.length - 1}`;
}

export function mailTable(mails: readonly MailView[], terminal: Paper): string {
  const now = Date.now();
  const rows = mails.map((mail) => [
    mail.id,
    mail.state,
    ageOf(mail.created_at, now),
    String(mail.attempts),
    oneLine(toOf(mail)),
    oneLine(mail.from),
    oneLine(mail.reply?.text ?? mail.subject),
  ]);
  return table(["ID", "STATE", "AGE", "TRIES", "TO", "FROM", "LAST REPLY OR SUBJECT"], rows, terminal);
}

function happened({ at, outcome, reply, took_ms }: MailAttempt): string[] {
  const said = reply === undefined ? "" : `${reply.command === undefined ? "" : `${reply.command}: `}${reply.text}`;
  return [at, outcome, took_ms === undefined ? "" : `${took_ms} ms`, oneLine(said)];
}

/** All that is told of a mail: not its text. */
export function wholeMail(mail: MailView, terminal: Paper): string {
  const facts: [string, string | undefined][] = [
    ["id", mail.id],
    ["state", mail.state],
    ["from", mail.from],
    ["subject", mail.subject],
    ["priority", mail.priority],
    ["list", mail.list],
    ["template", mail.template && `${mail.template.name} v${mail.template.version} ${mail.template.locale}`],
    ["attachments", mail.attachments?.map(({ filename, bytes }) => `${filename} (${bytes} bytes)`).join(", ")],
    ["accepted", mail.created_at],
  ];
  const lines = facts
    .filter((fact): fact is [string, string] => fact[1] !== undefined)
    .map(([name, value]) => `${dim(name.padEnd(12), terminal)} ${oneLine(value)}`);
  const recipients = mail.recipients.map((recipient) => {
    const next = recipient.next_attempt_at === undefined ? "" : `, next attempt ${recipient.next_attempt_at}`;
    const head = `${recipient.kind} ${oneLine(recipient.address)}: ${recipient.state}, ${recipient.attempts} attempts${next}`;
    const history = (recipient.history ?? []).map(happened);
    return `\n${head}\n${history.length === 0 ? "" : table(["AT", "WHAT", "TOOK", "REPLY"], history, terminal)}`;
  });
  return `${lines.join("\n")}\n${recipients.join("")}`;
}
