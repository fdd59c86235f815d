/** A service announces its own instance, about once a second, and says when it leaves. */
import { hostname } from "node:os";
import {
  type Announcement,
  REGISTRY_EXCHANGE,
  type RegisteredService,
  type SignedAnnouncement,
} from "#contracts/registry";
import { makeTeller } from "#shared/amqp";
import type { Secret } from "#shared/config";
import type { Dependency } from "#shared/lifecycle";
import type { Log } from "#shared/log";
import { makeAnnouncerSignature } from "#shared/service-keys";

/** Between two announcements, a fifth more or less (ms). */
const EVERY_MS = 1_000;

export interface AnnounceOptions {
  readonly service: RegisteredService;
  readonly rabbitmqUrl: Secret;
  /** Where callers reach this instance, without a slash at its end; `rpcUrl` of the logger. */
  readonly url: string;
  readonly rpcUrl?: string;
  readonly version: string;
  /** Signs what is said; without it only callers in development believe it. */
  readonly key: Secret | undefined;
  /** Up while it can be heard. Absent: RabbitMQ is shown by another part of the service. */
  readonly dependency?: Pick<Dependency, "up" | "down">;
  readonly log: Log;
}

/** Begins at once, and again whenever RabbitMQ is back. Disposing says goodbye: do it before the doors close. Idempotent. */
export function announce(options: AnnounceOptions): AsyncDisposable {
  const { service, rabbitmqUrl, url, rpcUrl, version, key, dependency, log } = options;
  const sign = key === undefined ? undefined : makeAnnouncerSignature(key);
  const instance = Bun.randomUUIDv7();
  const startedAt = new Date().toISOString();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let ended: Promise<void> | undefined;

  function say(state: Announcement["state"]): void {
    const announcement: Announcement = {
      service,
      instance,
      url,
      ...(rpcUrl === undefined ? {} : { rpc_url: rpcUrl }),
      version,
      started_at: startedAt,
      at: new Date().toISOString(),
      state,
    };
    const text = JSON.stringify(announcement);
    const signed: SignedAnnouncement = {
      announcement: text,
      ...(sign === undefined ? {} : { signature: sign(text) }),
    };
    teller.tell(service, new TextEncoder().encode(JSON.stringify(signed)));
  }

  function goOn(): void {
    clearTimeout(timer);
    if (ended !== undefined) return;
    say("up");
    timer = setTimeout(goOn, EVERY_MS * (0.8 + Math.random() * 0.4));
  }

  const teller = makeTeller({
    url: rabbitmqUrl,
    name: `${service} registry`,
    log,
    exchange: REGISTRY_EXCHANGE,
    onUp() {
      dependency?.up();
      // Not before the teller is there to be told.
      queueMicrotask(goOn);
    },
    onDown(reason) {
      clearTimeout(timer);
      dependency?.down(reason);
    },
  });
  log.debug("announces itself", { url, instance });

  async function end(): Promise<void> {
    clearTimeout(timer);
    say("leaving");
    await teller[Symbol.asyncDispose]();
  }
  return { [Symbol.asyncDispose]: () => (ended ??= end()) };
}

export interface AdvertiseOptions {
  readonly ADVERTISE_URL: string | undefined;
  readonly HOST: string;
}

/**
 * Where others reach what this process listens on: ADVERTISE_URL, else the address that it listens on, where that is one,
 * else the machine's name (in a container: its id, which its network resolves).
 * @param local what it listens on, e.g. `http://127.0.0.1:8081`.
 */
export function advertised({ ADVERTISE_URL, HOST }: AdvertiseOptions, local: string): string {
  if (ADVERTISE_URL !== undefined) return ADVERTISE_URL;
  if (HOST !== "0.0.0.0" && HOST !== "::") return local;
  const { protocol, port } = new URL(local);
  return `${protocol}//${hostname()}${port === "" ? "" : `:${port}`}`;
}
