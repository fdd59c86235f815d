/** The fuzzers. */
import { bodies } from "./bodies.ts";
import type { Campaign } from "./campaign.ts";
import { frames } from "./frames.ts";
import { rpcSockets } from "./rpc-sockets.ts";
import { streams } from "./streams.ts";
import { tokens } from "./tokens.ts";

export const CAMPAIGNS: readonly Campaign[] = [frames, bodies, streams, rpcSockets, tokens];
