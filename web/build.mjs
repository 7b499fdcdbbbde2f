// The page's bundle: `make web`. What comes out is committed, so that nobody else needs node; a test compares its
// `sources.sha256` with the sources.
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const out = `${here}../operator/rollcall/serve/static`;
rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
await build({
  absWorkingDir: here,
  entryPoints: { app: "src/main.ts", style: "src/style.css" },
  outdir: out,
  bundle: true,
  minify: true,
  format: "iife",
  target: ["es2022"],
  charset: "utf8",
  legalComments: "none",
});
copyFileSync(`${here}src/index.html`, `${out}/index.html`);
copyFileSync(`${here}src/icon.svg`, `${out}/icon.svg`);
const uplot = readFileSync(`${here}node_modules/uplot/LICENSE`, "utf8");
writeFileSync(`${out}/licences.txt`, `This page contains uPlot, which has this licence:\n\n${uplot}`);
const hash = createHash("sha256");
for (const name of readdirSync(`${here}src`).sort()) hash.update(`${name}\0`).update(readFileSync(`${here}src/${name}`));
hash.update(readFileSync(`${here}package-lock.json`)).update(readFileSync(`${here}build.mjs`));
writeFileSync(`${out}/sources.sha256`, `${hash.digest("hex")}\n`);
