/** Auth as its contract says, for tests that need its faults and its keys: signs what it is told, and can be taken away. */
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK, SignJWT } from "jose";
import { scopesOf } from "#contracts/access";
import { ACCESS_TOKEN, type MeView } from "#contracts/auth";
import type { Revocation } from "#contracts/identity";

export const USER: Omit<MeView, "session_id"> = {
  id: 7,
  email: "ann@example.com",
  first_name: "Ann",
  last_name: "Other",
  active: 1,
  created_at: "2026-01-01T00:00:00.000Z",
  updated_at: "2026-01-01T00:00:00.000Z",
  role: "admin",
  scopes: scopesOf("admin", [], { verified: true }),
  email_verified: true,
  version: 1,
};

export interface TestKey {
  readonly kid: string;
  readonly publicJwk: JWK;
  readonly privateKey: CryptoKey;
}

export async function makeKey(): Promise<TestKey> {
  const pair = await generateKeyPair(ACCESS_TOKEN.algorithm, { crv: "Ed25519", extractable: true });
  const jwk = await exportJWK(pair.publicKey);
  const kid = await calculateJwkThumbprint(jwk);
  return { kid, publicJwk: { ...jwk, kid, use: "sig", alg: ACCESS_TOKEN.algorithm }, privateKey: pair.privateKey };
}

async function bodyOf(request: Request): Promise<unknown> {
  const text = await request.text();
  return text === "" ? undefined : JSON.parse(text);
}

const seconds = (): number => Math.floor(Date.now() / 1_000);

export interface TokenOptions {
  readonly header?: Record<string, unknown>;
  /** Undefined leaves a claim out. */
  readonly claims?: Record<string, unknown>;
  readonly livesS?: number;
}

/** A token as auth signs it, or with what is wrong with it. */
export function sign({ kid, privateKey }: TestKey, { header = {}, claims = {}, livesS = 600 }: TokenOptions = {}) {
  const payload = {
    iss: ACCESS_TOKEN.issuer,
    aud: ACCESS_TOKEN.audience,
    sub: String(USER.id),
    client_id: ACCESS_TOKEN.clientId,
    sid: "session-1",
    scope: USER.scopes.join(" "),
    roles: [USER.role],
    av: 1,
    jti: crypto.randomUUID(),
    iat: seconds(),
    exp: seconds() + livesS,
    ...claims,
  };
  return new SignJWT(payload)
    .setProtectedHeader({ alg: ACCESS_TOKEN.algorithm, typ: ACCESS_TOKEN.type, kid, ...header })
    .sign(privateKey, { crit: { x: true } });
}

export interface AskedOfAuth {
  readonly method: string;
  readonly path: string;
  readonly search: string;
  readonly headers: Headers;
  readonly body: unknown;
}

/** As auth answers `GET /revocations`, all on one page. */
export const revocationList = (items: Revocation[], as_of = "0"): Response =>
  Response.json({ error: false, message: "Revocations", data: { items, as_of, more: false } });

/** A server on a free port; `answer` may be replaced. It keeps its port when it goes away and comes back. */
export function makeAuthDouble(keys: TestKey[]) {
  const asked: AskedOfAuth[] = [];
  const double = {
    keys,
    /** What it was asked, without the key set, revocations, readiness and metrics. */
    asked,
    keySetsAsked: 0,
    url: "",
    keySet: (): Response | Promise<Response> => Response.json({ keys: double.keys.map((key) => key.publicJwk) }),
    revocations: (_since: string | null): Response | Promise<Response> => revocationList([]),
    answer: (request: AskedOfAuth): Response | Promise<Response> =>
      request.path === "/me"
        ? Response.json({ error: false, message: "The user", data: { ...USER, session_id: "session-1" } })
        : Response.json({ error: true, message: "no such route" }, { status: 404 }),
    up() {
      server = serve(Number(new URL(double.url).port));
    },
    down: () => server.stop(true),
  };
  const serve = (port: number) =>
    Bun.serve({
      port,
      hostname: "127.0.0.1",
      async fetch(request) {
        const { pathname: path, search, searchParams } = new URL(request.url);
        if (path === "/ready") {
          return Response.json({ error: false, message: "ready", data: { dependencies: [] } });
        }
        if (path === "/metrics") return new Response("");
        if (path === "/revocations") return double.revocations(searchParams.get("since"));
        if (path === "/.well-known/jwks.json") {
          double.keySetsAsked += 1;
          return double.keySet();
        }
        const { method, headers } = request;
        const question = { method, path, search, headers, body: await bodyOf(request) };
        asked.push(question);
        return double.answer(question);
      },
    });
  let server = serve(0);
  double.url = server.url.origin;
  return double;
}
