/** What a page shows of the platform: asked, shown while it is renewed, and told in words where it can't be had. */
import type { ComponentChildren } from "preact";
import { useCallback, useEffect, useState } from "preact/hooks";
import { ask, type AskOptions, type Reply, type Trouble } from "./api.ts";
import { may, session, signOut } from "./session.ts";
import { useStore } from "./store.ts";
import { Button, Notice, Spinner, toast } from "./ui.tsx";

export interface Asked<T> {
  /** The last answer that was a success; also while the next one is late or fails. */
  readonly data: T | undefined;
  /** What the answer says of itself. */
  readonly message: string | undefined;
  /** Why the last one was none. */
  readonly trouble: Trouble | undefined;
  readonly loading: boolean;
  /** When the last success came (epoch, ms), and how long it took (ms). */
  readonly at: number | undefined;
  readonly ms: number | undefined;
  /** Asks anew. */
  readonly refresh: () => void;
}

export interface AskedOptions {
  /** Asks again so long after each answer (ms), as long as the page is in sight. Default: never. */
  readonly everyMs?: number;
  /** Longest that an answer may take (ms, default 15,000). */
  readonly withinMs?: number;
  /** Statuses that are an answer as 200 is. Always the same array: another one asks anew. */
  readonly takes?: readonly number[];
}

/** `GET path`, again when the path or whoever is signed in changes. `undefined`: nothing is asked. */
export function useAsked<T>(path: string | undefined, { everyMs, takes, withinMs }: AskedOptions = {}): Asked<T> {
  const who = useStore(session).me?.session_id ?? "";
  const [turn, setTurn] = useState(0);
  const [state, setState] = useState<{
    for: string | undefined;
    data?: T;
    message?: string;
    trouble?: Trouble;
    at?: number;
    ms?: number;
    loading: boolean;
  }>({
    for: path,
    loading: path !== undefined,
  });
  const key = `${who} ${path}`;

  useEffect(() => {
    if (path === undefined) {
      setState({ for: key, loading: false });
      return undefined;
    }
    const ended = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    setState((before) => (before.for === key ? { ...before, loading: true } : { for: key, loading: true }));
    const look = async (): Promise<void> => {
      const reply = await ask<T>("GET", path, {
        signal: ended.signal,
        ...(takes === undefined ? {} : { takes }),
        ...(withinMs === undefined ? {} : { withinMs }),
      });
      if (ended.signal.aborted) return;
      setState((before) =>
        reply.ok
          ? { for: key, data: reply.data, message: reply.message, at: Date.now(), ms: reply.ms, loading: false }
          : { ...before, for: key, trouble: reply.trouble, loading: false },
      );
      // Whoever may not look is not helped by asking again.
      const goesOn = reply.ok || reply.trouble.kind === "offline" || reply.trouble.kind === "refused";
      if (everyMs !== undefined && goesOn) timer = setTimeout(again, everyMs);
    };
    const again = (): void => {
      if (document.visibilityState === "visible") void look();
      else document.addEventListener("visibilitychange", again, { once: true });
    };
    void look();
    return () => {
      ended.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", again);
    };
  }, [key, turn, everyMs, takes, withinMs]);

  const refresh = useCallback(() => setTurn((before) => before + 1), []);
  // What was asked for something else is not shown for this.
  const fits = state.for === key;
  return {
    data: fits ? state.data : undefined,
    message: fits ? state.message : undefined,
    trouble: fits ? state.trouble : undefined,
    at: fits ? state.at : undefined,
    ms: fits ? state.ms : undefined,
    loading: fits ? state.loading : path !== undefined,
    refresh,
  };
}

export interface ShowProps<T> {
  readonly of: Asked<T>;
  /** What it is, for the words of the states: "the queues". */
  readonly what: string;
  readonly children: (data: T) => ComponentChildren;
}

/** The children with the data; else loading, the reason why not, or the way to sign in. Old data stays, with a word that it is old. */
export function Show<T>({ of: { data, trouble, loading, at, refresh }, what, children }: ShowProps<T>) {
  if (data === undefined) {
    if (trouble !== undefined) return <TroubleNotice trouble={trouble} what={what} onRetry={refresh} />;
    return loading ? <Spinner what={what} /> : null;
  }
  return (
    <>
      {trouble !== undefined && (
        <Notice tone="warn" title={`This is ${what} as of ${new Date(at ?? 0).toLocaleTimeString()}`}>
          {trouble.message}. It is asked for again by itself.
        </Notice>
      )}
      {children(data)}
    </>
  );
}

export interface TroubleProps {
  readonly trouble: Trouble;
  readonly what: string;
  readonly onRetry?: () => void;
}

/** Each kind of trouble in words, with what can be done about it. */
export function TroubleNotice({ trouble, what, onRetry }: TroubleProps) {
  const { me, ended, held } = useStore(session);
  const retry = onRetry !== undefined && <Button onClick={onRetry}>Try again</Button>;
  const here = encodeURIComponent(location.pathname + location.search);
  switch (trouble.kind) {
    case "signed-out":
      if (me !== undefined && held !== undefined) {
        return (
          <Notice tone="bad" title="Your session can't be renewed now">
            <p>{held}. You stay signed in.</p>
            {retry}
          </Notice>
        );
      }
      return (
        <Notice tone="info" title={`Sign in to see ${what}`}>
          <p>{ended === undefined ? "It is only for people who are known." : `Your session has ended: ${ended}.`}</p>
          <a class="button primary" href={`/console/sign-in?next=${here}`}>
            Sign in
          </a>
        </Notice>
      );
    case "forbidden":
      return (
        <Notice tone="warn" title={`You may not see ${what}`}>
          <p>
            {trouble.scope === undefined ? (
              trouble.message
            ) : (
              <>
                It takes the right <code>{trouble.scope}</code>.
              </>
            )}{" "}
            Who manages users can give it to you: <a href="/console/people">People</a>.
          </p>
        </Notice>
      );
    case "not-found":
      return (
        <Notice tone="info" title="There is nothing here">
          <p>{trouble.message}</p>
        </Notice>
      );
    case "offline":
      return (
        <Notice tone="bad" title="The broker does not answer">
          <p>{trouble.message}. Is the platform running, and the network there?</p>
          {retry}
        </Notice>
      );
    default:
      return (
        <Notice tone="bad" title={`The platform can't give ${what} now`}>
          <p>
            {trouble.message}
            {trouble.retryAfterS === undefined ? "" : `; try again in ${trouble.retryAfterS} s`}
          </p>
          {retry}
        </Notice>
      );
  }
}

export interface ChangeOptions extends AskOptions {
  /** What is so now, told in a corner. Default: what the answer says. */
  readonly done?: string;
  /** Makes it undone: offered for a while. */
  readonly undo?: () => void | Promise<void>;
}

/** Asks for something to be done, and tells how that went. */
export async function change<T = unknown>(
  method: "POST" | "PUT" | "PATCH" | "DELETE",
  path: string,
  { done, undo, ...options }: ChangeOptions = {},
): Promise<Reply<T>> {
  const reply = await ask<T>(method, path, options);
  if (reply.ok) toast(done ?? reply.message, undo === undefined ? {} : { undo });
  else toast(inWords(reply.trouble), { tone: "bad" });
  return reply;
}

function inWords({ kind, message, scope, retryAfterS }: Trouble): string {
  if (kind === "signed-out") return `Sign in first: ${message}`;
  if (scope !== undefined) return `It takes the right ${scope}`;
  return retryAfterS === undefined ? message : `${message}; try again in ${retryAfterS} s`;
}

/** Signs out, and tells how that went. */
export async function leave(): Promise<void> {
  const why = await signOut();
  if (why === undefined) toast("Signed out");
  else toast(`Signed out here, but the session itself goes on: ${why}`, { tone: "warn" });
}

/** Why whoever looks may not do what takes this right: for `Button barred`. Undefined where he may, or the broker decides. */
export function useBarred(scope: string): string | undefined {
  useStore(session);
  return may(scope) ? undefined : `It takes the right ${scope}`;
}

interface Page<T> {
  readonly items: readonly T[];
  readonly next_cursor?: string;
}

export interface Pages<T> extends Asked<readonly T[]> {
  /** Asks for the next page; undefined where there is none. */
  readonly more: (() => Promise<void>) | undefined;
  /** Why the next page could not be had. */
  readonly moreTrouble: Trouble | undefined;
}

/** A list of pages (`data.items`, `data.next_cursor`), the first one at once and each further one when it is asked for. */
export function usePages<T>(path: string | undefined, options: Pick<AskedOptions, "withinMs"> = {}): Pages<T> {
  const first = useAsked<Page<T>>(path, options);
  const [rest, setRest] = useState<{
    of: Page<T> | undefined;
    items: readonly T[];
    cursor: string | undefined;
    trouble?: Trouble;
  }>({
    of: undefined,
    items: [],
    cursor: undefined,
  });
  const further = rest.of === first.data ? rest : { items: [], cursor: first.data?.next_cursor };
  const more = async (): Promise<void> => {
    const next = `${path}${path?.includes("?") === true ? "&" : "?"}cursor=${encodeURIComponent(further.cursor ?? "")}`;
    const reply = await ask<Page<T>>("GET", next, options);
    if (reply.ok)
      setRest({ of: first.data, items: [...further.items, ...reply.data.items], cursor: reply.data.next_cursor });
    else setRest({ of: first.data, items: further.items, cursor: further.cursor, trouble: reply.trouble });
  };
  return {
    ...first,
    data: first.data === undefined ? undefined : [...first.data.items, ...further.items],
    more: further.cursor === undefined ? undefined : more,
    moreTrouble: "trouble" in further ? further.trouble : undefined,
  };
}

/** The button below a list that has more. */
export function More<T>({ of: { more, moreTrouble } }: { of: Pages<T> }) {
  if (more === undefined) return null;
  return (
    <p class="more">
      {moreTrouble !== undefined && <span class="bad">{moreTrouble.message} </span>}
      <Button onClick={more}>Show more</Button>
    </p>
  );
}
