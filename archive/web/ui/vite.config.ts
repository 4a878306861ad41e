// Builds the pages' TypeScript and CSS into archive/web/static, with hashed names and a manifest.json that maps
// source names to built names. Every `*.entry.ts` beside this file is an entry of its own, next to main.ts.
import { readdirSync } from "node:fs";
import { resolve } from "node:path";
import { defineConfig } from "vite";

const here = import.meta.dirname;
const entries = readdirSync(here).filter((name) => name === "main.ts" || name.endsWith(".entry.ts"));

export default defineConfig({
  root: here,
  base: "/static/",
  publicDir: false,
  build: {
    outDir: resolve(here, "../static"),
    emptyOutDir: true,
    manifest: "manifest.json",
    // What is bundled keeps its makers' names and terms beside it.
    license: { fileName: "licences.md" },
    // Files stay files, so that the content policy needs no data: for scripts and fonts.
    assetsInlineLimit: 0,
    cssCodeSplit: true,
    modulePreload: { polyfill: false },
    sourcemap: false,
    target: "es2022",
    rolldownOptions: {
      input: entries.map((name) => resolve(here, name)),
      // htmx has one eval, for attributes we do not use; the content policy forbids it at run time.
      // How long a plugin took is no warning on a machine that is busy.
      checks: { eval: false, bundlerTimings: false },
    },
  },
});
