/** Requests as no client should send them, and what has to come back. */

/** A request to a service, and the statuses of all answers that its connection carries. */
export interface HttpCase {
  readonly what: string;
  readonly bytes: (path: string) => string;
  readonly answers: readonly number[];
  /**
   * Who answers: the application in its envelope (default), the runtime before it, which then closes, or both, where
   * the runtime refuses what comes after a request.
   */
  readonly by?: "runtime" | "both";
}

const HOST = "Host: localhost\r\n";
const JSON_TYPE = "Content-Type: application/json\r\n";
const BODY = "[1";
const PING = `GET /ping HTTP/1.1\r\n${HOST}\r\n`;
const many = (count: number, line: (index: number) => string): string =>
  Array.from({ length: count }, (_, i) => line(i)).join("");

const post = (headers: string, body: string) => (path: string) =>
  `POST ${path} HTTP/1.1\r\n${HOST}${JSON_TYPE}${headers}\r\n${body}`;
const sized = (body: string, length: number | string = body.length) => post(`Content-Length: ${length}\r\n`, body);
const chunked = (body: string, headers = "Transfer-Encoding: chunked\r\n") => post(headers, body);
const get =
  (target: string, headers = HOST) =>
  () =>
    `GET ${target} HTTP/1.1\r\n${headers}\r\n`;
const line = (text: string) => () => `${text}\r\n${HOST}\r\n`;
const runtime = (what: string, bytes: HttpCase["bytes"], ...answers: number[]): HttpCase => ({
  what,
  bytes,
  answers,
  by: "runtime",
});
const ours = (what: string, bytes: HttpCase["bytes"], ...answers: number[]): HttpCase => ({ what, bytes, answers });
const both = (what: string, bytes: HttpCase["bytes"], ...answers: number[]): HttpCase => ({
  what,
  bytes,
  answers,
  by: "both",
});
/** Two requests in one write: how the first is answered must not depend on the second, nor the other way round. */
const thenPing = (first: HttpCase["bytes"]) => (path: string) => first(path) + PING;

const CHUNKS = `2\r\n${BODY}\r\n0\r\n\r\n`;

/** Sent to the route of each service that takes a body. */
export const BODY_CASES: readonly HttpCase[] = [
  ours("several values in one body", sized("{} {}"), 400),
  ours("no body", post("", ""), 400),
  ours("an empty body", sized(""), 400),
  ours("chunks, and none", chunked("0\r\n\r\n"), 400),
  ours("a length of 1 MiB and a byte, of which nothing comes", sized("{}", 1_048_577), 413),
  both("a length that is too small: the rest is no request", sized("{b}\r\n\r\n", 2), 400, 400),
  both("a trailer", chunked(CHUNKS.replace("0\r\n", "0\r\nX-Trailer: 1\r\n")), 400, 400),
  both(
    "a request where a trailer would be",
    chunked(CHUNKS.replace("0\r\n", "0\r\nGET /ping HTTP/1.1\r\nHost: a\r\n")),
    400,
    400,
  ),
  ours("5,000 bytes beside a chunk size", chunked(CHUNKS.replace("2", `2;${"a".repeat(5_000)}`)), 400),
  ours("a length of 93 GiB", sized("{", 99_999_999_999), 413),
  runtime("a negative length", sized(BODY, -1), 400),
  runtime("a signed length", sized(BODY, "+2"), 400),
  runtime("a hexadecimal length", sized(BODY, "0x2"), 400),
  runtime("a list of lengths", sized(BODY, "2, 2"), 400),
  runtime("no length after the colon", sized(BODY, ""), 400),
  runtime("a length of 26 digits", sized(BODY, "9".repeat(26)), 400),
  runtime("two lengths", post("Content-Length: 2\r\nContent-Length: 1\r\n", BODY), 400),
  runtime("a length and chunks", chunked(CHUNKS, "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n"), 400),
  runtime("chunks and a length", chunked(CHUNKS, "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n"), 400),
  runtime("another transfer encoding", chunked(CHUNKS, "Transfer-Encoding: xchunked\r\n"), 400),
  runtime("gzip before chunked", chunked(CHUNKS, "Transfer-Encoding: gzip, chunked\r\n"), 400),
  runtime("chunked, and not last", chunked(CHUNKS, "Transfer-Encoding: chunked, identity\r\n"), 400),
  runtime(
    "two transfer encodings",
    chunked(CHUNKS, "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
    400,
  ),
  runtime("a space before the colon", chunked(CHUNKS, "Transfer-Encoding : chunked\r\n"), 400),
  runtime("a chunk size that is none", chunked(`zz\r\n${BODY}\r\n0\r\n\r\n`), 400),
  runtime("a negative chunk size", chunked(`-2\r\n${BODY}\r\n0\r\n\r\n`), 400),
  runtime("a chunk size beyond 64 bits", chunked(`${"f".repeat(18)}\r\n${BODY}\r\n`), 400),
  runtime("a chunk without its end", chunked(`2\r\n${BODY}XX0\r\n\r\n`), 400),
  ours("compressed", post("Content-Encoding: gzip\r\nContent-Length: 2\r\n", BODY), 415),
  ours("compressed twice", post("Content-Encoding: identity, br\r\nContent-Length: 2\r\n", BODY), 415),
  ours("bad JSON, then a good request", thenPing(sized(BODY)), 400, 200),
  ours(
    "another type, then a good request",
    thenPing((path) => `POST ${path} HTTP/1.1\r\n${HOST}Content-Length: 2\r\n\r\n{}`),
    415,
    200,
  ),
  ours(
    "another method, then a good request",
    thenPing((path) => `DELETE ${path} HTTP/1.1\r\n${HOST}Content-Length: 2\r\n\r\n{}`),
    405,
    200,
  ),
  ours("too long: what follows is its body, not a request", thenPing(sized("", 1_048_577)), 413),
  runtime("bad chunks: what follows is dropped", thenPing(chunked("zz\r\n")), 400),
];

/** A request within a body is part of the body. Sent to every service. */
export const ANY_CASES: readonly HttpCase[] = [
  ours(
    "a request hidden in the body of another",
    () => `GET /ping HTTP/1.1\r\n${HOST}Content-Length: ${PING.length}\r\n\r\n${PING}`,
    200,
  ),
  ours(
    "a request hidden in the body of one to nowhere",
    () => `POST /nowhere HTTP/1.1\r\n${HOST}Content-Length: ${PING.length}\r\n\r\n${PING}`,
    404,
  ),
  ours("two requests at once", () => PING + PING, 200, 200),
  runtime("20,000 bytes of one header", get("/ping", `${HOST}X-Long: ${"a".repeat(20_000)}\r\n`), 431),
  runtime("20,000 bytes of headers", get("/ping", HOST + many(1_000, (i) => `X-${i}: aaaaaaaaaaaa\r\n`)), 431),
  runtime("300 headers", get("/ping", HOST + many(300, (i) => `X-${i}: a\r\n`)), 431),
  ours("two Host headers", get("/ping", "Host: localhost\r\nHost: evil.example\r\n"), 400),
  ours("two Host headers, and no route", get("/nowhere", "Host: localhost\r\nHost: evil.example\r\n"), 400),
  ours("an empty Host", get("/ping", "Host: \r\n"), 400),
  ours("a Host that is none", get("/nowhere", "Host: a b/@?#[\r\n"), 400),
  ours("a Host with a user", get("/ping", "Host: localhost@evil.example\r\n"), 400),
  ours("a short Host", get("/ping", "Host: a\r\n"), 200),
  ours("a short Host does not move where the path begins", get("//evil/ping", "Host: a\r\n"), 404),
  runtime("no Host", get("/ping", ""), 400),
  ours("HTTP/1.0 without Host", () => "GET /ping HTTP/1.0\r\n\r\n", 400),
  runtime("HTTP/0.9", () => "GET /ping\r\n\r\n", 505),
  runtime("HTTP/2 by assumption", () => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
  runtime("TLS where none is spoken", () => "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
  ours("TRACE", line("TRACE /ping HTTP/1.1"), 405),
  ours("CONNECT", line("CONNECT evil.example:80 HTTP/1.1"), 405),
  ours("a method of WebDAV", line("PROPFIND /ping HTTP/1.1"), 405),
  runtime("a method that nobody knows", line("GETT /ping HTTP/1.1")),
  runtime("a method in small letters", line("get /ping HTTP/1.1")),
  ours("an absolute target is the path in it", get("http://evil.example/ping"), 200),
  ours("an absolute target to nowhere", get("http://evil.example/nowhere"), 404),
  runtime("a target of another scheme", get("ftp://evil.example/ping"), 400),
  runtime("a target without a slash", get("ping"), 400),
  ours("a path with %00", get("/ping%00"), 404),
  runtime("a path with NUL", get("/ping\0"), 505),
  ours("a path that begins with two slashes", get("//ping"), 404),
  ours("a path out of the root", get("/../../etc/passwd"), 404),
  ours("a path out of the root, encoded", get("/%2e%2e/%2e%2e/etc/passwd"), 404),
  ours("a path with a broken escape", get("/%zz"), 404),
  ours("a path of bytes", get("/\xff\xfe"), 404),
  ours("a path named __proto__", get("/__proto__"), 404),
  ours("a path named constructor", get("/constructor"), 404),
  ours("a path of 10,000 bytes", get(`/${"a".repeat(10_000)}`), 404),
  runtime("a path of 100,000 bytes", get(`/${"a".repeat(100_000)}`), 431),
  ours("a query that wants to be an object", get("/ping?__proto__[a]=1&%zz"), 200),
  runtime("lines that end with LF", () => "GET /ping HTTP/1.1\nHost: localhost\n\n", 505),
  runtime("a folded header", get("/ping", `${HOST}X: a\r\n b\r\n`), 400),
  runtime("a header without a colon", get("/ping", `${HOST}Xab\r\n`), 400),
  runtime("NUL in a header", get("/ping", `${HOST}X: a\0b\r\n`), 400),
  runtime("CR in a header", get("/ping", `${HOST}X: a\rX-Forged: b\r\n`), 400),
  ours("an upgrade that nobody offers", get("/ping", `${HOST}Connection: Upgrade\r\nUpgrade: h2c\r\n`), 200),
];
