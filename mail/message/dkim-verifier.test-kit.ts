/** Verifies a DKIM signature by RFC 6376 §3.4 and §6.1, and shares no code with what signs. */
import { createHash, createPublicKey, verify } from "node:crypto";

interface Field {
  readonly name: string;
  /** The whole of it, folded as it came, without its last line break. */
  readonly raw: string;
}

function split(message: string): { fields: Field[]; body: string } {
  const end = message.indexOf("\r\n\r\n");
  const fields: Field[] = [];
  for (const line of message.slice(0, end).split("\r\n")) {
    const last = fields.at(-1);
    if (/^[ \t]/.test(line) && last !== undefined)
      fields[fields.length - 1] = { ...last, raw: `${last.raw}\r\n${line}` };
    else fields.push({ name: line.slice(0, line.indexOf(":")).trim().toLowerCase(), raw: line });
  }
  return { fields, body: message.slice(end + 4) };
}

/** §3.4.2 */
function relaxedField(raw: string): string {
  const colon = raw.indexOf(":");
  const value = raw.slice(colon + 1).replaceAll("\r\n", "");
  return `${raw.slice(0, colon).trim().toLowerCase()}:${value.replaceAll(/[ \t]+/g, " ").trim()}`;
}

/** §3.4.4 */
function relaxedBody(body: string): string {
  const lines = body.split("\r\n").map((line) => line.replaceAll(/[ \t]+/g, " ").replace(/ $/, ""));
  while (lines.at(-1) === "") lines.pop();
  return lines.map((line) => `${line}\r\n`).join("");
}

export interface Verdict {
  readonly tags: Readonly<Record<string, string>>;
  /** Names in `h=`, in small letters. */
  readonly signed: readonly string[];
  readonly bodyHolds: boolean;
  readonly headersHold: boolean;
}

/** @param publicKey PEM. @throws where there is not exactly one signature */
export function verifyDkim(bytes: Uint8Array, publicKey: string): Verdict {
  const { fields, body } = split(Buffer.from(bytes).toString("latin1"));
  const signatures = fields.filter(({ name }) => name === "dkim-signature");
  const signature = signatures[0];
  if (signature === undefined || signatures.length > 1) throw new Error(`${signatures.length} signatures`);
  const list = signature.raw.slice(signature.raw.indexOf(":") + 1).replaceAll("\r\n", "");
  const tags: Record<string, string> = {};
  for (const tag of list.split(";")) {
    const [name = "", ...rest] = tag.split("=");
    if (name.trim() !== "") tags[name.trim()] = rest.join("=").replaceAll(/[ \t]/g, "");
  }
  const signed = (tags["h"] ?? "").toLowerCase().split(":");
  // §5.4.2: the last field of a name first, and each but once.
  const left = fields.toReversed();
  const data = signed.map((name) => {
    const at = left.findIndex((field) => field.name === name);
    return at === -1 ? "" : `${relaxedField(left.splice(at, 1)[0]?.raw ?? "")}\r\n`;
  });
  const unsigned = relaxedField(signature.raw.replace(/([;\s]b=)[^;]*/, "$1"));
  const input = Buffer.from(data.join("") + unsigned, "latin1");
  const b = Buffer.from(tags["b"] ?? "", "base64");
  const bh = createHash("sha256").update(relaxedBody(body), "latin1").digest("base64");
  return {
    tags,
    signed,
    bodyHolds: bh === tags["bh"],
    headersHold: verify("sha256", input, createPublicKey(publicKey), b),
  };
}
