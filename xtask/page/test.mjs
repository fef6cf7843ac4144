// What a reader does with a report's page: filters, sorts, hovers, follows links, switches to dark; on a screen and on a phone.
// usage: node test.mjs CHROMIUM INDEX.html [FOLDER FOR PICTURES]
import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { Browser } from "./browser.mjs";

const [program, file, pictures] = process.argv.slice(2);
const url = pathToFileURL(resolve(file)).href;
const browser = new Browser(program);
const text = (selector) => browser.run(`document.querySelector(${JSON.stringify(selector)}).textContent`);
const click = (selector) => browser.run(`document.querySelector(${JSON.stringify(selector)}).click()`);
const rows = () => browser.run("[...document.querySelectorAll('#ranking tbody tr')].map((row) => row.querySelector('th a')?.dataset.open ?? '')");
const picture = async (name, whole) => pictures && browser.picture(join(pictures, `${name}.png`), whole);

/** Nothing sticks out sideways, and no heading or name is broken inside a word. */
async function layout(width) {
  const wide = await browser.run("document.documentElement.scrollWidth");
  assert.ok(wide <= width, `at ${width} px the page is ${wide} px wide`);
  const cut = await browser.run(`[...document.querySelectorAll('.plot svg')].flatMap((svg) => {
    const box = svg.getBoundingClientRect();
    return [...svg.querySelectorAll('text')].filter((text) => {
      const own = text.getBoundingClientRect();
      return own.left < box.left - 1 || own.right > box.right + 1 || own.bottom > box.bottom + 1 || own.top < box.top - 1;
    }).map((text) => text.textContent);
  })`);
  assert.deepEqual(cut, [], `labels cut at ${width} px`);
  const twice = await browser.run("[...document.querySelectorAll('[id]')].map((element) => element.id).filter((id, place, all) => all.indexOf(id) !== place)");
  assert.deepEqual(twice, [], "names of parts that stand twice");
  const narrow = await browser.run("[...document.querySelectorAll('section')].filter((section) => section.clientWidth < 200).map((section) => section.id)");
  assert.deepEqual(narrow, [], `sections squeezed at ${width} px`);
}

async function filters() {
  await browser.go(url);
  const all = await rows();
  assert.ok(all.length > 3, "ranked list");
  await click("#sizes button:last-child");
  const larger = await rows();
  assert.ok(larger.length >= all.length && (await browser.run("location.hash")).includes("size="), "size");
  const word = larger.at(-1).split(/[:+ ]/)[0];
  await browser.run(`(() => { const box = document.querySelector('#search'); box.value = '${word}'; box.dispatchEvent(new Event('input')); })()`);
  const found = await rows();
  assert.ok(found.length > 0 && found.every((name) => name.includes(word)), "search");
  await click("#reset");
  assert.deepEqual(await rows(), all, "undo");
  const id = await browser.run("document.querySelector('#ranking tbody th a').dataset.open.split(/[:+ ]/)[0]");
  await click(`#legend button[data-id="${id}"]`);
  assert.ok(!(await rows()).some((name) => name.split(/[:+ ]/)[0] === id), "legend");
  await click("#reset");
  const models = await browser.run("document.querySelectorAll('#chosen button[data-m]').length");
  const small = await browser.run("document.querySelectorAll('#each svg').length");
  assert.ok(models < 2 || small === models, "a chart a model");
}

async function sorts() {
  const column = "document.querySelector('#ranking thead th:nth-child(4)')";
  await browser.run(`${column}.querySelector('button').focus()`);
  await browser.press("Enter");
  const sizes = () => browser.run("[...document.querySelectorAll('#ranking tbody tr')].map((row) => Number(row.children[3].dataset.v))");
  const ascending = await sizes();
  assert.deepEqual(ascending, [...ascending].sort((a, b) => a - b), "least first where less is better");
  assert.equal(await browser.run(`${column}.getAttribute('aria-sort')`), "ascending");
  await browser.press("Enter");
  assert.deepEqual(await sizes(), [...ascending].sort((a, b) => b - a), "and back");
}

async function hovers() {
  await browser.run("document.querySelector('#behaviour').scrollIntoView()");
  const at = await browser.run("(() => { const box = document.querySelector('#behaviour svg .mark').getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; })()");
  await browser.move(...at);
  const tip = await text("#behaviour .tip");
  assert.ok(!(await browser.run("document.querySelector('#behaviour .tip').hidden")) && /bits\/weight/.test(tip), `hover: ${tip}`);
  await picture("hover", false);
  await browser.run("document.querySelector('#behaviour svg').focus()");
  await browser.press("ArrowRight");
  await browser.press("ArrowRight");
  assert.match(await text("#behaviour .sr"), /bits\/weight/, "keyboard");
  await browser.press("Enter");
  assert.ok(await browser.run("document.querySelector('#row').open"), "Enter shows the row");
  const shown = await text("#row");
  assert.ok(shown.includes("[[codec]]") && /seedpress|cargo/.test(shown), "TOML and command");
  await picture("row", false);
  await browser.press("Escape");
  await browser.run("new Promise((done) => setTimeout(done, 50))");
  assert.ok(!(await browser.run("document.querySelector('#row').open")) && !(await browser.run("location.hash")).includes("row="), "closed");
}

async function links() {
  const model = await browser.run("document.querySelector('#chosen button[data-m]').textContent");
  const row = await browser.run("document.querySelector('#ranking tbody th a').dataset.open");
  await browser.go(`${url}#${new URLSearchParams({ models: model, size: 3.4, row })}`);
  assert.ok(await browser.run("document.querySelector('#row').open"), "a link opens its row");
  assert.match(await text("#answer .lead"), new RegExp(`3.4 bits.*${model}`), "and its choice");
  for (const part of [`model-${model}`, `codec-${row.split(/[:+ ]/)[0]}`, "failures"]) {
    await browser.go(`${url}#${part}`);
    const top = await browser.run(`document.getElementById(${JSON.stringify(part)}).getBoundingClientRect().top`);
    assert.ok(Math.abs(top) < 1100, `#${part} is at ${top}`);
    await picture(part, false);
  }
}

async function dark() {
  await browser.go(url);
  const paper = () => browser.run("getComputedStyle(document.body).backgroundColor");
  const before = await paper();
  await click("#theme");
  assert.notEqual(await paper(), before, "dark mode");
  await picture("dark");
  await click("#theme");
  assert.equal(await paper(), before, "and back");
}

try {
  assert.ok(statSync(file).size < 1_500_000, `${file} has ${statSync(file).size} bytes`);
  await browser.open();
  for (const [width, height] of [[1440, 1000], [390, 844]]) {
    await browser.size(width, height);
    await filters();
    await layout(width);
    await picture(`page-${width}`);
    await sorts();
    await hovers();
    await links();
    await dark();
    await browser.go(url);
  }
  assert.deepEqual(browser.problems, [], "console");
  assert.deepEqual(browser.requests.filter((request) => !request.startsWith(url)), [], "requests");
  console.log(`${file}: filters, sorts, hovers, links, dark mode, 390 and 1440 px: fine`);
} finally {
  await browser.close();
}
