/** Access tokens and API keys that are nearly right, against the broker: none of them is anybody's. */
import { createHmac } from "node:crypto";
import { generateKeyPair, type JWK, SignJWT } from "jose";
import { ACCESS_TOKEN } from "#contracts/auth";
import { API_KEY_HEADER } from "#contracts/headers";
import { between, oneOf } from "../../../dev/chaos/random.ts";
import { askUntilMeant, makeTurns, type Turns } from "./alone.ts";
import { Broken, type Campaign } from "./campaign.ts";
import { mutateValue } from "./mutate.ts";
import type { Target } from "./target.ts";

type Random = () => number;

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const ANSWER_MS = 10_000;

interface Material {
  readonly target: Target;
  readonly turns: Turns;
  readonly publicKeys: readonly JWK[];
  readonly own: CryptoKey;
  /** A good API key. */
  readonly apiKey: string;
}

export const tokens: Campaign = {
  id: "tokens",
  what: "access tokens and API keys that are nearly right, against the broker",
  full: 20_000,
  short: 1_000,
  width: 16,
  needsPlatform: true,
  async open(target) {
    if (target === undefined) throw new Error("the platform is needed");
    const keySet = (await (await fetch(`${target.url("auth")}/.well-known/jwks.json`)).json()) as { keys: JWK[] };
    const { privateKey } = await generateKeyPair(ACCESS_TOKEN.algorithm, { crv: "Ed25519" });
    const material = {
      target,
      turns: makeTurns(),
      publicKeys: keySet.keys,
      own: privateKey,
      apiKey: await makeApiKey(target),
    };
    await checkGood(material);
    return {
      reaches: ["401", "the same token written otherwise"],
      attempt: (random) => attempt(material, random),
      // What is good is so still: the attack locked nobody out.
      finish: () =>
        checkGood(material).then(
          () => [],
          (error: unknown) => [String(error)],
        ),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  },
};

async function makeApiKey(target: Target): Promise<string> {
  // An attack before this one may have ended the session.
  target.forget(await target.token());
  const made = await target.platform.post(
    "broker",
    "/v1/api-keys",
    { name: `fuzz ${Bun.randomUUIDv7()}`, scopes: ["logs:write"] },
    { authorization: `Bearer ${await target.token()}` },
  );
  const key = (made.body.data as { key?: string } | undefined)?.key;
  if (key === undefined) throw new Error(`no API key: ${made.status} ${made.body.message}`);
  return key;
}

async function ask({ target }: Material, headers: Record<string, string>, path = "/v1/me"): Promise<Response> {
  const answer = await fetch(`${target.url("broker")}${path}`, { headers, signal: AbortSignal.timeout(ANSWER_MS) });
  await answer.arrayBuffer();
  return answer;
}

async function checkGood(material: Material): Promise<void> {
  const { status: byToken } = await ask(material, { authorization: `Bearer ${await material.target.token()}` });
  if (byToken !== 200) throw new Broken(`a good token is answered ${byToken}`);
  const { status: byKey } = await ask(material, { [API_KEY_HEADER]: material.apiKey });
  if (byKey === 401 || byKey >= 500) throw new Broken(`a good API key is answered ${byKey}`);
}

async function attempt(material: Material, random: Random): Promise<string> {
  const isKey = random() < 0.4;
  const good = isKey ? material.apiKey : await material.target.token();
  const forged = isKey ? forgedKey(random, good) : await forgedToken(material, random, good);
  if (isSame(forged, good)) return "the same token written otherwise";
  // Only bytes that a header can have at all.
  if (!/^[\x20-\x7e\x80-\xff]*$/.test(forged)) return "no header";
  const headers = headersOf(random, isKey, forged);
  // A key is looked up by auth and a token is not: both are asked for what only somebody may see.
  const { status } = await askUntilMeant(material.turns, () => ask(material, headers));
  const what = JSON.stringify(headers);
  if (status >= 500) throw new Broken(`${status} by ${what}`);
  if (status < 400) throw new Broken(`accepted (${status}): ${what}`);
  // 431: longer than any header may be.
  if (status !== 401 && status !== 431) throw new Broken(`${status}, and not 401: ${what}`);
  return String(status);
}

function headersOf(random: Random, isKey: boolean, forged: string): Record<string, string> {
  if (!isKey) return { authorization: `${oneOf(random, ["Bearer", "Bearer", "bearer", "BEARER"])} ${forged}` };
  return random() < 0.8 ? { [API_KEY_HEADER]: forged } : { authorization: `Bearer ${forged}` };
}

/** Base64url without padding has bits that mean nothing in its last character (RFC 4648 §3.5), and headers are trimmed. */
function isSame(forged: string, good: string): boolean {
  const bytes = (text: string) =>
    text
      .trim()
      .split(".")
      .map((part) => Buffer.from(part, "base64url").toString("hex"));
  if (good.startsWith("pk_")) return forged.trim() === good;
  return /^[\w.-]*$/.test(forged.trim()) && Bun.deepEquals(bytes(forged), bytes(good));
}

function forgedKey(random: Random, good: string): string {
  const roll = random();
  if (roll < 0.1)
    return oneOf(random, ["", "pk_", "pk__", "pk_a_b", "null", "undefined", "' OR '1'='1", `${good},${good}`]);
  if (roll < 0.3) {
    const parts = good.split("_");
    const at = between(random, 0, parts.length - 1);
    return parts.map((part, index) => (index === at ? text(random, part.length) : part)).join("_");
  }
  return changedText(random, good);
}

async function forgedToken(material: Material, random: Random, good: string): Promise<string> {
  const roll = random();
  if (roll < 0.05)
    return oneOf(random, ["", ".", "..", "...", "a.b.c", "null", `${good}.`, `.${good}`, `${good} ${good}`]);
  if (roll < 0.45) return changedText(random, good);
  const [head = "", payload = "", signature = ""] = good.split(".");
  const header = decoded(head);
  const claims = decoded(payload);
  if (roll < 0.6) {
    // Any part made anew, under the signature that was for another one.
    const newHead = random() < 0.5 ? encoded(mutateValue(random, header)) : head;
    const newPayload = newHead === head || random() < 0.5 ? encoded(mutateValue(random, claims)) : payload;
    return `${newHead}.${newPayload}.${signature}`;
  }
  const wrongHeader = {
    ...header,
    alg: oneOf(random, ["none", "None", "nOnE", "", "HS256", "HS512", "ES256", "RS256", "EdDSA"]),
  };
  const signed = `${encoded(wrongHeader)}.${payload}`;
  if (roll < 0.7) return `${signed}.${random() < 0.5 ? "" : signature}`;
  if (roll < 0.85) {
    // The public key, which everybody knows, as the secret of a symmetric signature.
    const key = oneOf(random, material.publicKeys);
    const secret = oneOf(random, [JSON.stringify(key), key.x ?? "", key.kid ?? "", ""]);
    const hash = wrongHeader.alg === "HS512" ? "sha512" : "sha256";
    return `${signed}.${createHmac(hash, secret).update(signed).digest("base64url")}`;
  }
  // A good signature, by a key that is nobody's.
  return new SignJWT({ ...claims, ...(random() < 0.5 ? { sub: String(between(random, 1, 9)) } : {}) })
    .setProtectedHeader({
      alg: ACCESS_TOKEN.algorithm,
      typ: ACCESS_TOKEN.type,
      kid: oneOf(random, [String(header["kid"]), "../../etc/passwd", "", "x".repeat(100)]),
      ...(random() < 0.3 ? { jku: "http://127.0.0.1:1/keys" } : {}),
    })
    .sign(material.own);
}

function changedText(random: Random, good: string): string {
  let out = good;
  for (let edits = between(random, 1, 3); edits > 0; edits -= 1) {
    const at = between(random, 0, out.length - 1);
    const put = oneOf(random, [text(random, 1), "", ".", "_", "=", "%", "\u00e9", text(random, 8)]);
    out = out.slice(0, at) + put + out.slice(at + between(random, 0, 3));
  }
  return random() < 0.1 ? out.slice(0, between(random, 0, out.length)) : out;
}

function text(random: Random, length: number): string {
  return Array.from({ length }, () => ALPHABET.charAt(between(random, 0, ALPHABET.length - 1))).join("");
}

const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value) ?? "").toString("base64url");

function decoded(part: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(part, "base64url").toString()) as Record<string, unknown>;
}
