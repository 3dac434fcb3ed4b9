// A real Chromium, without a window, for the tests of pages: `const browser = await open()`.
//
// The npm package brings the program packed. It is unpacked once per machine, beside the project's other tools.

import chromium from "@sparticuz/chromium";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import puppeteer from "puppeteer-core";

/// A browser of its own, with nothing remembered; the caller closes it.
export async function open() {
    return puppeteer.launch({
        executablePath: await program(),
        // What the pages of a test load is ours, and containers have no namespaces to lock it into. Whether pages may call other
        // origins is for them to find out.
        args: [...chromium.args.filter((arg) => arg !== "--disable-web-security"), "--no-sandbox"],
        headless: "shell",
    });
}

async function program() {
    const { devDependencies } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
    const cache = process.env.POSTERN_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "postern");
    const tools = join(cache, "tools");
    const place = join(tools, `chromium-${devDependencies["@sparticuz/chromium"]}`);
    if (!existsSync(place)) {
        mkdirSync(tools, { recursive: true });
        // Another test may do the same now: whoever is first wins, and nobody sees half of it.
        const mine = mkdtempSync(join(tools, "chromium-"));
        process.env.TMPDIR = mine;
        await chromium.executablePath();
        try {
            renameSync(mine, place);
        } catch (error) {
            if (!existsSync(place)) throw error;
            rmSync(mine, { recursive: true });
        }
    }
    process.env.TMPDIR = place;
    return chromium.executablePath();
}
