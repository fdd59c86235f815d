/** Tampers with an audit trail in every way, at random: AUDIT_SEED and AUDIT_TRIALS run others than the usual ones. */
import { describe, expect, test } from "bun:test";
import { RPC_LOG_BATCH } from "#contracts/logs";
import { connectRpc, makeDatabase, mongoUrl, NEEDS_MONGODB, startLogger, TEST_MONGODB_URL, until } from "../testing.ts";
import { type Entry, KEY, type Trail, trailOf, verifyTrail } from "./audit.test-kit.ts";
import { headSealOf } from "./documents.ts";

const SEED = Number(process.env["AUDIT_SEED"] ?? 20_261_130);
const TRIALS = Number(process.env["AUDIT_TRIALS"] ?? 1_000);

/** mulberry32: the same numbers for the same seed. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const PLACE = ["audit_chain", "audit_sequence", "audit_previous", "audit_mac"];

type Random = (below: number) => number;

/** What somebody does who can write to the database, and does not know the secret. */
const TAMPERINGS: Readonly<Record<string, (trail: Trail, random: Random) => void>> = {
  change({ entries }, random) {
    const one = entries[random(entries.length)] as Entry;
    const fields = Object.keys(one);
    const field = fields[random(fields.length)] ?? "";
    const value = one[field];
    if (typeof value === "number") one[field] = value + 1 + random(5);
    else if (typeof value === "string") one[field] = `${value}${random(10)}`;
    else if (value instanceof Date) one[field] = new Date(value.getTime() + 1 + random(1_000));
    else one[field] = { ...(value as object), user_id: -1 - random(100) };
  },
  "take a field away"({ entries }, random) {
    const one = entries[random(entries.length)] as Entry;
    const fields = Object.keys(one);
    Reflect.deleteProperty(one, fields[random(fields.length)] ?? "");
  },
  remove({ entries }, random) {
    entries.splice(random(entries.length), 1 + random(3));
  },
  "swap what two say"({ entries }, random) {
    const [one, other] = two(entries, random);
    [one["data"], other["data"]] = [other["data"], one["data"]];
  },
  "swap the places of two"({ entries }, random) {
    const [one, other] = two(entries, random);
    for (const field of PLACE) {
      [one[field], other[field]] = [other[field], one[field]];
    }
  },
  "swap the numbers of two"({ entries }, random) {
    const [one, other] = two(entries, random);
    const { audit_sequence: number = 0 } = one;
    one.audit_sequence = other.audit_sequence ?? 0;
    other.audit_sequence = number;
  },
  "add a copy"({ entries }, random) {
    const one = entries[random(entries.length)] as Entry;
    entries.push({ ...one, event_id: `copy-${random(1e6)}` });
  },
  "add one of no chain"({ entries }, random) {
    const one = { ...(entries[random(entries.length)] as Entry) };
    for (const field of PLACE) Reflect.deleteProperty(one, field);
    const back = random(2) === 0 ? {} : { stored_at: new Date(0) };
    entries.push({ ...one, ...back, event_id: `added-${random(1e6)}` });
  },
  "add one at the end of a chain"({ entries, chains }, random) {
    const chain = chains[random(chains.length)];
    const last = entries.find((one) => one.audit_mac === chain?.head.mac);
    if (last === undefined) throw new Error("a chain without its last entry");
    const place = { audit_sequence: (last.audit_sequence ?? 0) + 1, audit_previous: last.audit_mac };
    entries.push({ ...last, ...place, event_id: `added-${random(1e6)}` } as Entry);
  },
  "cut the end off"(trail, random) {
    const chain = trail.chains[random(trail.chains.length)];
    const from = (chain?.head.sequence ?? 0) - random(5);
    trail.entries = trail.entries.filter((one) => one.audit_chain !== chain?._id || (one.audit_sequence ?? 0) < from);
  },
  "cut the end off, and set the head back"(trail, random) {
    const chain = trail.chains[random(trail.chains.length)];
    const last = trail.entries.find((one) => one.audit_mac === chain?.head.mac);
    const before = trail.entries.find((one) => one.audit_mac === last?.audit_previous);
    if (chain === undefined || last === undefined || before === undefined) throw new Error("too short a chain");
    trail.entries = trail.entries.filter((one) => one !== last);
    chain.head = { ...chain.head, sequence: before.audit_sequence ?? 0, mac: before.audit_mac ?? "" };
  },
  "remove a chain with all that is of it"(trail, random) {
    const gone = trail.chains[random(trail.chains.length)]?._id;
    trail.chains = trail.chains.filter(({ _id }) => _id !== gone);
    trail.entries = trail.entries.filter((one) => one.audit_chain !== gone);
    trail.notes = trail.notes.filter(({ chain }) => chain !== gone);
  },
  "remove a note"({ notes }, random) {
    notes.splice(random(notes.length), 1);
  },
  "note that an entry was never stored"({ entries, notes }, random) {
    const one = entries.filter((each) => each.audit_chain !== undefined)[random(entries.length - 1)] as Entry;
    const note = notes.find(({ chain }) => chain === one.audit_chain) ?? notes[0];
    note?.missing.push(one.audit_sequence ?? 0);
    entries.splice(entries.indexOf(one), 1);
  },
  "remove what stands in the place of another"({ entries, notes }, random) {
    const adopted = notes.flatMap((note) => note.adopted);
    const id = adopted[random(adopted.length)]?.event_id;
    entries.splice(
      entries.findIndex((one) => one.event_id === id),
      1,
    );
  },
  "forget how many chains there are"(trail) {
    trail.heads = trail.heads.filter(({ _id }) => _id !== "chains");
  },
};

function two(entries: Entry[], random: Random): [Entry, Entry] {
  const chained = entries.filter((one) => one.audit_chain !== undefined);
  const first = random(chained.length);
  const second = (first + 1 + random(chained.length - 1)) % chained.length;
  return [chained[first] as Entry, chained[second] as Entry];
}

describe.skipIf(TEST_MONGODB_URL === undefined)(`tampering with the audit trail ${NEEDS_MONGODB}`, () => {
  test(`${TRIALS} random trials are all found (seed ${SEED})`, async () => {
    await using database = await makeDatabase();
    const old = { name: "audit", data: { user_id: 0 }, severity: "INFO", event_id: "older-1" };
    await database.logs.insertOne({ ...old, created_at: new Date(), stored_at: new Date() });
    for (const life of [0, 1, 2]) {
      await using logger = await startLogger(mongoUrl(database.name));
      await logger.ready();
      await using client = await connectRpc(logger);
      for (const part of [0, 1]) {
        // Each time some that were there before.
        const first = Math.max(0, life * 20 - 2) + part * 10;
        const batch = Array.from({ length: 12 }, (_, index) => ({
          name: "audit",
          data: { action: "user.changed", user_id: first + index },
          event_id: `audit-${first + index}`,
          severity: index % 3 === 0 ? "WARNING" : "INFO",
        }));
        expect(await client.call(RPC_LOG_BATCH, [batch])).toMatchObject({ ok: true });
      }
      const heads = database.client.db(database.name).collection("log_audit_heads");
      await until(async () => (await heads.countDocuments()) === 2, "older entries are sealed");
    }
    const trail = await trailOf(database);
    expect(trail.notes.flatMap((note) => note.adopted)).not.toBeEmpty();
    expect(await verifyTrail(trail)).toMatchObject({ intact: true, chains: 3, older: 1, unsealed: 0 });

    const random = randomOf(SEED);
    const ways = Object.entries(TAMPERINGS);
    const missed: string[] = [];
    for (let trial = 0; trial < TRIALS; trial += 1) {
      const [way, tamper] = ways[trial % ways.length] ?? ["", () => undefined];
      const copy = structuredClone(trail);
      tamper(copy, random);
      if (Bun.deepEquals(copy, trail)) continue;
      const { intact } = await verifyTrail(copy);
      if (intact !== false) missed.push(`${trial}: ${way}`);
    }
    expect(missed).toEqual([]);

    // A genuine head of before, and nothing of what came after: found by who keeps a head, and only by him.
    const chain = trail.chains.at(-1);
    const half = trail.entries.find((one) => one.audit_chain === 3 && one.audit_sequence === 12);
    if (chain === undefined || half === undefined) throw new Error("no chain to set back");
    const kept = ({ _id, head: { sequence, mac } }: typeof chain) => ({ chain: _id, sequence, mac });
    const mac = half.audit_mac ?? "";
    const before = { sequence: 12, mac, notes: 1, at: chain.opened_at };
    expect(await verifyTrail(trail, [...trail.chains.map(kept), { chain: 3, sequence: 12, mac }])).toMatchObject({
      intact: true,
    });
    const back = structuredClone(trail);
    const seal = headSealOf(KEY.sealOf(chain.registration), before);
    Object.assign(back.chains[2] ?? {}, { head: { ...before, seal } });
    back.entries = back.entries.filter((one) => one.audit_chain !== 3 || (one.audit_sequence ?? 0) <= 12);
    expect(await verifyTrail(back)).toMatchObject({ items: [] });
    expect(await verifyTrail(back, [kept(chain)])).toMatchObject({ breaks: 1, items: [{ chain: 3 }] });
    const other = { ...kept(chain), mac: before.mac };
    expect(await verifyTrail(trail, [other])).toMatchObject({ breaks: 1, items: [{ chain: 3 }] });
    const gone = { ...kept(chain), chain: 9 };
    expect(await verifyTrail(trail, [gone])).toMatchObject({ breaks: 1, items: [{ chain: 9 }] });
  }, 120_000);
});
