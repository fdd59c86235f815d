/** The dashboards and alert rules of deploy/monitoring ask for metrics that the services really have, and rules do what they say. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import type { PlatformFigures } from "#contracts/figures";
import { WANTED } from "../../broker/figures/figures.ts";
import { SERVICES } from "../../deploy/build.ts";
import { HAS_BACKING, type Platform, START_MS, startPlatform, until } from "../kit.ts";

const DIR = join(import.meta.dir, "../../deploy/monitoring");

/** A rule or a panel, and the PromQL that it asks. */
interface Question {
  readonly where: string;
  readonly query: string;
}

interface Rules {
  readonly groups: readonly {
    readonly rules: readonly { readonly record?: string; readonly alert?: string; readonly expr: string }[];
  }[];
}

interface Dashboard {
  readonly title: string;
  readonly panels: readonly { readonly title: string; readonly targets?: readonly { readonly expr: string }[] }[];
}

const rules = (Bun.YAML.parse(await Bun.file(join(DIR, "rules.yaml")).text()) as Rules).groups.flatMap(
  (group) => group.rules,
);

async function questions(): Promise<Question[]> {
  const asked: Question[] = rules.map(({ record, alert, expr }) => ({ where: alert ?? record ?? "", query: expr }));
  for await (const path of new Bun.Glob("grafana/dashboards/*.json").scan(DIR)) {
    const { title, panels } = (await Bun.file(join(DIR, path)).json()) as Dashboard;
    for (const panel of panels)
      for (const { expr } of panel.targets ?? []) asked.push({ where: `${title}: ${panel.title}`, query: expr });
  }
  return asked;
}

/** Metrics of what a developer's platform does not have in use, and where they are made. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  tls_certificate_not_after_seconds: "shared/lifecycle/run.ts",
  http_connections: "shared/http/guard.ts",
  rate_limited_requests_total: "broker/limits.ts",
  mail_webhooks_waiting: "mail/events/metrics.ts",
  redis_command_seconds: "shared/redis/redis.ts",
};

/** Labels that Prometheus itself puts on what it scrapes. */
const OF_PROMETHEUS = ["job", "instance"];
const WORDS = new Set(
  "and or unless by without on ignoring bool group_left group_right offset sum count min max avg topk rate increase time vector histogram_quantile".split(
    " ",
  ),
);

/** The metrics that a query asks for, each with the labels that it asks for. */
function askedFor(query: string): { name: string; labels: string[] }[] {
  const plain = query.replaceAll(/"(?:[^"\\]|\\.)*"/g, '""').replaceAll(/\b(by|without|on|ignoring)\s*\([^)]*\)/g, " ");
  return [...plain.matchAll(/([a-zA-Z_:][\w:]*)\s*(\{[^}]*\})?/g)].flatMap(([, name = "", matchers]) => {
    if (WORDS.has(name) || /^\d/.test(name) || !/[_:]|^up$/.test(name) || name.startsWith("__")) return [];
    return [{ name, labels: [...(matchers ?? "").matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label = ""]) => label) }];
  });
}

test("what a query asks for is found", () => {
  const query =
    'sum by (le_x) (rate(a_b_bucket{c="d_e",f!~"g"}[5m])) / (j:k_l or vector(0)) > 14.4 * 0.001 and up{job="x"}';
  expect(askedFor(query)).toEqual([
    { name: "a_b_bucket", labels: ["c", "f"] },
    { name: "j:k_l", labels: [] },
    { name: "up", labels: ["job"] },
  ]);
});

/** Families as they are exposed, with all labels that were seen with them; for histograms also what belongs to them. */
function familiesOf(text: string): Map<string, Set<string>> {
  const families = new Map<string, Set<string>>();
  const parts: Record<string, string[]> = { histogram: ["_bucket", "_sum", "_count"] };
  for (const [, name = "", type = ""] of text.matchAll(/^# TYPE (\S+) (\S+)$/gm))
    for (const part of parts[type] ?? [""]) families.set(name + part, new Set());
  for (const [, name = "", labels = ""] of text.matchAll(/^(\w+)\{(.*)\} \S+$/gm))
    for (const [, label = ""] of labels.matchAll(/(\w+)="/g)) families.get(name)?.add(label);
  return families;
}

describe.skipIf(!HAS_BACKING)("monitoring (needs the backing services of `bun run test`)", () => {
  let platform: Platform;
  const families = new Map<string, Set<string>>();
  beforeAll(async () => {
    platform = await startPlatform();
    const broker = platform.url("broker");
    const send = (body: object): Promise<Response> =>
      fetch(`${broker}/handle`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
      });
    await send([
      { action: "auth", auth: { email: "admin@example.com", password: "verysecret" } },
      { action: "log", log: { name: "a", data: "b" } },
      { action: "mail", mail: { from: "a@example.com", to: "b@example.com", subject: "s", message: "m" } },
    ]);
    for (const service of SERVICES) {
      const text = await (await fetch(`${platform.url(service)}/metrics`)).text();
      for (const [name, labels] of familiesOf(text)) {
        const known = families.get(name) ?? new Set();
        families.set(name, known);
        for (const label of labels) known.add(label);
      }
    }
  }, START_MS);
  afterAll(() => platform?.[Symbol.asyncDispose](), 60_000);

  test("all that dashboards and rules ask for is there, with its labels", async () => {
    const recorded = new Set(rules.map(({ record }) => record));
    const missing: string[] = [];
    for (const { where, query } of await questions()) {
      const asked = askedFor(query);
      if (asked.length === 0) missing.push(`${where}: asks for nothing`);
      for (const { name, labels } of asked) {
        if (name === "up" || recorded.has(name)) continue;
        const known = families.get(name);
        const source = ELSEWHERE[name];
        if (known === undefined && source !== undefined) {
          const text = await Bun.file(join(DIR, "../..", source)).text();
          if (!text.includes(`"${name}"`)) missing.push(`${where}: ${source} no longer has ${name}`);
        } else if (known === undefined) missing.push(`${where}: no service has ${name}`);
        // A counter that has counted nothing shows no labels yet.
        else if (known.size > 1)
          for (const label of labels)
            if (!known.has(label) && !OF_PROMETHEUS.includes(label))
              missing.push(`${where}: ${name} has no label ${label}`);
      }
    }
    expect(missing).toEqual([]);
  });

  test("all that the broker's figures are made of is there", async () => {
    const missing: string[] = [];
    for (const name of WANTED) {
      if (families.has(name)) continue;
      const metric = name.replace(/_(bucket|count)$/, "");
      const source = ELSEWHERE[metric];
      const text = source === undefined ? "" : await Bun.file(join(DIR, "../..", source)).text();
      if (!text.includes(`"${metric}"`)) missing.push(name);
    }
    expect(missing).toEqual([]);
  });

  test("the figures are of all five services, and of the ways that were gone", async () => {
    const figures = async () => {
      const answer = await fetch(`${platform.url("broker")}/v1/platform/figures`);
      return ((await answer.json()) as { data: PlatformFigures }).data;
    };
    const { parts, edges, queues } = await until("two samples of each", async () => {
      const latest = await figures();
      const all = latest.parts.filter(({ name }) => SERVICES.some((service) => service === name));
      const told = all.filter(({ values }) => typeof values["requests.all"] === "number");
      return told.length === SERVICES.length && latest.queues.length > 0 && latest;
    });
    for (const service of SERVICES) {
      const part = parts.find(({ name }) => name === service);
      expect([service, part?.instances, part?.answered]).toEqual([service, 1, 1]);
      expect(part?.values["memory.resident"]).toBeGreaterThan(10);
    }
    expect(queues.map(({ name }) => name)).toContain("logs.main.v1");
    // Every way has a figure, but for those of what is not there.
    const unknown = edges.filter(({ calls_per_s }) => calls_per_s === null);
    expect(unknown).toEqual([]);
    const down = edges.filter(({ up }) => up === false);
    expect(down).toEqual([]);
  }, 60_000);

  test("the metrics of worker threads are among those of their process, each thread by itself", async () => {
    const text = await (await fetch(`${platform.url("listener")}/metrics`)).text();
    for (const worker of ["0", "1"])
      expect(text).toMatch(new RegExp(`^listener_prefetch\\{.*worker="${worker}".*\\} 300$`, "m"));
    expect(text.match(/^# TYPE event_loop_lag_seconds /gm)).toHaveLength(1);
    expect(text).toMatch(/^listener_messages_total\{/m);
  });
});

const PROMTOOL = Bun.which("promtool");

describe.skipIf(PROMTOOL === null)("rules (needs promtool)", () => {
  test.each(["check rules rules.yaml", "test rules rules.test.yaml", "check config --syntax-only prometheus.yaml"])(
    "promtool %s",
    async (words) => {
      const child = Bun.spawn([PROMTOOL ?? "", ...words.split(" ")], {
        cwd: DIR,
        stdout: "pipe",
        stderr: "pipe",
        timeout: 60_000,
      });
      const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
      expect(`${out}${err}`).not.toContain("FAILED");
      expect(code).toBe(0);
    },
    60_000,
  );
});
