/**
 * Who uses the page. The access token is in memory only; the refresh token is in the tab's own storage, so that a reload keeps the
 * session and closing the tab ends it here. Two requests that find the access token old wait for one refresh.
 */
import type { components } from "../../../client/paths.ts";
import { makeStore } from "./store.ts";

type Me = Pick<
  components["schemas"]["MeView"],
  "id" | "email" | "first_name" | "last_name" | "role" | "scopes" | "session_id"
>;

export interface Session {
  readonly me: Me | undefined;
  /** Told once, where a session ended by itself. */
  readonly ended?: string;
}

interface Tokens {
  readonly access_token: string;
  readonly refresh_token: string;
  /** Seconds. */
  readonly expires_in: number;
}

const KEY = "platform.session";
/** A token that ends within this time is renewed before it is used (ms). */
const EARLY_MS = 15_000;
const WITHIN_MS = 10_000;

export const session = makeStore<Session>({ me: kept()?.me });

let access: { readonly token: string; readonly until: number } | undefined;
let renewing: Promise<void> | undefined;

interface Kept {
  readonly me: Me;
  readonly refresh: string;
}

function kept(): Kept | undefined {
  const text = sessionStorage.getItem(KEY);
  return text === null ? undefined : (JSON.parse(text) as Kept);
}

function keep(me: Me, tokens: Tokens): void {
  sessionStorage.setItem(KEY, JSON.stringify({ me, refresh: tokens.refresh_token } satisfies Kept));
  access = { token: tokens.access_token, until: performance.now() + tokens.expires_in * 1_000 };
}

function forget(ended?: string): void {
  sessionStorage.removeItem(KEY);
  access = undefined;
  session.set({ me: undefined, ...(ended === undefined ? {} : { ended }) });
}

export const isSignedIn = (): boolean => session.get().me !== undefined;

/** Whether whoever is signed in holds a scope. Nobody signed in: the broker decides. */
export const may = (scope: string): boolean => {
  const { me } = session.get();
  return me === undefined || (me.scopes as readonly string[]).includes(scope);
};

/** The access token was refused: the next request gets another one. */
export function forgetAccess(): void {
  access = undefined;
}

/** @returns undefined where nobody is signed in, or the session has ended. */
export async function accessToken(): Promise<string | undefined> {
  if (!isSignedIn()) return undefined;
  if (access === undefined || access.until - EARLY_MS < performance.now()) {
    renewing ??= renew().finally(() => {
      renewing = undefined;
    });
    await renewing;
  }
  return access?.token;
}

async function renew(): Promise<void> {
  const before = kept();
  if (before === undefined) return forget();
  try {
    const answer = await post("/v1/sessions/refresh", { refresh_token: before.refresh });
    const { data, message } = (await answer.json()) as { message: string; data?: Tokens };
    if (answer.ok && data !== undefined) keep(before.me, data);
    else if (answer.status === 401) forget(message);
    // Else auth is away: the old token may still do, or the request says what is wrong.
  } catch {
    // No answer: whoever asked gets none either, and says so.
  }
}

/** @returns why not, in words. */
export async function signIn(email: string, password: string): Promise<string | undefined> {
  try {
    const answer = await post("/v1/sessions", { email, password });
    const { data, message } = (await answer.json()) as { message: string; data?: Me & Tokens };
    if (!answer.ok || data === undefined) return message;
    const { id, first_name, last_name, role, scopes, session_id } = data;
    const me: Me = { id, email: data.email, first_name, last_name, role, scopes, session_id };
    keep(me, data);
    session.set({ me });
    return undefined;
  } catch (error) {
    return `No answer from the broker: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** Here it is over at once; what the platform says of it is of no interest any more. */
export async function signOut(): Promise<void> {
  const bearer = await accessToken();
  forget();
  if (bearer === undefined) return;
  await fetch("/v1/sessions/current", {
    method: "DELETE",
    headers: { authorization: `Bearer ${bearer}` },
    signal: AbortSignal.timeout(WITHIN_MS),
  }).catch(() => undefined);
}

function post(path: string, body: unknown): Promise<Response> {
  return fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(WITHIN_MS),
  });
}
