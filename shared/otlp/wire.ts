/**
 * OTLP logs in Protocol Buffers, as the same plain values that OTLP's JSON has. The messages are those of opentelemetry-proto
 * (opentelemetry/proto/collector/logs/v1/logs_service.proto and what it imports, v1.7); the wire is the library's to read.
 * What is not known is skipped.
 */
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { Failure, fail, ok, type Result } from "#shared/errors";

/** What a field is on the wire, and how its value is written in JSON: 64 bits as text, bytes in base64, ids in hexadecimal. */
type Scalar = "string" | "base64" | "hex" | "int64" | "fixed64" | "uint32" | "fixed32" | "double" | "bool";

interface Field {
  readonly name: string;
  readonly type: Scalar | (() => Message);
  readonly repeated?: true;
  /** Bytes that are none of its message stand for nothing but themselves: undefined in its place. */
  readonly alone?: true;
}

/** By number. */
type Message = Readonly<Record<number, Field>>;

const WIRE_TYPES: Readonly<Record<Scalar, WireType>> = {
  string: WireType.LengthDelimited,
  base64: WireType.LengthDelimited,
  hex: WireType.LengthDelimited,
  int64: WireType.Varint,
  fixed64: WireType.Bit64,
  uint32: WireType.Varint,
  fixed32: WireType.Bit32,
  double: WireType.Bit64,
  bool: WireType.Varint,
};

const list = (name: string, type: () => Message): Field => ({ name, type, repeated: true });

const KEY_VALUE: Message = {
  1: { name: "key", type: "string" },
  2: { name: "value", type: () => ANY_VALUE },
};
const ANY_VALUE: Message = {
  1: { name: "stringValue", type: "string" },
  2: { name: "boolValue", type: "bool" },
  3: { name: "intValue", type: "int64" },
  4: { name: "doubleValue", type: "double" },
  5: { name: "arrayValue", type: () => ARRAY_VALUE },
  6: { name: "kvlistValue", type: () => KEY_VALUE_LIST },
  7: { name: "bytesValue", type: "base64" },
};
const ARRAY_VALUE: Message = { 1: list("values", () => ANY_VALUE) };
const KEY_VALUE_LIST: Message = { 1: list("values", () => KEY_VALUE) };
const RESOURCE: Message = { 1: list("attributes", () => KEY_VALUE) };
const SCOPE: Message = {
  1: { name: "name", type: "string" },
  2: { name: "version", type: "string" },
  3: list("attributes", () => KEY_VALUE),
};
const LOG_RECORD: Message = {
  1: { name: "timeUnixNano", type: "fixed64" },
  2: { name: "severityNumber", type: "uint32" },
  3: { name: "severityText", type: "string" },
  5: { name: "body", type: () => ANY_VALUE },
  6: list("attributes", () => KEY_VALUE),
  7: { name: "droppedAttributesCount", type: "uint32" },
  8: { name: "flags", type: "fixed32" },
  9: { name: "traceId", type: "hex" },
  10: { name: "spanId", type: "hex" },
  11: { name: "observedTimeUnixNano", type: "fixed64" },
  12: { name: "eventName", type: "string" },
};
const SCOPE_LOGS: Message = {
  1: { name: "scope", type: () => SCOPE },
  2: { name: "logRecords", type: () => LOG_RECORD, repeated: true, alone: true },
};
const RESOURCE_LOGS: Message = {
  1: { name: "resource", type: () => RESOURCE },
  2: list("scopeLogs", () => SCOPE_LOGS),
};
const REQUEST: Message = { 1: list("resourceLogs", () => RESOURCE_LOGS) };

export interface WireLimits {
  readonly depth: number;
  /** Values in all, and log records among them: one takes 2 bytes on the wire, and hundreds in memory. */
  readonly nodes: number;
  readonly records: number;
}

function scalarOf(reader: BinaryReader, type: Scalar): unknown {
  switch (type) {
    case "string":
      return reader.string();
    case "base64":
      return Buffer.from(reader.bytes()).toString("base64");
    case "hex":
      return Buffer.from(reader.bytes()).toString("hex");
    case "int64":
      return String(reader.int64());
    case "fixed64":
      return String(reader.fixed64());
    default:
      return reader[type]();
  }
}

/**
 * Decodes an ExportLogsServiceRequest. A log record whose bytes are none is `undefined` in its place.
 * @returns failure `malformed` for what is no such message, `too_large` beyond a limit.
 */
export function decodeRequest(bytes: Uint8Array, limits: WireLimits): Result<object> {
  const reader = new BinaryReader(bytes);
  let nodes = 0;
  let records = 0;

  /** The message from where the reader is to `end`. */
  function messageOf(message: Message, end: number, depth: number): Record<string, unknown> {
    if (depth > limits.depth) throw new Error(`nested deeper than ${limits.depth} levels`);
    const value: Record<string, unknown> = {};
    while (reader.pos < end) {
      if ((nodes += 1) > limits.nodes) throw tooMany(limits.nodes, "values");
      const [number, wireType] = reader.tag();
      const field = message[number];
      const type = field?.type;
      const expected = typeof type === "string" ? WIRE_TYPES[type] : WireType.LengthDelimited;
      if (field === undefined || type === undefined || wireType !== expected) {
        reader.skip(wireType, number);
        continue;
      }
      const read = typeof type === "string" ? scalarOf(reader, type) : partOf(field, type(), end, depth + 1);
      if (field.repeated !== true) value[field.name] = read;
      else if (value[field.name] === undefined) value[field.name] = [read];
      else (value[field.name] as unknown[]).push(read);
    }
    if (reader.pos > end) throw new Error("a field is longer than its message");
    return value;
  }

  function partOf(field: Field, message: Message, outerEnd: number, depth: number): unknown {
    const length = reader.uint32();
    const end = reader.pos + length;
    if (end > outerEnd) throw new Error("a message is longer than the one that it is in");
    if (field.alone !== true) return messageOf(message, end, depth);
    if ((records += 1) > limits.records) throw tooMany(limits.records, "log records");
    try {
      return messageOf(message, end, depth);
    } catch (error) {
      if (error instanceof Failure) throw error;
      reader.pos = end;
      return undefined;
    }
  }

  try {
    return ok(messageOf(REQUEST, bytes.byteLength, 1));
  } catch (error) {
    if (error instanceof Failure) return { ok: false, error };
    return fail("malformed", "the body is no ExportLogsServiceRequest in Protocol Buffers", { cause: error });
  }
}

function tooMany(max: number, what: string): Failure {
  return new Failure("too_large", `more than ${max} ${what}: send smaller batches`);
}

/** An ExportLogsServiceResponse; empty where nothing was rejected. */
export function encodeResponse(rejected: number, message: string): Uint8Array<ArrayBuffer> {
  const writer = new BinaryWriter();
  if (rejected === 0 && message === "") return writer.finish();
  writer.tag(1, WireType.LengthDelimited).fork();
  if (rejected > 0) writer.tag(1, WireType.Varint).int64(rejected);
  if (message !== "") writer.tag(2, WireType.LengthDelimited).string(message);
  return writer.join().finish();
}

/** A google.rpc.Status with its message alone: OTLP leaves out the code. */
export function encodeStatus(message: string): Uint8Array<ArrayBuffer> {
  return new BinaryWriter().tag(2, WireType.LengthDelimited).string(message).finish();
}
