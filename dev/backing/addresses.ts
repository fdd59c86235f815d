/** Addresses as people see them: without secrets, and with what went wrong there in plain words. */

/** The URL without its user's password (and without query values, which may hold one). */
export function shown(url: string): string {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    return "(not a URL)";
  }
  const user = parsed.username === "" ? "" : `${parsed.username}@`;
  return `${parsed.protocol}//${user}${parsed.host}${parsed.pathname === "/" ? "" : parsed.pathname}`;
}

/** Why a server could not be used, in the words a developer can act on. */
export function reasonOf(error: unknown): string {
  const seen = new Set<unknown>();
  let at: unknown = error;
  let text = "";
  while (at !== undefined && at !== null && !seen.has(at)) {
    seen.add(at);
    if (at instanceof AggregateError && at.errors.length > 0) at = at.errors[0];
    const code = codeOf(at);
    const message = at instanceof Error ? at.message : String(at);
    if (code === "ECONNREFUSED" || /ECONNREFUSED|Failed to connect|connection refused/i.test(message)) {
      return "nothing listens there";
    }
    if (code === "ENOTFOUND" || /ENOTFOUND|EAI_AGAIN/.test(message)) return "its host name is not known here";
    if (isRefusedPassword(code, message)) return "it refused the user name or password";
    if (text === "") text = message;
    at = at instanceof Error ? at.cause : undefined;
  }
  return text.split("\n")[0] ?? "";
}

function isRefusedPassword(code: string, message: string): boolean {
  return (
    ["28P01", "28000", "18", "EAUTH"].includes(code) ||
    /ACCESS[-_]REFUSED|password authentication failed|Authentication failed|Invalid login/i.test(message)
  );
}

function codeOf(error: unknown): string {
  if (typeof error !== "object" || error === null || !("code" in error)) return "";
  return typeof error.code === "string" || typeof error.code === "number" ? String(error.code) : "";
}

/** The URL of a server without the database that it names, which each service puts there itself. */
export function withoutDatabase(url: string): string {
  const parsed = new URL(url);
  if (parsed.protocol.startsWith("mongodb") && parsed.username !== "" && !parsed.searchParams.has("authSource")) {
    // MongoDB looks a user up in the database that the path names, where nothing else is said.
    const database = parsed.pathname.slice(1);
    if (database !== "") parsed.searchParams.set("authSource", database);
  }
  parsed.pathname = parsed.search === "" ? "" : "/";
  return parsed.href.replace(/\/$/, "");
}

/** The URL of one database of a server. */
export function withDatabase(url: string, database: string): string {
  const parsed = new URL(url);
  parsed.pathname = `/${encodeURIComponent(database)}`;
  return parsed.href;
}
