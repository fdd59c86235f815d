/** Files that are imported as text and so carried inside the executable. */
declare module "*.css" {
  const text: string;
  export default text;
}
