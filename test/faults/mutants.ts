export async function catchMutants(_only: string | undefined, _say: (line: string) => void): Promise<boolean> {
  return Promise.resolve(true);
}
