/** Tells whether any process has this pid now. A child of ours that has ended is reaped at once and counts no more. */
export function pidExists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
}
