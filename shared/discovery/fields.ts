/** What is read of discovery: by those who call, and by those who are called. */
import { choice, optional, url } from "#shared/config";
import { announceKeyField, type KnownAnnouncer, serviceAnnouncersField } from "#shared/service-keys";

const MODES = ["auto", "static", "dns", "rabbitmq"] as const;
export type DiscoveryMode = Exclude<(typeof MODES)[number], "auto">;

/** Of a service that calls others. */
export const discoveryFields = {
  DISCOVERY: choice(
    "How instances of the services behind are found: static (the addresses given), dns (all addresses of the names given), rabbitmq (they announce themselves; those given are a fallback), auto (rabbitmq where SERVICE_ANNOUNCERS is set, else dns)",
    "auto",
    MODES,
  ),
  SERVICE_ANNOUNCERS: serviceAnnouncersField,
};

const address = url(
  "Where the other services reach this instance, as it announces itself over RabbitMQ. Default: the address that it listens on, or the machine's name where it listens on all",
  "",
  ["http", "https"],
);
/** What callers believe is scheme, host and port: with more it would be refused by every one of them. */
const bare: typeof address = {
  ...address,
  allowed: `${address.allowed}, and without a path`,
  parse(text) {
    const parsed = address.parse(text);
    if (parsed === undefined) return undefined;
    const { pathname, search, hash } = new URL(parsed);
    return pathname === "/" && search === "" && hash === "" && !/[?#]/.test(parsed) ? parsed : undefined;
  },
};

/** Of a service that others call. */
export const advertiseFields = {
  ANNOUNCE_KEY: announceKeyField,
  ADVERTISE_URL: optional(bare),
};

export interface DiscoveryConfig {
  readonly ENVIRONMENT: "development" | "production";
  readonly DISCOVERY: (typeof MODES)[number];
  readonly SERVICE_ANNOUNCERS: readonly KnownAnnouncer[] | undefined;
}

export function modeOf({ DISCOVERY, SERVICE_ANNOUNCERS }: DiscoveryConfig): DiscoveryMode {
  if (DISCOVERY !== "auto") return DISCOVERY;
  return SERVICE_ANNOUNCERS === undefined ? "dns" : "rabbitmq";
}

/** For `problemsOf` of a service that calls others. */
export function discoveryProblems({ ENVIRONMENT, DISCOVERY, SERVICE_ANNOUNCERS }: DiscoveryConfig): string[] {
  if (ENVIRONMENT !== "production" || DISCOVERY !== "rabbitmq" || SERVICE_ANNOUNCERS !== undefined) return [];
  return [
    "SERVICE_ANNOUNCERS is missing: with DISCOVERY=rabbitmq production needs to know whose announcements to believe (bun run service-key)",
  ];
}
