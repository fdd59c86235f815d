/**
 * Streams in which a reader who is not strict finds a second request, `GET /smuggled`, that a strict one (RFC 9112) takes
 * for a part of the first one's body, or never comes to, since the first is refused and the connection closed.
 */

export const SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";

export interface SmugglingCase {
  readonly what: string;
  readonly bytes: string;
}

const head = (headers: string): string =>
  `POST /first HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n${headers}\r\n`;
const CHUNKED = "2\r\n[]\r\n0\r\n\r\n";

/** Lengths that are none: for whoever takes them as 2 the body is `[]`, and what follows a request. */
const LENGTHS = [
  "+2",
  "-2",
  "0x2",
  "2e0",
  "2.0",
  "2,2",
  "2, 2",
  "2 2",
  "2;",
  "2a",
  "a2",
  "",
  "''",
  "0b10",
  "2\x0b",
  "2\xa0",
  "\xb2",
  "18446744073709551618",
];

/** Beside a length that covers all of it: for whoever takes one of these as chunked, the body ends before the request. */
const ENCODINGS = [
  "chunked",
  "Chunked",
  "CHUNKED",
  " chunked",
  "\tchunked",
  "chunked ",
  "chunked\t",
  "chunked,",
  ",chunked",
  "chunked, identity",
  "identity, chunked",
  "gzip, chunked",
  "chunked, gzip",
  "chunked, chunked",
  "chunked;q=1",
  "xchunked",
  "chunkedx",
  "x chunked",
  "chunked\x0b",
  "\x0bchunked",
  "chunked\x0c",
  "chunked\xa0",
  '"chunked"',
  "'chunked'",
  "chu\tnked",
  "cow",
  "identity",
  "",
];

/** The same by names that are nearly the header's. */
const NAMES = [
  "Transfer-Encoding ",
  " Transfer-Encoding",
  "\tTransfer-Encoding",
  "Transfer-Encoding\t",
  "Transfer_Encoding",
  "Transfer-Encoding\0",
  "Transfer Encoding",
  '"Transfer-Encoding"',
  "X-Transfer-Encoding",
  "Transfer-Encodin",
  "Transfer-Encoding-",
  "tRANSFER-eNCODING",
  "Transfer-Encoding\x0b",
  "\x00Transfer-Encoding",
  "X: a\nTransfer-Encoding",
  "X: a\rTransfer-Encoding",
  "X: a\r\n Transfer-Encoding",
  "\xfftransfer-encoding",
];

/** Chunks that are none, and that whoever forgives them takes as `[]` and an end. */
const CHUNKS = [
  "+2\r\n[]\r\n0\r\n\r\n",
  "-2\r\n[]\r\n0\r\n\r\n",
  "0x2\r\n[]\r\n0\r\n\r\n",
  " 2\r\n[]\r\n0\r\n\r\n",
  "2g\r\n[]\r\n0\r\n\r\n",
  "2\n[]\n0\n\n",
  "2\n[]\r\n0\r\n\r\n",
  "2\r[]\r0\r\r",
  "2\r\n[]0\r\n\r\n",
  "2\r\n[]XX0\r\n\r\n",
  "2\r\n[]\n0\r\n\r\n",
  "2\r\n[]\r0\r\n\r\n",
  "2;a\n[]\r\n0\r\n\r\n",
  "2\0\r\n[]\r\n0\r\n\r\n",
  "2\r\n[]\r\n0\n\r\n",
  "2\r\n[]\r\n0x0\r\n\r\n",
  "2\r\n[]\r\n-0\r\n\r\n",
  "2\r\n[]\r\n+0\r\n\r\n",
  "10000000000000002\r\n[]\r\n0\r\n\r\n",
  "ffffffffffffffff2\r\n[]\r\n0\r\n\r\n",
  "\r\n2\r\n[]\r\n0\r\n\r\n",
  "2,\r\n[]\r\n0\r\n\r\n",
  "2.\r\n[]\r\n0\r\n\r\n",
];

/** Ends of a head that are none. */
const HEADS = [
  "Content-Length: 2\n\n[]",
  "Content-Length: 2\r\r[]",
  "Content-Length: 2\n\r\n[]",
  "Content-Length: 2\r\n\n[]",
  "Content-Length : 2\r\n\r\n[]",
  "Content-Length\r\n: 2\r\n\r\n[]",
  " Content-Length: 2\r\n\r\n[]",
  "X: a\r\n Content-Length: 2\r\n\r\n[]",
  "X\0: a\r\nContent-Length: 2\r\n\r\n[]",
  "X: \0\r\nContent-Length: 2\r\n\r\n[]",
  ": a\r\nContent-Length: 2\r\n\r\n[]",
];

/** First lines that are none. */
const LINES = [
  "POST /first HTTP/1.1\nHost: localhost\r\n\r\n",
  "POST /first\r\nHost: localhost\r\n\r\n",
  "POST /first HTTP/9.9\r\nHost: localhost\r\n\r\n",
  "POST  /first HTTP/1.1\r\nHost: localhost\r\n\r\n",
  "POST\t/first\tHTTP/1.1\r\nHost: localhost\r\n\r\n",
  "POST /first HTTP/1.1 \r\nHost: localhost\r\n\r\n",
  "POST /fi rst HTTP/1.1\r\nHost: localhost\r\n\r\n",
  "POST /first HTTP/1.1\rHost: localhost\r\n\r\n",
  "POST /first HTTP/1.1\r\n\r\n",
  "P\0ST /first HTTP/1.1\r\nHost: localhost\r\n\r\n",
  "POST /first HTTP/1.1\r\nHost: localhost\n\n",
];

function cases(): SmugglingCase[] {
  const found: SmugglingCase[] = [];
  const add = (what: string, bytes: string): unknown => found.push({ what, bytes });
  /** A length that takes in everything, so that what follows the chunks is body. */
  const covering = `Content-Length: ${CHUNKED.length + SMUGGLED.length}\r\n`;
  for (const length of LENGTHS) {
    add(`a length of ${JSON.stringify(length)}`, `${head(`Content-Length: ${length}\r\n`)}[]${SMUGGLED}`);
    add(
      `a length and one of ${JSON.stringify(length)}`,
      `${head(`Content-Length: 2\r\nContent-Length: ${length}\r\n`)}[]${SMUGGLED}`,
    );
    add(
      `one of ${JSON.stringify(length)} and a length`,
      `${head(`Content-Length: ${length}\r\nContent-Length: 2\r\n`)}[]${SMUGGLED}`,
    );
  }
  for (const encoding of ENCODINGS) {
    const line = `Transfer-Encoding: ${encoding}\r\n`;
    add(`a length, and ${JSON.stringify(encoding)}`, head(covering + line) + CHUNKED + SMUGGLED);
    add(`${JSON.stringify(encoding)}, and a length`, head(line + covering) + CHUNKED + SMUGGLED);
    add(`a short length, and ${JSON.stringify(encoding)}`, `${head(`Content-Length: 2\r\n${line}`)}[]${SMUGGLED}`);
    if (!/^[\s]*chunked[\s]*$/i.test(encoding)) {
      add(
        `${JSON.stringify(encoding)} beside chunked`,
        head(`Transfer-Encoding: chunked\r\n${line}`) + CHUNKED + SMUGGLED,
      );
    }
  }
  for (const name of NAMES) {
    add(`a length, and the name ${JSON.stringify(name)}`, head(`${covering}${name}: chunked\r\n`) + CHUNKED + SMUGGLED);
    add(`the name ${JSON.stringify(name)}, and a length`, head(`${name}: chunked\r\n${covering}`) + CHUNKED + SMUGGLED);
  }
  for (const chunks of CHUNKS) {
    add(`chunks ${JSON.stringify(chunks)}`, head("Transfer-Encoding: chunked\r\n") + chunks + SMUGGLED);
  }
  for (const rest of HEADS) {
    add(`a head with ${JSON.stringify(rest)}`, `${head("").slice(0, -2)}${rest}${SMUGGLED}`);
  }
  for (const line of LINES) add(`a first line ${JSON.stringify(line)}`, line + SMUGGLED);
  // In order, and still a part of it: nothing is wrong with these.
  add("a body that is a request", head(`Content-Length: ${SMUGGLED.length}\r\n`) + SMUGGLED);
  add(
    "a chunk that is a request",
    `${head("Transfer-Encoding: chunked\r\n")}${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`,
  );
  add("a trailer that is a request", `${head("Transfer-Encoding: chunked\r\n")}2\r\n[]\r\n0\r\n${SMUGGLED}`);
  add(
    "an extension of a chunk that is a request",
    `${head("Transfer-Encoding: chunked\r\n")}2;${SMUGGLED}[]\r\n0\r\n\r\n`,
  );
  return found;
}

export const SMUGGLING_CASES: readonly SmugglingCase[] = cases();
