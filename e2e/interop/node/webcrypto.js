// Node.js 18 has what the libraries need, but not under its global names.
import { webcrypto } from 'node:crypto'
globalThis.crypto ??= webcrypto
globalThis.CryptoKey ??= webcrypto.CryptoKey
