// tus-js-client as somebody else's program uses it: node tus_client.mjs ENDPOINT FILE OPTIONS(JSON)
// Prints one JSON object a line: {"sent": bytes} as it goes, {"url": …, "number": …} at the end.
// With "abortAt", it breaks its own connection off once that many bytes were sent and then goes on from what the server has.
import { createReadStream, statSync } from "node:fs";
import * as tus from "tus-js-client";

const [endpoint, file, options] = process.argv.slice(2);
const { abortAt, ...given } = JSON.parse(options);
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

let aborted = false;
let number = null;
const upload = new tus.Upload(createReadStream(file), {
  endpoint,
  uploadSize: statSync(file).size,
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
    process.exitCode = 1;
  },
});
upload.start();
