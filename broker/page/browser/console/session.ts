/**
 * Who uses the page. The access token is in memory only, the refresh token in a cookie that no script reads (docs/sessions.md). In
 * localStorage is a note of who is signed in, without any token: a reload and other tabs find the session by it, and hear of its end.
 */
import type { components } from "../../../client/paths.ts";
import { makeStore } from "./store.ts";

type Me = Pick<
  components["schemas"]["MeView"],
  "id" | "email" | "first_name" | "last_name" | "role" | "scopes" | "session_id"
>;
type Tokens = components["schemas"]["TokenReply"];

export interface Session {
  readonly me: Me | undefined;
  /** Told once, where a session ended by itself. */
  readonly ended?: string;
  /** Why the session, which may well go on, could not be renewed the last time. */
  readonly held?: string;
}

/** Why somebody was not let in. */
export interface SignInTrouble {
  /** 0 where no answer came. */
  readonly status: number;
  readonly message: string;
  /** Seconds after which trying again makes sense. */
  readonly retryAfterS?: number;
}

const NOTE = "platform.session";
const LOCK = "platform.session";
/** A token that ends within this time is renewed before it is used (ms). */
const EARLY_MS = 15_000;
const WITHIN_MS = 10_000;
/** Longest that other tabs are waited for (ms). */
const LOCK_MS = 2 * WITHIN_MS;

export const session = makeStore<Session>({ me: noted() });

let access: { readonly token: string; readonly until: number } | undefined;
let renewing: Promise<void> | undefined;

// Of other tabs; and of a page that the browser had put aside, which was told of nothing meanwhile.
addEventListener("storage", ({ key }) => (key === NOTE || key === null) && follow());
addEventListener("pageshow", ({ persisted }) => persisted && follow());

function follow(): void {
  const me = noted();
  if (me?.session_id !== session.get().me?.session_id) access = undefined;
  session.set({ me });
}

function noted(): Me | undefined {
  try {
    const note = JSON.parse(localStorage.getItem(NOTE) ?? "null") as Partial<Me> | null;
    return typeof note?.session_id === "string" && Array.isArray(note.scopes) ? (note as Me) : undefined;
  } catch {
    // Somebody else's, or not to be had: then nobody is signed in.
    return undefined;
  }
}

/** What is known of whoever is signed in, where it has changed. */
export function noteMe({ id, email, first_name, last_name, role, scopes, session_id }: Me): void {
  const me: Me = { id, email, first_name, last_name, role, scopes, session_id };
  localStorage.setItem(NOTE, JSON.stringify(me));
  session.set({ me });
}

function keep(me: Me, { access_token: token, expires_in }: Pick<Tokens, "access_token" | "expires_in">): void {
  access = { token, until: performance.now() + expires_in * 1_000 };
  noteMe(me);
}

function forget(ended?: string): void {
  localStorage.removeItem(NOTE);
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

/** @returns undefined where nobody is signed in, the session has ended, or it could not be renewed (`Session.held`). */
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

/** One tab at a time: each takes the cookie that the one before has left. */
function alone<T>(work: () => Promise<T>): Promise<T> {
  // Not there without HTTPS; two at once do no harm either (docs/sessions.md, "A lost answer").
  if (!("locks" in navigator)) return work();
  return navigator.locks.request(LOCK, { signal: AbortSignal.timeout(LOCK_MS) }, work) as Promise<T>;
}

async function renew(): Promise<void> {
  try {
    await alone(async () => {
      // Another tab may have signed out meanwhile, or somebody else in.
      const me = noted();
      if (me === undefined) return forget();
      // It reaches its end also where the page does not: the next cookie is not lost.
      const { status, message, data } = await send<Tokens>("POST", "/v1/sessions/refresh", {
        body: {},
        keepalive: true,
      });
      if (status === 401) return forget("it was ended, or not used for too long");
      // The old token may still do, or the request says what is wrong.
      if (data === undefined) return session.set({ me, held: message });
      if (data.session_id !== me.session_id) return forget("this browser has another one now");
      keep({ ...me, ...rightsIn(data.access_token) }, data);
    });
  } catch (error) {
    session.set({ me: session.get().me, held: reasonOf(error) });
  }
}

/** What the token is good for (claims `scope` and `roles`): they may have changed since the login. */
function rightsIn(token: string): Pick<Me, "role" | "scopes"> {
  const base64 = (token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/");
  const { scope, roles } = JSON.parse(atob(base64)) as { scope: string; roles: [Me["role"]] };
  return { role: roles[0], scopes: scope.split(" ").filter(Boolean) as Me["scopes"] };
}

/** @returns why not; undefined where it went well. */
export async function signIn(email: string, password: string): Promise<SignInTrouble | undefined> {
  try {
    return await alone(async () => {
      const answer = await send<Me & Tokens>("POST", "/v1/sessions", { body: { email, password } });
      const { status, message, retryAfterS, data } = answer;
      if (data === undefined) return { status, message, ...(retryAfterS === undefined ? {} : { retryAfterS }) };
      keep(data, data);
      return undefined;
    });
  } catch (error) {
    return { status: 0, message: reasonOf(error) };
  }
}

/** Here it is over at once. @returns why the platform does not know, where it could not be told: there the session goes on. */
export async function signOut(): Promise<string | undefined> {
  const bearer = await accessToken();
  const { me, held } = session.get();
  if (me === undefined) return undefined;
  forget();
  if (bearer === undefined) return held;
  try {
    const { status, message } = await alone(() => send("DELETE", "/v1/sessions/current", { bearer }));
    return status === 200 || status === 401 ? undefined : message;
  } catch (error) {
    return reasonOf(error);
  }
}

interface Sent {
  readonly body?: unknown;
  readonly bearer?: string;
  readonly keepalive?: boolean;
}

interface Told<T> {
  readonly status: number;
  readonly message: string;
  readonly retryAfterS?: number;
  /** Of a success. */
  readonly data: T | undefined;
}

/** With the header that makes the cookie count. @throws where no answer comes, or none that is ours. */
async function send<T>(method: string, path: string, { body, bearer, keepalive = false }: Sent): Promise<Told<T>> {
  const answer = await fetch(path, {
    method,
    headers: {
      "x-session": "cookie",
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    keepalive,
    signal: AbortSignal.timeout(WITHIN_MS),
  });
  const { message, data } = (await answer.json()) as { message: string; data?: T };
  const retryAfterS = Number(answer.headers.get("retry-after") ?? Number.NaN);
  return {
    status: answer.status,
    message,
    ...(Number.isNaN(retryAfterS) ? {} : { retryAfterS }),
    data: answer.ok ? data : undefined,
  };
}

function reasonOf(error: unknown): string {
  return `no answer from the broker${error instanceof Error && error.message !== "" ? `: ${error.message}` : ""}`;
}
