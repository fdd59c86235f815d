/** What a starting and a running platform tells whoever listens: the terminal, a test, nobody. */
import type { BackingName, Missing } from "./backing/types.ts";
import type { PartEvent } from "./part.ts";
import type { ServiceName } from "./services.ts";

export type StackEvent =
  | { readonly what: "doing"; readonly part: BackingName | ServiceName | "seed"; readonly doing: string }
  | { readonly what: "missing"; readonly part: BackingName; readonly missing: Missing }
  | { readonly what: "seeded"; readonly tookMs: number }
  | { readonly what: "not seeded"; readonly why: string }
  | { readonly what: "part"; readonly part: BackingName | ServiceName; readonly event: PartEvent };

export type Listener = (event: StackEvent) => void;
