/** The files of the broker's pages, as they are served: everything is inside the executable, nothing comes from elsewhere. */
import accountPage from "./account.html" with { type: "text" };
import apiPage from "./api.html" with { type: "text" };
import { bundle } from "./bundle.ts" with { type: "macro" };
import consolePage from "./console.html" with { type: "text" };
import mailPage from "./mail.html" with { type: "text" };
import style from "./page.css" with { type: "text" };

const accountScript = bundle("./browser/account.ts");
const apiScript = bundle("./browser/api.ts");
const consoleScript = bundle("./browser/console/main.tsx");
const consoleStyle = bundle("./browser/console/console.css");
const mailScript = bundle("./browser/mail.ts");

// Bun's own type of an imported HTML file is its bundle; with `type: "text"` it is the text.
const accountText = accountPage as unknown as string;
const apiText = apiPage as unknown as string;
const consoleText = consolePage as unknown as string;
const mailText = mailPage as unknown as string;

/** What a page may load: its own files and this origin's answers. Frames: the one of mails, see below. */
const CSP_PAGE =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; frame-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/**
 * The frame in which the console shows the HTML of mails: an origin of its own, from which nothing of the console can be reached;
 * its one script draws what it is sent. Styles are those of the mail; no script of it runs, and nothing is fetched for it.
 */
const CSP_MAIL =
  "sandbox allow-scripts; default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src data:; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

export interface PageFile {
  readonly path: string;
  readonly body: string;
  /** Content type, security policy and what else is said of it. */
  readonly headers: Readonly<Record<string, string>>;
}

const HTML = "text/html; charset=utf-8";
const SCRIPT = "text/javascript; charset=utf-8";
const STYLE = "text/css; charset=utf-8";

/** Where links in mails lead (auth/flows/letters.ts): one page, which looks at its own path. */
const ACCOUNT_PATHS = ["/verify-address", "/reset-password", "/sessions"];
/** The console looks at its path itself. */
const CONSOLE_PATHS = ["/", "/console", "/console/*"];

export interface PagesOptions {
  readonly inboxUrl: string | undefined;
  readonly version: string;
  readonly environment: "development" | "production";
  /** Whether the page of the API is among them. */
  readonly isDescribed: boolean;
  /** Whether who reads a page may read the metrics too. */
  readonly isMeasured: boolean;
  /** Whether the platform can be broken from the console. */
  readonly isBreakable: boolean;
}

export function pages({
  inboxUrl,
  version,
  environment,
  isDescribed,
  isMeasured,
  isBreakable,
}: PagesOptions): PageFile[] {
  /** What browser/console/platform.ts reads. */
  const facts = JSON.stringify({
    version,
    environment,
    ...(inboxUrl === undefined ? {} : { inbox: inboxUrl }),
    described: isDescribed,
    measured: isMeasured,
    breakable: isBreakable,
  });
  const inbox = inboxUrl === undefined ? "" : `<a href="${Bun.escapeHTML(inboxUrl)}">Inbox</a>`;
  const fill = (page: string): string =>
    page
      .replaceAll("{{facts}}", () => Bun.escapeHTML(facts))
      .replaceAll("{{inbox}}", () => inbox)
      .replaceAll("{{version}}", () => Bun.escapeHTML(version));
  const console = page("", HTML, fill(consoleText));
  const described = [page("/openapi", HTML, fill(apiText)), page("/assets/api.js", SCRIPT, apiScript)];
  return [
    ...CONSOLE_PATHS.map((path) => ({ ...console, path })),
    page("/assets/console.js", SCRIPT, consoleScript),
    page("/assets/console.css", STYLE, consoleStyle),
    page("/assets/page.css", STYLE, style),
    ...ACCOUNT_PATHS.map((path) => page(path, HTML, accountText)),
    page("/assets/account.js", SCRIPT, accountScript),
    page("/assets/mail.html", HTML, mailText, {
      "content-security-policy": CSP_MAIL,
      "x-frame-options": "SAMEORIGIN",
    }),
    page("/assets/mail.js", SCRIPT, mailScript),
    ...(isDescribed ? described : []),
  ];
}

function page(path: string, type: string, body: string, more: Readonly<Record<string, string>> = {}): PageFile {
  const headers = {
    "content-type": type,
    "content-security-policy": CSP_PAGE,
    // Asked for each time, and not sent again where it is the same.
    "cache-control": "no-cache",
    etag: `"${Bun.hash(body).toString(36)}"`,
    vary: "accept-encoding",
    ...more,
  };
  return { path, body, headers };
}

/** Compressed at its first use, and kept: files are few and do not change. */
const compressed = new WeakMap<PageFile, Uint8Array>();

/**
 * The answer to a request for a page: 304 where the browser has it already (RFC 9110 §13.1.2), compressed where it can read that.
 * @param set the headers and the status of the answer, which are added to.
 */
export function serve(file: PageFile, request: Request, set: Answered): string | Uint8Array | undefined {
  Object.assign(set.headers, file.headers);
  if (matches(request.headers.get("if-none-match"), file.headers["etag"] ?? "")) {
    set.status = 304;
    return undefined;
  }
  if (!/\bgzip\b/.test(request.headers.get("accept-encoding") ?? "")) return file.body;
  set.headers["content-encoding"] = "gzip";
  let bytes = compressed.get(file);
  if (bytes === undefined) {
    bytes = Bun.gzipSync(file.body, { level: 9 });
    compressed.set(file, bytes);
  }
  return bytes;
}

export interface Answered {
  status?: number | string;
  readonly headers: Record<string, string | number>;
}

const matches = (given: string | null, etag: string): boolean =>
  given !== null && given.split(",").some((one) => one.trim().replace(/^W\//, "") === etag || one.trim() === "*");
