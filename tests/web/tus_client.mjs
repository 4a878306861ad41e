// tus-js-client as somebody else's program uses it: node tus_client.mjs ENDPOINT FILE OPTIONS(JSON)
// Prints one JSON object a line: {"sent": bytes} as it goes, {"url": …, "number": …} at the end.
// With "abortAt", it breaks its own connection off once that many bytes were sent and then goes on from what the server has.
// With "piped", the file comes through a pipe whose end nobody knows beforehand.
import { createReadStream, statSync } from "node:fs";
import { PassThrough } from "node:stream";
import * as tus from "tus-js-client";

const [endpoint, file, options] = process.argv.slice(2);
const { abortAt, piped, ...given } = JSON.parse(options);
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

let aborted = false;
let number = null;
const sized = !given.uploadLengthDeferred && !given.parallelUploads;
const source = piped ? createReadStream(file).pipe(new PassThrough()) : createReadStream(file);
const upload = new tus.Upload(source, {
  endpoint,
  ...(sized ? { uploadSize: statSync(file).size } : {}),
  retryDelays: [200, 500, 1000, 2000, 4000, 8000],
  ...given,
  onAfterResponse: (_request, response) => {
    number = response.getHeader("Liuhen-Number") ?? number;
  },
  onProgress: (sent) => {
    say({ sent });
    if (abortAt && sent >= abortAt && !aborted) {
      aborted = true;
      upload.abort().then(() => {
        say({ aborted: sent });
        const again = new tus.Upload(createReadStream(file), { ...upload.options, uploadUrl: upload.url });
        again.start();
      });
    }
  },
  onSuccess: () => say({ url: upload.url, number }),
  onError: (error) => {
    process.stderr.write(`${error}\n`);
    say({ failed: error.originalResponse?.getStatus() ?? null, left: upload.url });
    process.exitCode = 1;
  },
});
upload.start();
