// Runs a wasm32-wasip1 program: `cargo test`'s runner for the kernels' tests.

import { readFile } from 'node:fs/promises';
import { argv, env, exit } from 'node:process';
import { WASI } from 'node:wasi';

const [program, ...flags] = argv.slice(2);
const wasi = new WASI({ version: 'preview1', args: [program, ...flags], env, returnOnExit: true });
const module = await WebAssembly.compile(await readFile(program));
const instance = await WebAssembly.instantiate(module, wasi.getImportObject());
exit(wasi.start(instance));
