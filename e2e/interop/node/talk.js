// What a program and its test say to each other: one JSON value a line. The
// first line in is the settings; then the program asks for what only a browser
// can do, and says what it has done.
import assert from 'node:assert/strict'
import { createInterface } from 'node:readline'

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const say = what => process.stdout.write(JSON.stringify(what) + '\n')

async function hear() {
  const { value, done } = await lines.next()
  if (done) throw new Error('the test went away')
  return JSON.parse(value)
}

export const settings = await hear()

/** The browser goes there; the address that it ends at comes back. */
export async function visit(url) {
  say({ visit: String(url) })
  return new URL((await hear()).url)
}

/** A person lets a device in, or confirms what a client asked for. */
export async function approve(what) {
  say({ approve: String(what) })
  await hear()
}

/** This works. The test knows what must be among it. */
export const did = what => say({ did: what })

/** The attempt fails, and the library says why in the expected words. */
export async function refused(what, attempt, expected) {
  await assert.rejects(attempt, err => {
    // A 401 comes with a challenge, and the library reports that one.
    const got = { code: err.code, status: err.status, error: err.error ?? err.cause?.[0]?.parameters?.error }
    for (const [name, want] of Object.entries(expected)) assert.equal(got[name], want, `${what}: ${err.message} ${JSON.stringify(got)}`)
    return true
  })
  did('refused: ' + what)
}

export function end() {
  process.stdin.destroy()
}
