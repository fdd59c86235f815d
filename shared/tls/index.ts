/** TLS of this process: what it shows where it listens, whom it trusts where it calls, and both anew when files change. */
export { type ClientTls, type ServerTls, type TlsFiles, filesOf, tlsProblemsOf } from "./material.ts";
export { currentTls, liveTls, onTlsChange, outgoingTls, useTls } from "./process.ts";
export { TLS_1_2, TLS_1_3 } from "./versions.ts";
