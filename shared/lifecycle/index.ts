export { type Dependency, type DependencyReport, type DependencyState, type Health, makeHealth } from "./health.ts";
export {
  type App,
  type Command,
  EXIT,
  localUrl,
  makeRuntime,
  type Runtime,
  run,
  type Service,
  StartError,
} from "./run.ts";
