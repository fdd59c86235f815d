/**
 * Which of several sockets that listen on one port (SO_REUSEPORT) gets new connections: Linux spreads them, and those
 * that wait at a socket are reset when it is closed. A filter of one instruction names the one that is to get them
 * all (SO_ATTACH_REUSEPORT_CBPF, socket(7)), so that another can be left empty, and closed.
 */
import { dlopen, ptr } from "bun:ffi";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** Of <asm-generic/socket.h> and <linux/bpf_common.h>. */
const SOL_SOCKET = 1;
const SO_ATTACH_REUSEPORT_CBPF = 51;
const BPF_RET_K = 0x06;
/** State of a socket that listens, in /proc/net/tcp (proc_net_tcp(5)). */
const LISTENS = "0A";

function open() {
  return dlopen("libc.so.6", { setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" } }).symbols;
}

let libc: ReturnType<typeof open> | undefined;

/** Descriptors of this process's sockets that listen on `port`. */
function listeningOn(port: number): number[] {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const inodes = new Set<string>();
  for (const table of ["/proc/self/net/tcp", "/proc/self/net/tcp6"]) {
    for (const line of readFileSync(table, "latin1").split("\n").slice(1)) {
      const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
      if (state === LISTENS && local?.endsWith(suffix) === true && inode !== undefined) inodes.add(`socket:[${inode}]`);
    }
  }
  return readdirSync("/proc/self/fd")
    .map(Number)
    .filter((descriptor) => {
      try {
        return inodes.has(readlinkSync(`/proc/self/fd/${descriptor}`));
      } catch {
        return false; // Closed meanwhile.
      }
    });
}

/**
 * From now on all new connections to `port` go to the socket that is the `index`th of its group: the kernel counts them in
 * the order in which they began to listen, and puts the last in the place of one that is closed.
 * @returns false where this system has no such thing; then they are spread.
 */
export function directTo(port: number, index: number): boolean {
  if (process.platform !== "linux") return false;
  try {
    libc ??= open();
    const instruction = new DataView(new ArrayBuffer(8));
    instruction.setUint16(0, BPF_RET_K, true);
    instruction.setUint32(4, index, true);
    const program = new DataView(new ArrayBuffer(16));
    program.setUint16(0, 1, true);
    program.setBigUint64(8, BigInt(ptr(instruction)), true);
    const { setsockopt } = libc;
    // One would do: they share it. Those of another group on that port number leave a number alone that they do not have.
    const done = listeningOn(port).map((descriptor) =>
      setsockopt(descriptor, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, ptr(program), program.byteLength),
    );
    return done.includes(0);
  } catch {
    return false; // No such library, or no /proc.
  }
}
