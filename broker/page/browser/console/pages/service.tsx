import { PageTitle } from "../ui.tsx";

export function ServicePage() {
  return <PageTitle title="Service" />;
}
