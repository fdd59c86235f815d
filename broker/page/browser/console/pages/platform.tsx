import { PageTitle } from "../ui.tsx";

export function PlatformPage() {
  return <PageTitle title="Platform" />;
}
