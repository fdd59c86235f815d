/** What comes in and what goes out: 15 to 30. */
import { by, type Line } from "./line.ts";

export const INPUT: readonly Line[] = [
  {
    number: 15,
    demand: "only application/json",
    proofs: by("test/security/bad-input.test.ts", "content types and encodings: only JSON, only as it is"),
  },
  {
    number: 16,
    demand: "limits of size and depth; keys that mean something in JavaScript pollute nothing",
    proofs: [
      ...by(
        "test/security/bad-input.test.ts",
        "$what: $status",
        "limits and UTF-8 hold at each service's own route too",
      ),
      ...by("test/security/json-cases.ts", "100,000 levels, mixed", "__proto__ beside the action"),
    ],
  },
  {
    number: 17,
    demand: "one answer a request, whatever hides in it",
    proofs: [
      ...by("test/security/bad-input.test.ts", "%s%s: bodies and lengths that lie, as bytes on a socket"),
      ...by("test/security/smuggling.test.ts", "streams, each whole and cut in"),
      ...by("test/security/fuzz/streams.ts", "raw HTTP streams over TCP against all services"),
    ],
  },
  {
    number: 18,
    demand: "TRACE and CONNECT, a second or wrong Host are refused",
    proofs: [
      ...by("test/security/http-cases.ts", "TRACE", "CONNECT", "two Host headers"),
      ...by("shared/http/http.test.ts", "a Host header: %s"),
    ],
  },
  {
    number: 19,
    demand: "security headers on every answer",
    proofs: [
      ...by("shared/http/http.test.ts", "a %s carries request id, security and CORS headers"),
      ...by("test/security/fuzz/bodies.ts", "an answer without security headers"),
    ],
  },
  {
    number: 20,
    demand: "no origin is reflected that is not allowed",
    proofs: by("shared/http/http.test.ts", "origin %s may not read"),
  },
  {
    number: 21,
    demand: "X-Forwarded-For does not dodge a limit",
    proofs: [
      ...by("broker/limits.test.ts", "neither another credential, nor what a request says of its way"),
      ...by("shared/http/address.test.ts", "without proxies nothing that a request says is believed"),
    ],
  },
  {
    number: 22,
    demand: "slow heads and bodies are ended; connections of one address are bounded",
    proofs: [
      ...by(
        "test/security/bad-input.test.ts",
        "a head that is not there in time, however it drips, ends its connection",
        "a body that drips has the time of its request, then its connection is closed",
      ),
      ...by("shared/http/guard.test.ts", "an address has so many connections and no more"),
    ],
  },
  {
    number: 23,
    demand: "RPC: strangers and bad frames are refused, and a small frame stays small",
    proofs: [
      ...by(
        "shared/rpc/server.test.ts",
        "%s: that connection is closed, with an answer where there was an id, and no other",
      ),
      ...by("shared/rpc/codec.test.ts", "a small frame of shared references"),
      ...by("test/security/tls/rpc.test.ts", "mutual: no certificate, a rogue one"),
      ...by("test/security/fuzz/frames.ts", "RPC frames into the decoder"),
      ...by("test/security/fuzz/rpc-sockets.ts", "RPC frames over sockets against the logger"),
    ],
  },
  {
    number: 24,
    demand: "RPC: half frames are ended, connections bounded",
    proofs: by(
      "shared/rpc/server.test.ts",
      "a frame that stays incomplete for 10 s closes its connection",
      "a connection above the limit is closed and logged, and the others stay",
    ),
  },
  {
    number: 25,
    demand: "questions about logs: operators of the database are text",
    proofs: by("logger/data.test.ts", "any values come back as they were sent"),
    elsewhere: "entries can be looked up by id and counted, and not searched yet: there is no filter to inject into",
  },
  {
    number: 26,
    demand: "mail: tricks in addresses and headers, attachments by path, sizes",
    proofs: [
      ...by(
        "test/security/bad-input.test.ts",
        "header tricks in every field of a mail: 422, or text that stays text; nobody else gets mail",
      ),
      ...by("mail/request.test.ts", "at most 50 recipients in all three fields together"),
      ...by("mail/attachments.test.ts", "the largest that a request can hold is checked in no time, right or wrong"),
    ],
  },
  {
    number: 27,
    demand: "no open relay: a scope, and a quota of the sender",
    proofs: [
      ...by(
        "mail/several.test.ts",
        "the quota is exact over replicas at the same time",
        "not allowed by configuration: 403",
      ),
      ...by("test/security/matrix.test.ts", "[11] actions of one body are judged each by its own scope"),
    ],
  },
  {
    number: 28,
    demand: "no URL of a request is fetched",
    proofs: [
      ...by("test/security/checklist/source.test.ts", "[28] "),
      ...by("mail/events/webhooks.test.ts", "a redirect is not followed"),
    ],
  },
  {
    number: 29,
    demand: "pages show what is stored as text",
    proofs: [
      ...by("broker/v1/unsubscribe.test.ts", "a page without a policy of its own may do nothing"),
      ...by("dev/backing/inbox.test.ts", "other sites can neither read nor empty it, and a mail's HTML gets no rights"),
      ...by("shared/terminal/terminal.test.ts", "what a terminal would obey is not written"),
    ],
    elsewhere: "no page of the platform shows stored entries yet: the console brings this test with it",
  },
  {
    number: 30,
    demand: "errors tell nothing of the inside",
    proofs: [
      ...by("shared/http/http.test.ts", "a failure shows its message, a bug shows nothing, neither shows its cause"),
      ...by("test/security/fuzz/bodies.ts", "an answer that tells of the inside"),
    ],
  },
];
