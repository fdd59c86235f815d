import { CLIENT, PAGE, STYLE } from "./inbox-page.ts";
import type { InboxStore, Message, MessageSummary } from "./inbox-store.ts";

/** The inbox over HTTP: Mailpit's paths and shapes, so that tests run against either, and one page for people. */

/** As in Mailpit: what a list gives where no limit is said, and at most. */
const LIMIT = 50;
const LARGEST_LIMIT = 1_000;

const HEADERS = {
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
  "Cache-Control": "no-store",
  "Cross-Origin-Resource-Policy": "same-origin",
} as const;
/** The page runs its own script and style, and frames its own answers. Nothing is ever fetched from elsewhere. */
const PAGE_POLICY = [
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-src 'self'",
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
].join("; ");
/** A mail's HTML: no script, no request, not even for a picture that would tell its sender that it was read. */
const MAIL_POLICY =
  "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

export function inboxHandler(store: InboxStore, port: number): (request: Request) => Promise<Response> {
  return async (request) => {
    const url = new URL(request.url);
    if (!isOurs(request, url, port)) return answer("not for this site\n", "text/plain", {}, 403);
    try {
      return await route(store, request, url);
    } catch (error) {
      process.stderr.write(`inbox: ${error instanceof Error ? error.message : String(error)}\n`);
      return answer("internal error\n", "text/plain", {}, 500);
    }
  };
}

/** Refuses other names of this machine (DNS rebinding), and other sites' scripts that would empty the inbox. */
function isOurs(request: Request, url: URL, port: number): boolean {
  if (!["127.0.0.1", "localhost", "[::1]"].includes(url.hostname)) return false;
  const origin = request.headers.get("origin");
  if (request.method === "GET" || request.method === "HEAD" || origin === null) return true;
  return [`http://127.0.0.1:${port}`, `http://localhost:${port}`].includes(origin);
}

async function route(store: InboxStore, request: Request, url: URL): Promise<Response> {
  const key = `${request.method === "HEAD" ? "GET" : request.method} ${url.pathname}`;
  switch (key) {
    case "GET /":
      return answer(PAGE, "text/html", { "Content-Security-Policy": PAGE_POLICY });
    case "GET /inbox.js":
      return answer(CLIENT, "text/javascript");
    case "GET /inbox.css":
      return answer(STYLE, "text/css");
    case "GET /livez":
    case "GET /readyz":
      return answer("OK", "text/plain");
    case "GET /api/v1/info":
      return Response.json(
        { Version: "inbox", Messages: store.find("").length, Unread: store.unread },
        { headers: HEADERS },
      );
    case "GET /api/v1/messages":
      return list(store, url, "");
    case "GET /api/v1/search":
      return list(store, url, url.searchParams.get("query") ?? "");
    case "DELETE /api/v1/messages":
      return remove(store, request);
    default:
      return messageRoute(store, request.method, url.pathname);
  }
}

function list(store: InboxStore, url: URL, query: string): Response {
  const found = store.find(query);
  const start = count(url.searchParams.get("start"), 0, found.length);
  const limit = count(url.searchParams.get("limit"), LIMIT, LARGEST_LIMIT);
  const messages: MessageSummary[] = found.slice(start, start + limit);
  const total = query === "" ? found.length : store.find("").length;
  const body = {
    total,
    unread: store.unread,
    count: messages.length,
    messages_count: found.length,
    messages_unread: found.filter(({ Read }) => !Read).length,
    start,
    tags: [],
    messages,
  };
  return Response.json(body, { headers: HEADERS });
}

function count(text: string | null, otherwise: number, largest: number): number {
  const value = text === null || text === "" ? otherwise : Number(text);
  return Number.isInteger(value) && value >= 0 ? Math.min(value, largest) : otherwise;
}

/** Without a body, or with no ids in it, all go. */
async function remove(store: InboxStore, request: Request): Promise<Response> {
  const text = await request.text();
  const ids = text.trim() === "" ? [] : idsOf(text);
  if (ids === undefined) return answer('a list is needed: {"IDs":["…"]}\n', "text/plain", {}, 400);
  if (ids.length === 0) await store.clear();
  for (const id of ids) await store.remove(id);
  return answer("ok", "text/plain");
}

function idsOf(text: string): string[] | undefined {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof body !== "object" || body === null) return undefined;
  const ids: unknown = (body as Record<string, unknown>)["IDs"] ?? (body as Record<string, unknown>)["ids"] ?? [];
  return Array.isArray(ids) && ids.every((id) => typeof id === "string") ? ids : undefined;
}

async function messageRoute(store: InboxStore, method: string, path: string): Promise<Response> {
  const [, named, rest = ""] = /^\/(?:api\/v1\/message|view)\/([0-9a-z]+)(\/.*|\.html|\.txt)?$/.exec(path) ?? [];
  const id = named === "latest" ? store.newest : named;
  const missing = () => answer("message not found\n", "text/plain", {}, 404);
  if (id === undefined) return answer("not found\n", "text/plain", {}, 404);
  if (method !== "GET" && method !== "HEAD") return answer("method not allowed\n", "text/plain", { Allow: "GET" }, 405);
  if (rest === "/raw") {
    const raw = await store.raw(id);
    return raw === undefined ? missing() : answer(raw, "text/plain");
  }
  const message = await store.message(id);
  if (message === undefined) return missing();
  if (path.startsWith("/view/")) {
    if (rest === ".txt") return answer(message.text, "text/plain");
    if (rest === ".html") return answer(message.html, "text/html", { "Content-Security-Policy": MAIL_POLICY });
    return missing();
  }
  if (rest === "") return Response.json(full(message), { headers: HEADERS });
  if (rest === "/headers") return Response.json(message.headers, { headers: HEADERS });
  const part = message.attachments.find(({ PartID }) => rest === `/part/${PartID}`);
  if (part === undefined) return missing();
  // Never shown, always saved: an attachment is a stranger's file.
  const disposition = `attachment; filename*=UTF-8''${encodeURIComponent(part.FileName).replaceAll("'", "%27")}`;
  return answer(part.bytes, "application/octet-stream", { "Content-Disposition": disposition });
}

function full({ summary, text, html, date, attachments }: Message): Record<string, unknown> {
  const { Snippet: _snippet, Attachments: _count, Created: _created, Read: _read, ...head } = summary;
  const listed = attachments.map(({ bytes: _bytes, ...part }) => part);
  return {
    ...head,
    ReturnPath: summary.From.Address,
    Date: date,
    Text: text,
    HTML: html,
    Inline: [],
    Attachments: listed,
  };
}

function answer(
  body: string | Uint8Array,
  type: string,
  headers: Readonly<Record<string, string>> = {},
  status = 200,
): Response {
  const contentType = type.startsWith("text/") ? `${type}; charset=utf-8` : type;
  return new Response(body, { status, headers: { ...HEADERS, "Content-Type": contentType, ...headers } });
}
