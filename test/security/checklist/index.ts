/**
 * The security checklist: what has to hold, and which test proves it. A line may name several; where something is proved
 * elsewhere than in the test run, it says where and why. `checklist.test.ts` fails where a test that is named is gone.
 */
import { IDENTITY } from "./identity.ts";
import { INPUT } from "./input.ts";
import type { Line } from "./line.ts";
import { OPERATION } from "./operation.ts";

export const CHECKLIST: readonly Line[] = [...IDENTITY, ...INPUT, ...OPERATION];
