// An inference client that knows nothing of BMASE: @grpc/grpc-js, and the contract loaded at run time.
//
//   node client.js MODEL [NAME=1,2,3 ...] [--address HOST:PORT] [--protos FILE]
//
// Inputs that are not given are filled with zeros. Exit code 0: answered; 1: not; 2: wrong command line.

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';
import { count, decode, encode } from './tensors.js';

const USAGE = 'usage: node client.js MODEL [NAME=1,2,3 ...] [--address HOST:PORT] [--protos FILE]';
const DEADLINE_MS = 10_000;

function commandLine() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        address: { type: 'string', default: process.env.BMASE_ADDRESS ?? '127.0.0.1:8080' },
        protos: { type: 'string', default: new URL('bmase.binpb', import.meta.url).pathname },
      },
    });
    const [model, ...inputs] = positionals;
    if (!model || inputs.some((input) => !input.includes('='))) throw new Error('a model is needed, and NAME=VALUES');
    return { ...values, model, given: Object.fromEntries(inputs.map(pair)) };
  } catch (error) {
    console.error(`${error.message}\n${USAGE}`);
    return process.exit(2);
  }
}

function pair(input) {
  const at = input.indexOf('=');
  return [input.slice(0, at), input.slice(at + 1).split(',')];
}

/** The service's client class, from a FileDescriptorSet (`bmase protos export`). */
function loadService(file) {
  const options = { keepCase: true, longs: Number, defaults: true };
  const definition = protoLoader.loadFileDescriptorSetFromBuffer(readFileSync(file), options);
  return grpc.loadPackageDefinition(definition).inference.GRPCInferenceService;
}

/** Each method as a function that returns a promise and has a deadline. */
function promised(client) {
  const call = (name) => (request) => new Promise((resolve, reject) => {
    const deadline = Date.now() + DEADLINE_MS;
    client[name](request, { deadline }, (error, answer) => (error ? reject(error) : resolve(answer)));
  });
  const names = ['ServerLive', 'ServerReady', 'ModelMetadata', 'ModelInfer'];
  return Object.fromEntries(names.map((name) => [name, call(name)]));
}

/** The values for one input, and the shape that they have: an open first dimension is the batch. */
function input({ name, datatype, shape }, given) {
  const open = shape.map((size) => (Number(size) < 0 ? 1 : Number(size)));
  const values = given[name] ?? Array(count(open)).fill(datatype === 'BYTES' ? '' : 0);
  const rows = values.length / count(open.slice(1));
  const filled = Number(shape[0]) < 0 && Number.isInteger(rows) ? [rows, ...open.slice(1)] : open;
  if (count(filled) !== values.length) {
    throw new Error(`${name} takes the shape [${shape}], which ${values.length} values do not fill`);
  }
  return { tensor: { name, datatype, shape: filled }, raw: encode(values, datatype) };
}

async function main({ address, protos, model, given }) {
  const Service = loadService(protos);
  const client = new Service(address, grpc.credentials.createInsecure(), { 'grpc.max_receive_message_length': -1 });
  try {
    const server = promised(client);
    console.log(`live      ${(await server.ServerLive({})).live}`);
    console.log(`ready     ${(await server.ServerReady({})).ready}`);

    const metadata = await server.ModelMetadata({ name: model });
    const describe = ({ name, datatype, shape }) => `${name} ${datatype}[${shape}]`;
    console.log(`model     ${metadata.name}, versions ${metadata.versions.join(', ') || 'unknown'}`);
    console.log(`takes     ${metadata.inputs.map(describe).join(', ')}`);
    console.log(`gives     ${metadata.outputs.map(describe).join(', ')}`);

    const inputs = metadata.inputs.map((declared) => input(declared, given));
    const answer = await server.ModelInfer({
      model_name: model,
      inputs: inputs.map(({ tensor }) => tensor),
      raw_input_contents: inputs.map(({ raw }) => raw),
    });
    console.log(`answered  by version ${answer.model_version}`);
    answer.outputs.forEach(({ name, datatype, shape }, index) => {
      const values = decode(answer.raw_output_contents[index], datatype, shape);
      console.log(`${name.padEnd(9)} ${datatype}[${shape}] = ${values.slice(0, 10).join(', ')}`);
    });
  } finally {
    client.close();
  }
}

main(commandLine()).catch((error) => {
  const status = error.code === undefined ? '' : `${grpc.status[error.code] ?? error.code}: `;
  console.error(`failed: ${status}${error.details ?? error.message}`);
  process.exitCode = 1;
});
