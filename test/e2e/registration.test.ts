/**
 * Killed at each of its steps, a registration ends whole: one user, one welcome mail (or a mark that says why not),
 * one event, and the same answer to everybody who asks again with his key.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { HAS_BACKING, START_MS, until } from "../kit.ts";
import { MOMENTS, type RegistrationScene, startRegistrations, type User, userAt } from "./registration.test-kit.ts";

/** Until everything of every user is there, from the kill on: our supervisor's restarts are most of it (ms). */
const WHOLE_MS = 60_000;
/** The same order of kills again: SEED=… bun run test e2e/registration */
const SEED = Number(process.env["SEED"] ?? Math.floor(Math.random() * 1e9));
/** Rounds of the random one; more for a night: REGISTRATION_ROUNDS=50. */
const ROUNDS = Number(process.env["REGISTRATION_ROUNDS"] ?? 1);

describe.skipIf(!HAS_BACKING)("registration (needs the backing services of `bun run test`)", () => {
  let scene: RegistrationScene;
  beforeAll(async () => {
    scene = await startRegistrations();
  }, START_MS);
  afterAll(() => scene?.[Symbol.asyncDispose](), 60_000);

  test("user, mail and event; asked again with the same key the answer is the same", async () => {
    const user = userAt("plain");
    const answer = await scene.register(user);
    expect(answer).toMatchObject({
      status: 201,
      body: {
        error: false,
        message: "User registered",
        data: { email: user.email, active: 1, registration: "pending" },
      },
    });
    expect(await scene.checked([user], 10_000)).toEqual([]);
    const again = await scene.register(user);
    expect([again?.status, again?.headers.get("idempotent-replayed"), user.ids.size]).toEqual([201, "true", 1]);
    expect(again?.body.data).toMatchObject({ registration: "complete" });
    const login = await scene.platform.post("auth", "/authenticate", user.body);
    expect(login.status).toBe(202);
    const { id, access_token: token } = login.body.data as { id: number; access_token: string };
    const me = await fetch(`${scene.platform.url("auth")}/me`, { headers: { authorization: `Bearer ${token}` } });
    expect(await me.json()).toMatchObject({ data: { id, registration: "complete" } });
    expect(scene.smtp.taken.find(({ to }) => to.includes(user.email))?.content).toContain(user.email);
  });

  test("a mail that is refused for good: the user is marked, and the event says so", async () => {
    const user = userAt("refused");
    expect((await scene.register(user))?.status).toBe(201);
    expect(await scene.checked([user], 10_000)).toEqual([]);
    const [id] = user.ids;
    const admin = await scene.platform.post("auth", "/authenticate", {
      email: "admin@example.com",
      password: "verysecret",
    });
    const { access_token: token } = admin.body.data as { access_token: string };
    const view = await fetch(`${scene.platform.url("auth")}/users/${id}/registration`, {
      headers: { authorization: `Bearer ${token}` },
    });
    expect(await view.json()).toMatchObject({ data: { id, registration: "mail_refused" } });
    const event = await scene.platform.entries.findOne({ name: "user.registered", "data.email": user.email });
    expect(event?.data).toMatchObject({ mail: "refused", reason: expect.stringContaining("nobody of that name") });
    // He may log in all the same.
    expect((await scene.platform.post("auth", "/authenticate", user.body)).status).toBe(202);
  });

  test.each(["auth", "mail", "rabbitmq", "postgres"] as const)(
    "%s killed (-9) while there is a registration at each moment: all end whole, nothing is there twice",
    async (victim) => {
      await scene.hold();
      const users: User[] = [];
      const asked: Promise<unknown>[] = [];
      const bring = async (moment: (typeof MOMENTS)[number]): Promise<void> => {
        const user = userAt(moment);
        users.push(user);
        asked.push(scene.register(user));
        await scene.held(moment, user);
      };
      // First what waits for the longest; last what holds for two seconds only, the life of a statement.
      const early = MOMENTS.filter((moment) => moment !== "uncommitted" && moment !== "publishing");
      await Promise.all(early.map(bring));
      const refused = userAt("refused");
      users.push(refused);
      asked.push(scene.register(refused));
      await scene.stopEvents();
      await bring("publishing");
      await bring("uncommitted");

      const part = scene.platform.stack.part(victim);
      const { pid } = part;
      part.kill("SIGKILL");
      await until(`${victim} gone`, () => part.pid !== pid);
      await scene.release();
      expect(await scene.checked(users, WHOLE_MS)).toEqual([]);
      await Promise.all(asked);
    },
    WHOLE_MS + 60_000,
  );

  test(
    `killed at random (SEED=${SEED}): all end whole`,
    async () => {
      let state = SEED;
      const random = (): number => {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
        return state / 2 ** 32;
      };
      const victims = ["auth", "auth", "mail", "rabbitmq", "postgres"] as const;
      for (let round = 0; round < ROUNDS; round += 1) {
        const users = Array.from({ length: 12 }, (_, index) => userAt(index % 6 === 5 ? "refused" : "random"));
        const asked = users.map(async (user, index) => {
          await Bun.sleep(index * 100 * random());
          await scene.register(user);
        });
        await Bun.sleep(800 * random());
        const victim = victims[Math.floor(random() * victims.length)] ?? "auth";
        scene.platform.stack.part(victim).kill("SIGKILL");
        expect([round, victim, await scene.checked(users, WHOLE_MS, victim)]).toEqual([round, victim, []]);
        await Promise.all(asked);
      }
    },
    ROUNDS * (WHOLE_MS + 10_000),
  );
});
