import { PageTitle } from "../ui.tsx";

export function PeoplePage() {
  return <PageTitle title="People" />;
}
