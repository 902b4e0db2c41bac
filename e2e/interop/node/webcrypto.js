// Node.js 18 has what the libraries need, but not under its global name.
import { webcrypto } from 'node:crypto'
globalThis.crypto ??= webcrypto
