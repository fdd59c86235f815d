import { expect, test } from "bun:test";
import { makeMetrics } from "#shared/telemetry";

test("what is measured is read back in the exposition format, every series with the service's name", async () => {
  using metrics = makeMetrics("broker", "1.2.3");
  const calls = metrics.counter("calls_total", "Calls.", ["code"]);
  calls.inc({ code: "ok" }, 2);
  let size = 3;
  metrics.gauge("queue_size", "Waiting.", [], (gauge) => gauge.set(size));
  metrics.histogram("wait_seconds", "Waits.", ["to"], [0.1, 1]).observe({ to: 'a"b\n' }, 0.5);
  size = 4;
  const text = await metrics.text();
  expect(text).toContain('calls_total{code="ok",service="broker"} 2');
  expect(text).toContain('queue_size{service="broker"} 4');
  expect(text).toContain('wait_seconds_bucket{le="0.1",service="broker",to="a\\"b\\n"} 0');
  expect(text).toContain('wait_seconds_bucket{le="1",service="broker",to="a\\"b\\n"} 1');
  expect(text).toContain('build_info{version="1.2.3",service="broker"} 1');
  expect(metrics.contentType).toContain("text/plain; version=0.0.4");
  for (const line of text.split("\n").filter((line) => line !== "" && !line.startsWith("#"))) {
    expect(line).toMatch(/^[a-z_]+\{.*service="broker".*\} -?[0-9.e+-]+$/);
  }
});

test("of the process: memory, processor time, start and how late timers are", async () => {
  using metrics = makeMetrics("broker", "1");
  const valueOf = (text: string, name: string) => Number(new RegExp(`^${name}\\{[^}]*\\} (.+)$`, "m").exec(text)?.[1]);
  const text = await metrics.text();
  expect(valueOf(text, "process_resident_memory_bytes")).toBeGreaterThan(1_000_000);
  expect(valueOf(text, "process_cpu_seconds_total")).toBeGreaterThan(0);
  expect(Math.abs(valueOf(text, "process_start_time_seconds") * 1_000 - Date.now())).toBeLessThan(60_000);
  const endsAt = performance.now() + 5_000;
  while (valueOf(await metrics.text(), "event_loop_lag_seconds_count") === 0 && performance.now() < endsAt)
    await Bun.sleep(20);
  expect(valueOf(await metrics.text(), "event_loop_lag_seconds_count")).toBeGreaterThan(0);
});

test("a name is registered once, and two services in one process do not mix", async () => {
  using one = makeMetrics("one", "1");
  using two = makeMetrics("two", "1");
  one.counter("calls_total", "Calls.").inc();
  two.counter("calls_total", "Calls.");
  expect(() => one.counter("calls_total", "Calls.")).toThrow("already been registered");
  expect(await two.text()).toContain('calls_total{service="two"} 0');
});
