import { PageTitle } from "../ui.tsx";

export function TemplatesPage() {
  return <PageTitle title="Templates" />;
}
