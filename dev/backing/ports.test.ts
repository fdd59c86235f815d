import { expect, test } from "bun:test";
import { createServer } from "node:net";
import { choosePort, freePort, isFree } from "./ports.ts";

const free =
  (...ports: number[]) =>
  (port: number) =>
    Promise.resolve(ports.includes(port));
const any = () => Promise.resolve(20_001);

test("a port is the remembered one, else the usual one, else any", async () => {
  const wish = { remembered: 20_500, usual: 5432 };
  expect(await choosePort(wish, free(20_500, 5432), any)).toBe(20_500);
  expect(await choosePort(wish, free(5432), any, 0)).toBe(5432);
  expect(await choosePort(wish, free(), any, 0)).toBe(20_001);
  expect(await choosePort({ remembered: undefined, usual: undefined }, free(5432), any)).toBe(20_001);
});

test("the remembered port is waited for: a killed server holds it for a moment", async () => {
  let looks = 0;
  const soon = (): Promise<boolean> => Promise.resolve((looks += 1) > 3);
  expect(await choosePort({ remembered: 20_500, usual: 5432 }, soon, any)).toBe(20_500);
});

test("a port that somebody listens on is not free, on whatever address", async () => {
  for (const host of ["127.0.0.1", "0.0.0.0"]) {
    const server = createServer();
    const port = await freePort();
    await new Promise<void>((resolve) => server.listen(port, host, () => resolve()));
    expect(await isFree(port)).toBe(false);
    await new Promise<void>((resolve) => server.close(() => resolve()));
    expect(await isFree(port)).toBe(true);
  }
});

test("free ports are never given twice, and none is a usual one", async () => {
  const ports = await Promise.all(Array.from({ length: 20 }, freePort));
  expect(new Set(ports).size).toBe(20);
  for (const usual of [5432, 5672, 27_017, 1025, 8025, 15_672]) expect(ports).not.toContain(usual);
});
