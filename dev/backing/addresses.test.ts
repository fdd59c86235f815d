import { expect, test } from "bun:test";
import { reasonOf, shown, withDatabase, withoutDatabase } from "./addresses.ts";

test("an address is shown without its password and its query", () => {
  expect(shown("postgres://ann:s3cret@db.example:5432/users?sslpassword=s3cret")).toBe(
    "postgres://ann@db.example:5432/users",
  );
  expect(shown("s3cret")).not.toContain("s3cret");
});

test("a database is put in and taken out of a server's address", () => {
  expect(withoutDatabase("postgres://ann:pw@db:5432/users?sslmode=require")).toBe(
    "postgres://ann:pw@db:5432/?sslmode=require",
  );
  expect(withoutDatabase("postgres://db:5432/users")).toBe("postgres://db:5432");
  expect(withDatabase("postgres://db:5432/?sslmode=require", "mail")).toBe("postgres://db:5432/mail?sslmode=require");
});

test("a MongoDB user is still looked up in the database that the address named", () => {
  expect(withoutDatabase("mongodb://ann:pw@db/logs")).toBe("mongodb://ann:pw@db/?authSource=logs");
  expect(withoutDatabase("mongodb://ann:pw@db/logs?authSource=admin")).toBe("mongodb://ann:pw@db/?authSource=admin");
  expect(withoutDatabase("mongodb://db/logs")).toBe("mongodb://db");
});

test("what went wrong is said in words, however deep its cause lies", () => {
  const refused = Object.assign(new Error("connect ECONNREFUSED 127.0.0.1:1"), { code: "ECONNREFUSED" });
  expect(reasonOf(new Error("server selection failed", { cause: refused }))).toBe("nothing listens there");
  expect(reasonOf(new AggregateError([refused], ""))).toBe("nothing listens there");
  const login = new Error("Handshake terminated by server: 403 (ACCESS-REFUSED)");
  expect(reasonOf(login)).toBe("it refused the user name or password");
  expect(reasonOf(Object.assign(new Error("x"), { code: "28P01" }))).toBe("it refused the user name or password");
  expect(reasonOf(new Error("first line\nat stack"))).toBe("first line");
});
