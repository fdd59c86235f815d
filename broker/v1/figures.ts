/** Rates, times and sizes of the platform: the latest, and over time. Translates only; they are sampled in figures/. */
import { Elysia } from "elysia";
import { FIGURE_PARTS, FIGURES_WINDOW_S, FiguresQuery } from "#contracts/figures";
import { Failure, orThrow } from "#shared/errors";
import { envelope } from "#shared/http";
import { makeQueryValidator } from "#shared/validation";
import type { Figures } from "../figures/figures.ts";
import { NO_QUERY } from "./desk.ts";

const noQuery = makeQueryValidator(NO_QUERY);
const overQuery = makeQueryValidator(FiguresQuery);

export function figureRoutes(figures: Pick<Figures, "latest" | "over">) {
  return new Elysia({ name: "broker.figures", prefix: "/v1" })
    .get("/platform/figures", ({ request }) => {
      orThrow(noQuery(request.url));
      return envelope("the latest figures", figures.latest());
    })
    .get("/platform/figures/:part", ({ params, request }) => {
      const { window_s: windowS = FIGURES_WINDOW_S } = orThrow(overQuery(request.url));
      const part = FIGURE_PARTS.find((name) => name === params.part);
      if (part === undefined) throw new Failure("not_found", "no such part of the platform");
      return envelope(`figures of ${part} over the last ${windowS} s`, figures.over(part, windowS));
    });
}
