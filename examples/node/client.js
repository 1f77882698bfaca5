// Asks a model for an answer, and the platform for its routes. Nothing is generated: the contract is loaded at run time.
//
//   ../../.venv/bin/bmase protos export contract.binpb
//   npm ci && node client.js 127.0.0.1:8080 quickstart x 5.1,3.5,1.4,0.2
//
// usage: node client.js ADDRESS MODEL INPUT NUMBERS   (the input is FP32; CONTRACT names another descriptor set)

const fs = require('node:fs')
const path = require('node:path')
const grpc = require('@grpc/grpc-js')
const protoLoader = require('@grpc/proto-loader')

const DEADLINE_MS = 10_000
const FLOAT_BYTES = 4

function contract () {
  const file = process.env.CONTRACT || path.join(__dirname, 'contract.binpb')
  const options = { longs: Number, enums: String, defaults: true, keepCase: true }
  const definition = protoLoader.loadFileDescriptorSetFromBuffer(fs.readFileSync(file), options)
  return grpc.loadPackageDefinition(definition)
}

function call (client, method, request) {
  return new Promise((resolve, reject) => {
    const deadline = new Date(Date.now() + DEADLINE_MS)
    client[method](request, { deadline }, (error, answer) => error ? reject(error) : resolve(answer))
  })
}

function floats (values) {
  const raw = Buffer.alloc(values.length * FLOAT_BYTES)
  values.forEach((value, position) => raw.writeFloatLE(value, position * FLOAT_BYTES))
  return raw
}

function decode (output, raw) {
  if (output.datatype === 'FP32') {
    return Array.from({ length: raw.length / FLOAT_BYTES }, (_, n) => raw.readFloatLE(n * FLOAT_BYTES))
  }
  if (output.datatype === 'BYTES') { // each element: its length in four bytes, then itself
    const texts = []
    for (let at = 0; at < raw.length; at += 4 + raw.readUInt32LE(at)) {
      texts.push(raw.toString('utf8', at + 4, at + 4 + raw.readUInt32LE(at)))
    }
    return texts
  }
  return `${raw.length} bytes of ${output.datatype}`
}

async function main ([address, model, input, numbers]) {
  if (!numbers) throw new Error('usage: node client.js ADDRESS MODEL INPUT NUMBERS')
  const api = contract()
  const credentials = grpc.credentials.createInsecure()
  const serving = new api.inference.GRPCInferenceService(address, credentials)
  const routing = new api.bmase.gateway.v1.RouteService(address, credentials)
  try {
    const values = numbers.split(',').map(Number)
    const answer = await call(serving, 'ModelInfer', {
      model_name: model,
      inputs: [{ name: input, datatype: 'FP32', shape: [1, values.length] }],
      raw_input_contents: [floats(values)]
    })
    console.log(`${answer.model_name} version ${answer.model_version}`)
    answer.outputs.forEach((output, n) => console.log(`${output.name} = ${decode(output, answer.raw_output_contents[n])}`))
    const route = await call(routing, 'GetRoute', { name: `routes/${model}` })
    console.log('traffic: ' + route.versions.map(v => `version ${v.version} weight ${v.weight}`).join(', '))
  } finally {
    serving.close()
    routing.close()
  }
}

main(process.argv.slice(2)).catch(error => {
  console.error(`error: ${error.code === undefined ? '' : grpc.status[error.code] + ': '}${error.details || error.message}`)
  process.exitCode = 1
})
